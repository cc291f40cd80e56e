import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";

import { handlerName, HANDLERS, machineFiles, parseHandler } from "../../src/kata/handler.ts";
import { overheadOf, runtimeClassText } from "../../src/kata/runtime-class.ts";
import { type MachineConfig, runtimeConfigText } from "../../src/kata/runtime-config.ts";

const VERITY = `root_hash=${"ab".repeat(32)},salt=${"cd".repeat(32)},data_blocks=30000,data_block_size=4096,hash_block_size=4096`;
const MACHINE: MachineConfig = {
  hypervisor: "/opt/kata/bin/qemu-system-x86_64",
  kernel: "/opt/kata/share/kata-containers/vmlinuz.container",
  image: "/srv/nacre/devkit/kata-containers.img",
  firmware: "/opt/kata/share/ovmf/AMDSEV.fd",
  verity: VERITY,
  kernelParams: ["agent.log=debug"],
  memory: 512,
  vcpus: 1,
};

/** Keys that both Kata 3.29 and 4.1 read, by table; a name that only looks right is ignored by the runtime. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  "hypervisor.remote": [
    "remote_hypervisor_socket",
    "remote_hypervisor_timeout",
    "enable_annotations",
    "disable_guest_selinux",
  ],
  "hypervisor.qemu": [
    "path",
    "valid_hypervisor_paths",
    "kernel",
    "image",
    "rootfs_type",
    "kernel_verity_params",
    "kernel_params",
    "machine_type",
    "firmware",
    "confidential_guest",
    "sev_snp_guest",
    "snp_guest_policy",
    "tdx_quote_generation_service_socket_port",
    "cpu_features",
    "default_vcpus",
    "default_memory",
    "enable_annotations",
    "disable_image_nvdimm",
    "shared_fs",
    "disable_guest_selinux",
  ],
  "agent.kata": ["dial_timeout"],
  runtime: [
    "internetworking_model",
    "disable_new_netns",
    "experimental_force_guest_pull",
    "create_container_timeout",
    "static_sandbox_resource_mgmt",
    "disable_guest_seccomp",
    "disable_guest_empty_dir",
    "emptydir_mode",
    "vfio_mode",
    "sandbox_cgroup_only",
  ],
};

type Tables = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
/** A configuration's tables by their whole names. */
function tables(text: string): Tables {
  const root = parse(text) as Record<string, Record<string, unknown>>;
  return Object.fromEntries(
    Object.entries(root).flatMap(([name, value]): [string, Record<string, unknown>][] =>
      name === "runtime"
        ? [[name, value]]
        : Object.entries(value).map(([inner, settings]) => [`${name}.${inner}`, settings as Record<string, unknown>]),
    ),
  );
}

describe("runtimeConfigText", () => {
  it.each(HANDLERS)("holds for %s only keys that the runtime reads", (handler) => {
    const text = runtimeConfigText({ handler, machine: MACHINE, createContainerTimeout: 600 });
    for (const [table, settings] of Object.entries(tables(text))) {
      for (const key of Object.keys(settings))
        expect([table, KEYS[table]?.includes(key), key]).toEqual([table, true, key]);
    }
    expect(text).not.toContain("undefined");
  });

  it("points the remote handler at the service", () => {
    const text = runtimeConfigText({ handler: "remote", socket: "/run/x/h.sock", createContainerTimeout: 60 });
    const { "hypervisor.remote": remote, runtime } = tables(text);
    expect(remote).toMatchObject({ remote_hypervisor_socket: "/run/x/h.sock", disable_guest_selinux: true });
    expect(runtime).toMatchObject({
      internetworking_model: "none",
      disable_new_netns: true,
      disable_guest_seccomp: true,
      static_sandbox_resource_mgmt: true,
      experimental_force_guest_pull: true,
      create_container_timeout: 60,
    });
    expect(
      tables(runtimeConfigText({ handler: "remote", createContainerTimeout: 60 }))["hypervisor.remote"],
    ).toMatchObject({ remote_hypervisor_socket: "/run/peerpod/hypervisor.sock" });
  });

  it("gives QEMU the measured root and nothing of the host's files", () => {
    const { "hypervisor.qemu": qemu } = tables(
      runtimeConfigText({ handler: "qemu", machine: { ...MACHINE, firmware: undefined }, createContainerTimeout: 600 }),
    );
    expect(qemu).toMatchObject({
      image: MACHINE.image,
      kernel: MACHINE.kernel,
      rootfs_type: "erofs",
      kernel_verity_params: VERITY,
      kernel_params: "cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1 agent.log=debug",
      shared_fs: "none",
      disable_image_nvdimm: true,
      enable_annotations: ["default_vcpus", "default_memory", "cc_init_data"],
    });
    expect(qemu).not.toHaveProperty("firmware");
    expect(qemu).not.toHaveProperty("confidential_guest");
  });

  it("asks for the protection that the handler is named after", () => {
    const of = (handler: "qemu-snp" | "qemu-tdx") =>
      tables(runtimeConfigText({ handler, machine: MACHINE, createContainerTimeout: 600 }))["hypervisor.qemu"];
    expect(of("qemu-snp")).toMatchObject({ confidential_guest: true, sev_snp_guest: true, snp_guest_policy: 196_608 });
    expect(of("qemu-tdx")).toMatchObject({ confidential_guest: true, tdx_quote_generation_service_socket_port: 4050 });
    expect(of("qemu-tdx")).not.toHaveProperty("sev_snp_guest");
  });

  it("keeps what a path may hold a text", () => {
    const image = '/srv/a"b\\c\u007f","d.img';
    const text = runtimeConfigText({ handler: "qemu", machine: { ...MACHINE, image }, createContainerTimeout: 1 });
    expect(tables(text)["hypervisor.qemu"]?.["image"]).toBe(image);
  });
});

describe("handlers", () => {
  it("have names beside upstream's, and files where upstream puts them", () => {
    expect(HANDLERS.map(handlerName)).toEqual([
      "kata-nacre-remote",
      "kata-nacre-qemu",
      "kata-nacre-qemu-snp",
      "kata-nacre-qemu-tdx",
    ]);
    expect(machineFiles("remote")).toBeUndefined();
    expect(machineFiles("qemu")?.firmware).toBeUndefined();
    expect(machineFiles("qemu-snp")?.firmware).toContain("/opt/kata/share/ovmf/AMDSEV.fd");
    expect(() => parseHandler("clh")).toThrow("--handler: expected remote, qemu, qemu-snp, qemu-tdx");
  });

  it("have RuntimeClasses that say where their cost is from", () => {
    expect(runtimeClassText("qemu-snp", overheadOf("qemu-snp", 512))).toBe(`apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: kata-nacre-qemu-snp
handler: kata-nacre-qemu-snp
overhead:
  podFixed:
    # default_memory 512 MiB, which is the guest's beside its containers, and 320 MiB of Kata's Helm chart 4.1 for qemu
    memory: 832Mi
    cpu: 250m
`);
    expect(runtimeClassText("remote", overheadOf("remote", 0))).toMatch(/# measured: .*\n {4}memory: \d{3}Mi\n/u);
  });
});
