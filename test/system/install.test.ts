import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { bundle } from "../../guest-rootfs/bundle.ts";
import { install, uninstall } from "../../guest-rootfs/install.ts";
import { ROOT } from "../../guest-rootfs/paths.ts";

const OURS = [
  "/etc/kata-opa/default-policy.rego",
  "/pause_bundle/config.json",
  "/pause_bundle/rootfs/pause",
  "/usr/bin/kata-agent",
  "/usr/lib/nacre/api-server-rest.mjs",

  "/usr/lib/nacre/attestation-agent.mjs",
  "/usr/lib/nacre/confidential-data-hub.mjs",
  "/usr/lib/nacre/grpc-server.mjs",
  "/usr/lib/nacre/image-signatures.mjs",
  "/usr/lib/nacre/installed.json",
  "/usr/lib/nacre/kata-agent.mjs",
  "/usr/lib/nacre/kms-clients.mjs",
  "/usr/lib/nacre/koffi.node",
  "/usr/lib/nacre/regorus.wasm",
  "/usr/lib/nacre/unpack-worker.mjs",
  "/usr/local/bin/api-server-rest",
  "/usr/local/bin/attestation-agent",
  "/usr/local/bin/confidential-data-hub",
];
const UNITS = ["/usr/lib/systemd/system/kata-agent.service", "/usr/lib/systemd/system/kata-containers.target"];
const UNIT = UNITS[0] ?? "";

let destdir: string;
beforeAll(() => bundle("kata"));
beforeEach(() => {
  destdir = mkdtempSync(join(tmpdir(), "nacre-destdir-"));
});
afterEach(() => {
  rmSync(destdir, { recursive: true });
});

/** Every file and link below the root. */
function files(folder = "/"): string[] {
  return readdirSync(join(destdir, folder), { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? files(join(folder, entry.name)) : [join(folder, entry.name)]))
    .sort();
}
const read = (path: string): string => readFileSync(join(destdir, path), "utf8");
const put = (path: string, content: string): void => {
  mkdirSync(dirname(join(destdir, path)), { recursive: true });
  writeFileSync(join(destdir, path), content);
};

