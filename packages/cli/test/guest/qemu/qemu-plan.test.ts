import { mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parseInitdata, readInitdataImage } from "@nacre/kbs-protocol";
import { describe, expect, it } from "vitest";

import { guestLayout } from "../../../src/guest/layout.ts";
import type { StartGuestOptions } from "../../../src/guest/options.ts";
import type { QemuPlan } from "../../../src/guest/plan.ts";
import { qemuPlan } from "../../../src/guest/qemu/qemu-plan.ts";

const NETWORK = { gateway: "198.18.0.1", address: "198.18.0.2", prefixLength: 30 };
const RULE = { prefix: "docker.io", location: "198.18.0.1:5000", insecure: true };
/** Needs no parameter. */
const BRIDGE = { bridge: "vhost-user-vsock" } as const;
const IMAGE = { flavour: "devkit", arch: "x86_64", kernel: "k", initramfs: "i", disk: "d", commandLine: "c" };

interface Planned {
  readonly plan: QemuPlan;
  /** The guest's command line as the machine's owner can read it. */
  readonly commandLine: string;
  /** Of its initdata. */
  readonly algorithm: string | undefined;
}

/** The plan of a guest of an image like {@link IMAGE}, with paths relative to its folder. */
async function planned(image: object, options: StartGuestOptions): Promise<Planned> {
  using root = mkdtempDisposableSync(join(tmpdir(), "nacre-plan-"));
  writeFileSync(join(root.path, "image.json"), JSON.stringify({ ...IMAGE, ...image }));
  for (const name of ["k", "i", "d", "u"]) writeFileSync(join(root.path, name), "");
  const layout = guestLayout(root.path, "0123abcd");
  mkdirSync(layout.files, { recursive: true });
  const plan = await qemuPlan(layout, NETWORK, { kind: "qemu", image: root.path, ...options });
  const relative = JSON.parse(JSON.stringify(plan).replaceAll(`${root.path}/`, "")) as QemuPlan;
  const { initdata } = plan;
  const document = initdata === undefined ? undefined : await readInitdataImage(readFileSync(initdata));
  const algorithm = document === undefined ? undefined : parseInitdata(document).algorithm;
  return { plan: relative, commandLine: readFileSync(layout.commandLine, "utf8"), algorithm };
}

it.each([
  ["devkit", "no registries", [], true],
  ["kata", "no registries", [], false],
  ["kata", "a function that names none", () => [], false],
  ["kata", "a registry", [RULE], true],
  ["kata", "a function that names one", () => [RULE], true],
] as const)("a guest of flavour %s with %s: initdata %4$s", async (flavour, _what, registries, given) => {
  const { plan } = await planned({ flavour }, { registries });
  expect(plan.initdata !== undefined).toBe(given);
});

it("a guest that is reached over a serial port listens where its init looks", async () => {
  const overSerial = await planned({}, { bridge: "virtio-serial" });
  expect(overSerial.plan.commandLine).toMatch(
    / nacre\.bridge agent\.server_addr=unix:\/\/\/run\/nacre-ports\/1024\.sock$/u,
  );
  const overVsock = await planned({}, { bridge: "vhost-user-vsock" });
  expect(overVsock.plan.commandLine).not.toContain("nacre.bridge");
  const kata = planned({ flavour: "kata" }, { bridge: "virtio-serial" });
  await expect(kata).rejects.toThrow("expected a devkit image, got kata");
});

describe("a boot", () => {
  const parameters = { ...BRIDGE, kernelParameters: ["agent.log=debug"] };

  it("is QEMU's of kernel and initramfs, with the agent's parameters", async () => {
    const { plan, commandLine, algorithm } = await planned({ unifiedKernelImage: "u" }, parameters);
    expect(algorithm).toBe("sha256");
    expect([plan.ovmf, plan.kernel, plan.initramfs]).toEqual([false, "k", "i"]);
    expect(plan.commandLine).toBe("c agent.launch_process_timeout=60 agent.log=debug");
    expect(commandLine).toBe(`${plan.commandLine}\n`);
  });

  it("is the firmware's of the unified image as it is", async () => {
    const onNote = (note: string): void => expect.unreachable(note);
    const options = { ...BRIDGE, ovmf: true, onNote };
    const { plan, commandLine, algorithm } = await planned({ unifiedKernelImage: "u" }, options);
    expect(algorithm).toBe("sha256");
    expect([plan.ovmf, plan.kernel, plan.initramfs, plan.commandLine]).toEqual([true, "u", undefined, undefined]);
    expect(commandLine).toBe("c\n");
  });

  it("is the firmware's with another command line where something is to be added", async () => {
    const notes: string[] = [];
    const onNote = (note: string): number => notes.push(note);
    const { plan } = await planned({ unifiedKernelImage: "u" }, { ...parameters, ovmf: true, onNote });
    expect(plan.commandLine).toBe("c agent.launch_process_timeout=60 agent.log=debug");
    expect(notes).toEqual([expect.stringContaining("registers 9 and 12 are not those")]);
  });

  it.each([{}, { unifiedKernelImage: "u", arch: "aarch64" }])("is not the firmware's of %j", async (image) => {
    await expect(planned(image, { ovmf: true })).rejects.toThrow("ovmf: expected an image for x86_64");
  });
});
