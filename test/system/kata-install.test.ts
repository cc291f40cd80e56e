import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { NacreCommand } from "../fixtures/nacre-command.ts";

interface Installation {
  readonly dryRun: boolean;
  readonly files: readonly { readonly path: string; readonly action: string; readonly reason?: string }[];
  readonly runtimeClasses: string;
  readonly containerdTables?: string;
  readonly next: readonly string[];
}

const CONFIG = "/etc/kata-containers/nacre/configuration-remote.toml";
const DROP_IN = "/etc/containerd/conf.d/nacre-remote.toml";

let root: string;
let nacre: NacreCommand;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "nacre-kata-"));
  nacre = new NacreCommand(join(root, "state"));
  put("/usr/local/bin/containerd-shim-kata-v2", "");
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const put = (path: string, content: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
};
const all = (): string[] => (readdirSync(root, { recursive: true }) as string[]).sort();
const install = (...args: string[]): string[] =>
  ["kata", "install", "--root", root, "--containerd-version", "2.2"].concat(args);

describe("nacre kata", () => {
  it("installs, says so again, and takes it back", async () => {
    const before = all();
    const dry = await nacre.json<Installation>(install("--json", "--dry-run"));
    expect([dry.dryRun, all()]).toEqual([true, before]);

    const { files, next, runtimeClasses } = await nacre.json<Installation>(
      install("--json", "--socket", "/run/h.sock"),
    );
    expect(files).toEqual([
      { path: CONFIG, action: "write" },
      { path: DROP_IN, action: "write" },
    ]);
    expect(next).toEqual(["restart containerd", "nacre hypervisor serve", "kubectl apply the RuntimeClass below"]);
    expect(runtimeClasses).toContain("name: kata-nacre-remote");
    expect(readFileSync(join(root, CONFIG), "utf8")).toContain('remote_hypervisor_socket = "/run/h.sock"');
    expect(readFileSync(join(root, DROP_IN), "utf8")).toContain(`ConfigPath = "${CONFIG}"`);

    const { stdout } = await nacre.run(install("--socket", "/run/h.sock"));
    expect(stdout).toContain(`unchanged ${CONFIG}\n`);
    expect(stdout).toContain("\nRuntimeClass:\n\napiVersion: node.k8s.io/v1\n");
    const { status, stdout: gone } = await nacre.run(["kata", "uninstall", "--root", root]);
    expect([status, gone]).toEqual([0, `remove    ${CONFIG}\nremove    ${DROP_IN}\n`]);
    expect(all()).toEqual(before);
    expect((await nacre.run(["kata", "uninstall", "--root", root])).stdout).toBe("nothing is installed\n");
  });

  it("keeps what somebody edited, with a status that says so", async () => {
    await nacre.run(install());
    put(CONFIG, "edited\n");
    const again = await nacre.run(install());
    expect(again.status).toBe(1);
    expect(again.stderr).toContain("was changed since it was written; --replace takes its place");
    const kept = await nacre.run(["kata", "uninstall", "--root", root]);
    expect([kept.status, kept.stdout]).toEqual([
      1,
      `keep      ${CONFIG}: it was changed since\nremove    ${DROP_IN}\n`,
    ]);
    expect((await nacre.run(["kata", "uninstall", "--root", root, "--force"])).status).toBe(0);
  });

  it("puts the tables for containerd 1 where people see them", async () => {
    const { status, stdout } = await nacre.run(install("--containerd-version", "1.7"));
    expect(status).toBe(0);
    expect(stdout).toContain(
      '\nFor containerd:\n\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata-nacre-',
    );
  });

  it.each([
    [["--handler", "clh"], "--handler: expected remote, qemu, qemu-snp, qemu-tdx"],
    [["--handler", "qemu", "--image", "/x", "--kernel-param", 'a="b c"'], "--kernel-param: expected one word"],
    [["--memory", "much"], "--memory: expected a whole number"],
    [["--handler", "qemu"], "handler qemu: expected --image FOLDER"],
    [["surplus"], "too many arguments"],
  ])("refuses %j as a wrong command line", async (args, message) => {
    const before = all();
    const { status, stderr } = await nacre.run(install(...args));
    expect([status, all()]).toEqual([2, before]);
    expect(stderr).toContain(message);
  });
});