describe("make install", () => {
  it("puts the daemons under upstream's names, Node and the units with them", () => {
    install({ destdir });
    expect(files()).toEqual([...OURS, ...UNITS, "/usr/bin/node"].sort());
    for (const path of ["/usr/bin/node", "/usr/bin/kata-agent", "/pause_bundle/rootfs/pause"]) {
      expect([path, statSync(join(destdir, path)).mode & 0o7777]).toEqual([path, 0o755]);
    }
    expect(read("/usr/bin/kata-agent").split("\n")[0]).toBe("#!/usr/bin/node --disable-sigusr1");
  });

  it("gives daemons that start, under an interpreter that is somewhere else", () => {
    install({ destdir, interpreter: process.execPath, node: false });
    expect(files()).toEqual([...OURS, ...UNITS].sort());
    const version = (path: string): string =>
      execFileSync(join(destdir, path), ["--version"], { encoding: "utf8", env: {} });
    expect(version("/usr/bin/kata-agent")).toMatch(/^kata-agent version 4\.1\.0 /u);
    expect(version("/usr/local/bin/attestation-agent")).toMatch(/^attestation-agent \d.* \(flavour: kata\)$/mu);
    expect(version("/usr/local/bin/api-server-rest")).toMatch(/^api-server-rest \d/u);
    expect(version("/usr/local/bin/confidential-data-hub")).toMatch(/^confidential-data-hub \d/u);
    expect(read(UNIT)).toContain(`\nExecStart=${process.execPath} --disable-sigusr1 `);
  });

  it("writes units that systemd understands to the last word", () => {
    install({ destdir, interpreter: process.execPath, node: false });
    const verify = (): string => {
      // The unit for /tmp lies where Debian keeps it for those who want it; a guest image has it in place.
      const units = [...UNITS.map((path) => join(destdir, path)), "/usr/share/systemd/tmp.mount"];
      const { stdout, stderr, error } = spawnSync("/usr/bin/systemd-analyze", ["verify", "--man=no", ...units], {
        encoding: "utf8",
      });
      if (error !== undefined) throw error;
      // What the machine's own units lack is not for us to mend.
      return `${stdout}${stderr}`
        .split("\n")
        .filter((line) => line.includes(destdir) || /^kata-/u.test(line))
        .join("\n");
    };
    expect(verify()).toBe("");
    put(UNIT, read(UNIT).replace("OOMScoreAdjust", "OOMScoreAdjusted"));
    expect(verify()).toContain("Unknown key 'OOMScoreAdjusted'");
  });

  it("asks of systemd what upstream's unit asks", () => {
    install({ destdir });
    for (const line of ["Type=notify", "FailureAction=poweroff", "OOMScoreAdjust=-997", "LimitNOFILE=1073741824"]) {
      expect(read(UNIT).split("\n")).toContain(line);
    }
    const target = read(UNITS[1] ?? "").split("\n");
    for (const line of ["Requires=kata-agent.service", "AllowIsolate=yes"]) expect(target).toContain(line);
  });

  it("changes nothing when it is repeated, and takes all of it back", () => {
    put("/etc/hosts", "127.0.0.1 localhost\n");
    install({ destdir });
    expect(install({ destdir })).toEqual([]);
    expect(uninstall(destdir)).toHaveLength(OURS.length + UNITS.length);
    expect(files()).toEqual(["/etc/hosts"]);
    expect(readdirSync(destdir)).toEqual(["etc"]);
    expect(uninstall(destdir)).toEqual([]);
  });

  it("takes away what it no longer installs", () => {
    install({ destdir });
    expect(install({ destdir, node: false, systemd: false }).toSorted()).toEqual(
      ["/usr/bin/node", ...UNITS].map((path) => `removed    ${path}`),
    );
    expect(files()).toEqual(OURS);
  });

  it("keeps a policy that is somebody's own, and what was edited", () => {
    const policy = "/etc/kata-opa/default-policy.rego";
    put(policy, "package agent_policy\n");
    expect(install({ destdir })).toContain(`kept       ${policy}: it is not ours`);
    put(UNIT, `${read(UNIT)}# edited\n`);
    expect(install({ destdir })).toEqual([
      `kept       ${policy}: it is not ours`,
      `kept       ${UNIT}: it was changed since`,
    ]);
    expect(uninstall(destdir)).toContain(`kept       ${UNIT}: it was changed since`);
    expect(files()).toEqual([policy, UNIT].sort());
    expect(read(policy)).toBe("package agent_policy\n");
  });

  it("keeps an edited policy that was ours", () => {
    const policy = "/etc/kata-opa/default-policy.rego";
    install({ destdir });
    put(policy, "package agent_policy\n");
    expect(install({ destdir })).toEqual([`kept       ${policy}: it was changed since`]);
    uninstall(destdir);
    expect(files()).toEqual([policy]);
  });

  it("refuses a folder that nobody named, and interpreters that no first line can name", () => {
    expect(() => install({ destdir: "" })).toThrow("DESTDIR: expected the image's root directory");
    for (const interpreter of ["node", "/usr/bin/../bin/node", "/opt/my node", "/opt/%h/node", `/${"x".repeat(100)}`]) {
      expect(() => install({ destdir, interpreter })).toThrow("interpreter: expected");
    }
    mkdirSync(join(destdir, "usr/bin/kata-agent"), { recursive: true });
    expect(() => install({ destdir })).toThrow("expected a file, a link or nothing");
    expect(existsSync(join(destdir, "usr/lib/systemd"))).toBe(false);
  });

  it("replaces a link that points elsewhere, not what it points at", () => {
    put("/usr/lib/other/agent", "another agent\n");
    mkdirSync(join(destdir, "usr/bin"));
    symlinkSync("../lib/other/agent", join(destdir, "usr/bin/kata-agent"));
    install({ destdir });
    expect(read("/usr/lib/other/agent")).toBe("another agent\n");
    expect(read("/usr/bin/kata-agent")).toContain("--disable-sigusr1");
  });

  it("is a target of make that says what is missing", () => {
    const { status, stderr } = spawnSync("make", ["-s", "uninstall", "DESTDIR="], { cwd: ROOT, encoding: "utf8" });
    expect(status).not.toBe(0);
    expect(stderr).toContain("DESTDIR: expected the image's root directory; DESTDIR=/ is this machine's");
  });
});
