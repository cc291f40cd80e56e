import { describe, expect, it } from "vitest";
import { diagnose, type Finding, type Probes } from "../src/doctor/diagnose.ts";

const TEXTS: Readonly<Record<string, string>> = {
  "/proc/filesystems": "nodev\ttmpfs\nnodev\toverlay\n",
  "/proc/cpuinfo": "flags\t\t: fpu vmx\n",
};

/** A machine on which everything works, but for what the test changes. */
function machine(change: Partial<Probes> = {}): Probes {
  return {
    uid: () => 0,
    exists: () => true,
    opens: () => true,
    read: (path) => TEXTS[path] ?? "cpuset cpu io memory pids\n",
    attempt: () => Promise.resolve(undefined),
    ...change,
  };
}

async function finding(name: string, change: Partial<Probes>): Promise<Finding | undefined> {
  return (await diagnose(machine(change))).find((entry) => entry.name === name);
}

describe("diagnose", () => {
  it("finds everything on a machine that has everything", async () => {
    const findings = await diagnose(machine());
    expect(findings.filter(({ state }) => state !== "ok")).toEqual([]);
    expect(findings.filter(({ advice }) => advice !== undefined)).toEqual([]);
  });

  it("gives advice for each thing that is not there", async () => {
    const nothing = machine({
      uid: () => 1000,
      exists: () => false,
      opens: () => false,
      read: () => undefined,
      attempt: () => Promise.resolve("not permitted"),
    });
    for (const { state, advice, detail } of await diagnose(nothing)) {
      expect(state).toBe("missing");
      expect(advice).toBeDefined();
      expect(detail).not.toBe("");
    }
  });

  it("needs root", async () => {
    expect(await finding("root", { uid: () => 1000 })).toMatchObject({ state: "missing", detail: "user 1000" });
  });

  it("tells what a refused namespace said", async () => {
    const attempt: Probes["attempt"] = (argv) =>
      Promise.resolve(argv.includes("--mount") ? "unshare failed: Operation not permitted" : undefined);
    expect(await finding("namespaces", { attempt })).toMatchObject({
      state: "missing",
      detail: "unshare failed: Operation not permitted",
    });
    expect(await finding("network", { attempt })).toMatchObject({ state: "ok" });
  });

  it("knows both versions of control groups", async () => {
    const first: Partial<Probes> = { read: () => undefined };
    expect(await finding("cgroups", {})).toMatchObject({ state: "ok", detail: "version 2 with cpu, memory, pids" });
    expect(await finding("cgroups", first)).toMatchObject({ state: "ok", detail: "version 1 with cpu, memory, pids" });
    expect(await finding("cgroups", { read: () => "cpu pids\n" })).toMatchObject({
      state: "limited",
      detail: "version 2 without memory: containers have no such limits",
      advice: "boot with cgroup_enable=memory",
    });
    const without: Partial<Probes> = { ...first, exists: (path) => !path.startsWith("/sys/fs/cgroup") };
    expect(await finding("cgroups", without)).toMatchObject({ state: "missing" });
  });

  it("names the packages of missing tools", async () => {
    const exists: Probes["exists"] = (path) => path !== "/usr/sbin/runc" && path !== "/usr/bin/nsenter";
    expect(await finding("tools", { exists })).toMatchObject({
      state: "missing",
      detail: "without /usr/bin/nsenter /usr/sbin/runc",
      advice: "apt-get install util-linux runc (or make packages)",
      required: true,
    });
    expect(await finding("demo and tests", { exists })).toMatchObject({ state: "ok", required: false });
  });

  it("tells a device that is there from one that opens", async () => {
    expect(await finding("KVM", { opens: () => false })).toMatchObject({ state: "limited", required: false });
  });

  it("does not take a /dev/kvm for KVM that runs no stock kernel", async () => {
    const read: Probes["read"] = (path) => (path === "/proc/cpuinfo" ? "flags\t\t: fpu hypervisor\n" : TEXTS[path]);
    const state = process.arch === "x64" ? "limited" : "ok";
    expect(await finding("KVM", { read })).toMatchObject({ state, required: false });
  });

  it("knows who else can give a virtual machine its vsock, and what such a machine needs", async () => {
    const kernel: Probes["exists"] = (path) => path !== "/dev/vhost-vsock";
    expect(await finding("vsock", { exists: kernel })).toMatchObject({ state: "ok" });
    const neither: Probes["exists"] = (path) => !path.includes("vsock");
    expect(await finding("vsock", { exists: neither })).toMatchObject({ state: "missing", required: false });
    const image: Probes["exists"] = (path) => !path.endsWith("image.json");
    const found = await finding("QEMU guests", { exists: image });
    expect(found).toMatchObject({ state: "missing", required: false });
    expect(found?.advice).toContain("make rootfs");
  });

  it("tells whether a Kata runtime is here, and whether it knows our guests", async () => {
    const without = (...gone: string[]): Partial<Probes> => ({
      exists: (path) => !gone.some((name) => path.includes(name)),
    });
    expect(await finding("Kata runtime", {})).toMatchObject({
      state: "ok",
      detail: "/opt/kata/bin/containerd-shim-kata-v2 knows our guests",
      required: false,
    });
    expect(await finding("Kata runtime", without("/var/lib/nacre"))).toMatchObject({
      state: "limited",
      advice: "nacre kata install",
    });
    expect(await finding("Kata runtime", without("shim-kata"))).toMatchObject({ state: "missing", required: false });
    expect(await finding("containerd", without("/usr/bin/containerd"))).toMatchObject({
      state: "ok",
      detail: "/usr/local/bin/containerd",
    });
    expect(await finding("containerd", without("containerd"))).toMatchObject({ state: "missing" });
    expect(await finding("syslog", without("/dev/log"))).toMatchObject({ state: "missing" });
    expect(await finding("tun", { opens: (path) => path !== "/dev/net/tun" })).toMatchObject({ state: "missing" });
  });
});
