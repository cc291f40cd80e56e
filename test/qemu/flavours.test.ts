import { readFileSync } from "node:fs";
import { join } from "node:path";

import { listGuests, startGuest } from "@nacre/cli";
import { AgentService, Code } from "@nacre/protocols";
import { RpcError, TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { describe, expect, it } from "vitest";

import { kernelStubRegister, optionsRegister } from "../../guest-rootfs/measure/pcr.ts";
import { AttackedGuest } from "../fixtures/attacked-guest.ts";
import { builtImage } from "../fixtures/boot-image.ts";
import { QEMU } from "../fixtures/guest-kind.ts";
import { ownStateRoot } from "../fixtures/state-root.ts";
import { guestTraces, NOTHING } from "../fixtures/guest-traces.ts";
import { expectedRegisters, shownRegisters } from "../fixtures/measured-guest.ts";

/** What an emulated processor needs of the flavours that are not made for one. */
const EMULATED: readonly string[] = ["agent.launch_process_timeout=60", "tsc=unstable"];

const stateRoot = ownStateRoot();

describe("a virtual machine of the flavour kata", () => {
  it("runs a pod under initdata that its TPM binds, in a boot that is measured", async () => {
    const image = builtImage("kata");
    const guest = await AttackedGuest.start({
      stateRoot: stateRoot(),
      imageFolder: image.folder,
      ovmf: true,
      viewed: false,
      kernelParameters: EMULATED,
    });
    const commandLine = (await guest.print("cmdline", ["cat", "/proc/cmdline"])).trimEnd();
    expect(await shownRegisters(guest)).toEqual({
      ...(await expectedRegisters(image, guest.guest.guest)),
      "9": kernelStubRegister(commandLine, readFileSync(join(image.folder, image.initramfs))),
      "12": optionsRegister(commandLine),
    });
    await guest[Symbol.asyncDispose]();
  });

  it("does not start with initdata that nothing binds", async () => {
    const given = { policy: "package agent_policy\n", tpm: false };
    const starting = startGuest({ ...QEMU, stateRoot: stateRoot(), flavour: "kata", ...given });
    await expect(starting).rejects.toThrow("and only a simulated guest goes on without");
    expect(listGuests(stateRoot())).toEqual([]);
  });
});

describe("a virtual machine of the flavour strict", () => {
  it("starts without components, and its policy refuses everything, the network and another policy too", async () => {
    const kernelParameters = ["agent.guest_components_procs=none", ...EMULATED];
    const guest = await startGuest({ ...QEMU, stateRoot: stateRoot(), flavour: "strict", kernelParameters });
    expect(guest.networkRefusal).toContain("blocked by policy");
    const client = new TtrpcClient(await dial(guest.agentAddress));
    const refusal = async (call: Promise<unknown>): Promise<number> =>
      await call.then(
        () => 0,
        (error: unknown) => (error instanceof RpcError ? error.code : -1),
      );
    expect([
      await refusal(client.call(AgentService.methods.GetGuestDetails, {})),
      await refusal(client.call(AgentService.methods.CreateSandbox, {})),
      await refusal(client.call(AgentService.methods.SetPolicy, { policy: "package agent_policy\n" })),
    ]).toEqual([Code.PERMISSION_DENIED, Code.PERMISSION_DENIED, Code.PERMISSION_DENIED]);
    client.close();
    await guest.stop();
    expect(guestTraces(stateRoot(), guest.id)).toEqual(NOTHING);
  });

  it("ends where no TEE is, and takes no TPM of software for one", async () => {
    const measured = { flavour: "strict", ovmf: true, kernelParameters: EMULATED };
    await expect(startGuest({ ...QEMU, stateRoot: stateRoot(), ...measured })).rejects.toThrow("se, got none");
    expect(listGuests(stateRoot())).toEqual([]);
  });
});
