import { type Effects, recordingEffects } from "@nacre/kata-sys-util";
import { describe, expect, it } from "vitest";

import { NvrcError } from "../src/error.ts";
import { GuestEnd } from "../src/guest-end.ts";
import { Log } from "../src/log.ts";

interface Watched {
  readonly end: GuestEnd;
  readonly happened: string[];
  readonly exited: Promise<void>;
}

/** An end of process `pid`, and what happens, in order. */
function watched(pid: number, effects?: Partial<Effects>): Watched {
  const happened: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const log = new Log((priority, text) => happened.push(`${priority} ${text}`), "off");
  const recording = recordingEffects(({ name }) => happened.push(name));
  const end = new GuestEnd(
    log,
    { ...recording, ...effects },
    {
      pid,
      killAll: () => void happened.push("killAll"),
      exit: (status) => {
        happened.push(`exit ${status}`);
        resolve();
        return undefined as never;
      },
    },
  );
  return { end, happened, exited: promise };
}

describe("GuestEnd", () => {
  it("ends every other process of the guest, then the guest", async () => {
    const { end, happened } = watched(1);
    await end.powerOff(3);
    expect(happened).toEqual(["killAll", "powerOff", "exit 3"]);
  });

  it("kills nobody when it is not the first process: all it sees is then not the guest's", async () => {
    const { end, happened } = watched(4711);
    await end.powerOff(0);
    expect(happened).toEqual(["powerOff", "exit 0"]);
  });

  it("says in one line what failed, above every level of the console, and powers off", async () => {
    const { end, happened, exited } = watched(1);
    end.fail(new NvrcError("mount", "mount proc on /proc", { cause: new Error("mount: EPERM\nmore") }));
    await exited;
    expect(happened).toEqual(["0 NVRC panic: mount proc on /proc: mount: EPERM more", "killAll", "powerOff", "exit 1"]);
  });

  it("ends once: daemons that die with the guest are no news", async () => {
    const { end, happened, exited } = watched(1);
    end.fail(new Error("first"));
    end.fail(new Error("second"));
    await end.powerOff(0);
    await exited;
    expect(happened).toEqual(["0 NVRC panic: first", "killAll", "powerOff", "exit 1"]);
  });

  it("exits all the same where the power does not go", async () => {
    const powerOff = (): Promise<void> => Promise.reject(new Error("reboot: EPERM"));
    const { end, happened } = watched(1, { powerOff });
    await end.powerOff(0);
    expect(happened).toEqual(["killAll", "0 NVRC panic: power off: reboot: EPERM", "exit 0"]);
  });
});
