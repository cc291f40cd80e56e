import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { linuxSyscalls } from "@nacre/kata-sys-util";
import type { grpc } from "@nacre/protocols";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { defaultConfig, applyToml } from "../../src/config.ts";
import { createLogger } from "../../src/log.ts";
import { unsealEnvironment } from "../../src/unseal/environment.ts";
import { unsealMounts } from "../../src/unseal/secret-mounts.ts";
import { type UnsealFailure, Unsealing } from "../../src/unseal/unsealing.ts";

const { signal } = new AbortController();
const given: Buffer[] = [];
const lines: string[] = [];

/** A hub that opens `sealed.NAME` as `open NAME`, and nothing that is called `bad`. */
function unsealing(onFailure: UnsealFailure = "refuse"): Unsealing {
  return new Unsealing({
    onFailure,
    log: createLogger({ level: "info", version: "0", pid: 1, write: (line) => void lines.push(line) }),
    hub: {
      unseal: (secret) => {
        const name = Buffer.from(secret).toString().slice("sealed.".length);
        if (name === "bad") return Promise.reject(new Error("[CDH] [ERROR]: Unseal Secret failed: PolicyDeny"));
        given.push(name === "binary" ? Buffer.of(0xff, 0xfe) : Buffer.from(`open ${name}`));
        return Promise.resolve(given.at(-1) ?? Buffer.alloc(0));
      },
    },
  });
}

describe("an environment", () => {
  it("has its sealed values opened, and the secrets' bytes zeroed", async () => {
    const env = ["A=b", "S=sealed.x", "sealed.=y", "T=xsealed.y", "E=", "U=sealed.y"];
    expect(await unsealEnvironment(env, unsealing(), signal)).toEqual([
      "A=b",
      "S=open x",
      "sealed.=y",
      "T=xsealed.y",
      "E=",
      "U=open y",
    ]);
    for (const bytes of given) expect(bytes.every((byte) => byte === 0)).toBe(true);
  });

  it("that cannot be opened refuses the container, and says why", async () => {
    await expect(unsealEnvironment(["S=sealed.bad"], unsealing(), signal)).rejects.toMatchObject({
      message: 'unsealing the environment\'s "S"',
      cause: { message: "[CDH] [ERROR]: Unseal Secret failed: PolicyDeny" },
    });
    await expect(unsealEnvironment(["S=sealed.binary"], unsealing(), signal)).rejects.toMatchObject({
      cause: { message: "the secret is not UTF-8" },
    });
  });

  it("stays sealed with a warning where the measured configuration says so", async () => {
    const env = ["S=sealed.bad", "T=sealed.x"];
    expect(await unsealEnvironment(env, unsealing("warn"), signal)).toEqual(["S=sealed.bad", "T=open x"]);
    expect(lines.join("")).toContain("a secret stays sealed");
    expect(defaultConfig().unsealFailure).toBe("refuse");
    expect(applyToml(defaultConfig(), 'unseal_failure = "warn"').config.unsealFailure).toBe("warn");
    expect(() => applyToml(defaultConfig(), 'unseal_failure = "no"')).toThrow("expected one of refuse, warn");
  });

  it("ends with its caller", async () => {
    const gone = AbortSignal.abort(new Error("gone"));
    await expect(unsealEnvironment(["S=sealed.bad"], unsealing("warn"), gone)).rejects.toThrow("gone");
  });
});

