import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { LocalMachine, type LocalMachineOptions, namedImage } from "../../src/hypervisor/local-machine.ts";
import type { VmSpec } from "../../src/hypervisor/vm-spec.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nacre-machine-"));
  mkdirSync(join(folder, "tree"));
  mkdirSync(join(folder, "image"));
  writeFileSync(join(folder, "image/image.json"), "{}");
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const machine = (options: Partial<LocalMachineOptions> = {}): LocalMachine =>
  new LocalMachine({
    stateRoot: "/run/state",
    kind: "simulated",
    images: new Map([
      ["root", namedImage(join(folder, "tree"))],
      ["disk", namedImage(join(folder, "image"))],
    ]),
    guest: { policy: "package agent_policy\n" },
    qemu: { flavour: "kata", accelerator: "tcg" },
    minMemoryBytes: 512 << 20,
    ...options,
  });
const spec = (change: Partial<VmSpec> = {}): VmSpec => ({
  id: "one",
  pod: "",
  namespace: "",
  machineType: "",
  image: "",
  vcpus: undefined,
  memoryBytes: undefined,
  initdata: undefined,
  networkNamespace: "",
  ...change,
});
const common = { stateRoot: "/run/state", policy: "package agent_policy\n" };

describe("the guests of a server", () => {
  it("are what the server says where a pod says nothing", () => {
    expect(machine().guestOptions(spec())).toEqual({ ...common, kind: "simulated" });
    expect(machine({ kind: "qemu", memoryBytes: 1 << 30, cpus: 1 }).guestOptions(spec())).toEqual({
      ...common,
      kind: "qemu",
      flavour: "kata",
      accelerator: "tcg",
      memoryBytes: 1 << 30,
      cpus: 1,
    });
  });

  it("are of the kind and the image that a pod asks for", () => {
    expect(machine().guestOptions(spec({ machineType: "qemu" }))).toMatchObject({ kind: "qemu", flavour: "kata" });
    expect(machine({ kind: "qemu" }).guestOptions(spec({ machineType: "simulated" }))).toEqual({
      ...common,
      kind: "simulated",
    });
    expect(machine().guestOptions(spec({ image: "disk" }))).toMatchObject({
      kind: "qemu",
      image: join(folder, "image"),
    });
    expect(machine({ kind: "qemu" }).guestOptions(spec({ image: "root" }))).toEqual({
      ...common,
      kind: "simulated",
      tree: join(folder, "tree"),
    });
  });

  it("have a pod's initdata: beside the server's files, or in a virtual machine alone", () => {
    const asked = spec({ initdata: "document" });
    expect(machine().guestOptions(asked)).toEqual({ ...common, kind: "simulated", initdata: "document" });
    const guest = { policy: "package agent_policy\n", registries: [], kernelParameters: ["agent.log=debug"] };
    expect(machine({ kind: "qemu", qemu: {}, guest }).guestOptions(asked)).toEqual({
      stateRoot: "/run/state",
      kind: "qemu",
      kernelParameters: ["agent.log=debug"],
      initdata: "document",
    });
  });

  it("have the memory and processors that a pod asks for, within bounds", () => {
    const asked = spec({ memoryBytes: 1 << 30, vcpus: 1000 });
    expect(machine({ cpus: 1 }).guestOptions(asked)).toMatchObject({ memoryBytes: 1 << 30, cpus: 1000 });
    expect(machine({ kind: "qemu" }).guestOptions(asked)).toMatchObject({ cpus: availableParallelism() });
    expect(machine().guestOptions(spec({ memoryBytes: 1 }))).toMatchObject({ memoryBytes: 512 << 20 });
    expect(machine({ memoryBytes: 1 }).guestOptions(spec())).toMatchObject({ memoryBytes: 512 << 20 });
  });

  it("are refused where nobody knows what is asked for", () => {
    const check = (change: Partial<VmSpec>) => () => machine().check(spec(change));
    expect(check({ machineType: "q35" })).toThrow('CreateVM: machine_type: expected simulated, qemu, got "q35"');
    expect(check({ image: "other" })).toThrow('CreateVM: image: expected root, disk, got "other"');
    expect(() => machine({ images: new Map() }).check(spec({ image: "x" }))).toThrow(
      'CreateVM: image: expected none, as this server has only its default, got "x"',
    );
    expect(check({ machineType: "qemu", image: "root" })).toThrow(
      'image: expected one for a qemu guest, got "root" for a simulated one',
    );
    expect(check({ networkNamespace: folder })).toThrow(`networkNamespacePath: expected a namespace at ${folder}`);
    expect(check({ networkNamespace: join(folder, "none") })).toThrow("networkNamespacePath: ENOENT");
    expect(check({ machineType: "qemu", image: "disk", networkNamespace: "/proc/self/ns/net" })).not.toThrow();
    expect(() => namedImage(join(folder, "none"))).toThrow("image: expected a folder");
  });
});
