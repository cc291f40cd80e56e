import { readFileSync } from "node:fs";
import { join } from "node:path";

import { startGuest } from "@nacre/cli";
import { describe, expect, it } from "vitest";

import { kernelStubRegister, optionsRegister } from "../../guest-rootfs/measure/pcr.ts";
import { readState } from "../../packages/cli/src/guest/state.ts";
import { parseEventLog, replay } from "../../packages/trustee/src/verifier/event-log/event-log.ts";
import { AttackedGuest } from "../fixtures/attacked-guest.ts";
import { builtImage } from "../fixtures/boot-image.ts";
import { QEMU } from "../fixtures/guest-kind.ts";
import { ownStateRoot } from "../fixtures/state-root.ts";
import { guestTraces, NOTHING } from "../fixtures/guest-traces.ts";
import { machineFacts } from "../fixtures/machine-facts.ts";
import { changedImage, expectedRegisters, type Registers, shownRegisters } from "../fixtures/measured-guest.ts";

const image = builtImage("devkit");

const stateRoot = ownStateRoot();

/** The registers in which two boots differ. */
function differing(one: Registers, other: Registers): string[] {
  return Object.keys(one).filter((register) => one[register] !== other[register]);
}

describe("a boot that firmware measures", () => {
  it("of the image as it is has the values that the build has written, with its initdata's", async () => {
    const before = machineFacts();
    const logFile = join(stateRoot(), "log");
    const guest = await AttackedGuest.start({ stateRoot: stateRoot(), logFile, ovmf: true, viewed: false });
    const { id } = guest.guest.guest;
    expect(await shownRegisters(guest)).toEqual(await expectedRegisters(image, guest.guest.guest));
    await guest[Symbol.asyncDispose]();
    const log = readFileSync(logFile, "utf8");
    expect(log).toContain("reboot: Power down");
    // Its TPM ends with it.
    expect(log).not.toContain("the guest is ended after");
    expect(guestTraces(stateRoot(), id)).toEqual(NOTHING);
    expect(machineFacts(`nacre-${id}`)).toEqual(before);
  });

  it.each([
    [".cmdline", ["4", "9", "11"]],
    [".osrel", ["4", "11"]],
  ] as const)("of an image with a byte of %s changed has others in registers %j", async (section, registers) => {
    const imageFolder = join(stateRoot(), "image");
    changedImage(image, imageFolder, section);
    const guest = await AttackedGuest.start({ stateRoot: stateRoot(), imageFolder, ovmf: true, viewed: false });
    const [found, written] = [await shownRegisters(guest), await expectedRegisters(image, guest.guest.guest)];
    expect(differing(found, written)).toEqual(registers);
    await guest[Symbol.asyncDispose]();
  });

  it("with a kernel parameter has others in two registers, and a log that tells all of them", async () => {
    const guest = await AttackedGuest.start({
      stateRoot: stateRoot(),
      ovmf: true,
      kernelParameters: ["agent.log=debug"],
    });
    const commandLine = (await guest.text("/proc/cmdline")).trimEnd();
    expect(commandLine).toContain("agent.log=debug");
    const written = await expectedRegisters(image, guest.guest.guest);
    const found = await shownRegisters(guest);
    expect(found).toEqual({
      ...written,
      "9": kernelStubRegister(commandLine, readFileSync(join(image.folder, image.initramfs))),
      "12": optionsRegister(commandLine),
    });
    expect(differing(found, written)).toEqual(["9", "12"]);

    const log = await guest.look(
      ({ root }) =>
        process
          .getBuiltinModule("node:fs")
          .readFileSync(`${root}/sys/kernel/security/tpm0/binary_bios_measurements`)
          .toString("base64"),
      null,
    );
    const events = parseEventLog(Buffer.from(log, "base64"));
    // The firmware's own log ends where the kernel begins, and initdata is bound later.
    const { "8": _initdata, ...ofFirmware } = found;
    const replayed = Object.keys(ofFirmware).map((n) => [n, replay(events, Number(n), "SHA-256").toString("hex")]);
    expect(Object.fromEntries(replayed)).toEqual(ofFirmware);
    await guest[Symbol.asyncDispose]();
  });

  it.each([
    ["SIGKILL", "SIGKILL"],
    // It ends in good order then.
    ["SIGTERM", "status 0"],
  ] as const)("does not go on without its TPM, which %s has ended, says so and leaves nothing", async (signal, how) => {
    const logFile = join(stateRoot(), "log");
    const guest = await startGuest({ ...QEMU, stateRoot: stateRoot(), ovmf: true, logFile });
    const tpm = readState(guest.layout)?.helpers.at(-1)?.pid ?? 0;
    expect(readFileSync(`/proc/${tpm}/comm`, "latin1").trim()).toBe("swtpm");
    process.kill(tpm, signal);
    await guest.ended;
    expect(readFileSync(logFile, "utf8")).toContain(`the guest is ended after the end of its TPM, ${how}\n`);
    expect(guestTraces(stateRoot(), guest.id)).toEqual(NOTHING);
  });
});