describe("mounts", () => {
  let root: string;
  let folder: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "nacre-unseal-"));
    folder = join(root, "bundle/secrets");
    mkdirSync(join(root, "shared"));
    mkdirSync(join(root, "bundle"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const mount = (name: string, more: Partial<grpc.Mount> = {}): grpc.Mount => ({
    destination: `/at/${name}`,
    source: join(root, "shared", name),
    type: "bind",
    options: ["rbind"],
    ...more,
  });
  const open = async (mounts: readonly grpc.Mount[], how = unsealing()): Promise<readonly grpc.Mount[]> =>
    await unsealMounts(mounts, {
      syscalls: linuxSyscalls(),
      unsealing: how,
      folder,
      signal,
      root: join(root, "shared"),
    });

  /** As the kubelet writes a volume of a Secret. */
  function secretVolume(name: string, files: Readonly<Record<string, string>>): void {
    const volume = join(root, "shared", name);
    mkdirSync(join(volume, "..2026_11_25"), { recursive: true });
    symlinkSync("..2026_11_25", join(volume, "..data"));
    for (const [file, content] of Object.entries(files)) {
      writeFileSync(join(volume, "..2026_11_25", file), content);
      symlinkSync(`..data/${file}`, join(volume, file));
    }
  }

  it("with sealed files are of a copy in which they are open, in the form that they had", async () => {
    secretVolume("v", { password: "sealed.x", plain: "as it is" });
    chmodSync(join(root, "shared/v/..2026_11_25/password"), 0o440);
    const before = [mount("w"), mount("v")];
    secretVolume("w", { plain: "nothing here" });
    const after = await open(before);
    expect(after[0]).toBe(before[0]);
    expect(after[1]).toEqual({ ...mount("v"), source: join(folder, "1") });
    const copy = after[1]?.source ?? "";
    expect(readFileSync(join(copy, "password"), "utf8")).toBe("open x");
    expect(readFileSync(join(copy, "plain"), "utf8")).toBe("as it is");
    expect(readlinkSync(join(copy, "password"))).toBe("..data/password");
    expect(statSync(join(copy, "password")).mode & 0o777).toBe(0o440);
    expect(readdirSync(copy).toSorted()).toEqual(readdirSync(join(root, "shared/v")).toSorted());
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    // What the host sent is as it was.
    expect(readFileSync(join(root, "shared/v/password"), "utf8")).toBe("sealed.x");
    expect(given.at(-1)?.every((byte) => byte === 0)).toBe(true);
  });

  it("of single files are opened, too", async () => {
    writeFileSync(join(root, "shared/file"), "sealed.y");
    const [after] = await open([mount("file")]);
    expect(readFileSync(after?.source ?? "", "utf8")).toBe("open y");
  });

  it("that cannot be opened refuse the container, and stay sealed where that is asked for", async () => {
    secretVolume("v", { password: "sealed.bad" });
    await expect(open([mount("v")])).rejects.toMatchObject({
      message: 'unsealing the file "..2026_11_25/password" of /at/v',
    });
    rmSync(folder, { recursive: true });
    const [after] = await open([mount("v")], unsealing("warn"));
    expect(readFileSync(join(after?.source ?? "", "password"), "utf8")).toBe("sealed.bad");
  });

  it.each<[string, Partial<grpc.Mount>]>([
    ["hosts", {}],
    ["x-resolv.conf", {}],
    ["serviceaccount", {}],
    ["v", { type: "tmpfs", options: [] }],
    ["v", { source: "relative" }],
    ["v", { source: "/etc/hostname" }],
    ["none", {}],
    ["", {}],
  ])("are not looked into: %s %j", async (name, more) => {
    mkdirSync(join(root, "shared", name), { recursive: true });
    if (name !== "none" && name !== "") writeFileSync(join(root, "shared", name, "f"), "sealed.x");
    const one = mount(name, more);
    expect(await open([one])).toEqual([one]);
    expect(existsSync(folder)).toBe(false);
  });

  it("lead nowhere by a link, and hold nothing that is no file", async () => {
    writeFileSync(join(root, "outside"), "sealed.x");
    symlinkSync(join(root, "outside"), join(root, "shared/link"));
    mkdirSync(join(root, "shared/v"));
    symlinkSync(join(root, "outside"), join(root, "shared/v/link"));
    const both = [mount("link"), mount("v")];
    expect(await open(both)).toEqual(both);
    writeFileSync(join(root, "shared/v/f"), "sealed.x");
    const [after] = await open([mount("v")]);
    expect(lstatSync(join(after?.source ?? "", "link")).isSymbolicLink()).toBe(true);
    expect(readlinkSync(join(after?.source ?? "", "link"))).toBe(join(root, "outside"));
  });

  it("that are too large or too deep are refused", async () => {
    mkdirSync(join(root, "shared/v"));
    writeFileSync(join(root, "shared/v/a"), `sealed.${"x".repeat(1024 * 1024)}`);
    await expect(open([mount("v")])).rejects.toMatchObject({ cause: { message: "expected at most 1048576 bytes" } });
    rmSync(folder, { recursive: true });
    const deep = join(root, "shared/w", ...Array.from({ length: 10 }, () => "d"));
    mkdirSync(deep, { recursive: true });
    writeFileSync(join(root, "shared/w/f"), "sealed.x");
    await expect(open([mount("w", { destination: "/at/w" })])).rejects.toThrow("unsealing the volume at /at/w");
  });
});
