import { type Effects, Errno, recordingEffects, SysError } from "@nacre/kata-sys-util";
import { afterEach, describe, expect, it } from "vitest";

import { catchCtrlAltDel, PowerRequests } from "../src/power-request.ts";

const SIGNALS = ["SIGTERM", "SIGPWR", "SIGINT"] as const;
const before = new Map(SIGNALS.map((signal) => [signal, process.listeners(signal)]));
afterEach(() => {
  for (const signal of SIGNALS) {
    for (const listener of process.listeners(signal)) {
      if (before.get(signal)?.includes(listener) !== true) process.off(signal, listener);
    }
  }
});

describe("PowerRequests", () => {
  it("leads each signal to what holds now", () => {
    const told: string[] = [];
    const requests = new PowerRequests((signal) => told.push(`early ${signal}`));
    process.emit("SIGPWR");
    requests.handle = (signal) => told.push(`late ${signal}`);
    for (const signal of SIGNALS) process.emit(signal);
    expect(told).toEqual(["early SIGPWR", "late SIGTERM", "late SIGPWR", "late SIGINT"]);
  });
});

describe("catchCtrlAltDel", () => {
  it("asks for it, and ends the boot where it is refused", async () => {
    const asked: string[] = [];
    const effects: Effects = recordingEffects(({ name }) => asked.push(name));
    await catchCtrlAltDel(effects);
    expect(asked).toEqual(["catchCtrlAltDel"]);
    const refuse = (): Promise<void> => Promise.reject(SysError.fromErrno(Errno.EPERM, "reboot"));
    await expect(catchCtrlAltDel({ ...effects, catchCtrlAltDel: refuse })).rejects.toMatchObject({ code: "device" });
  });
});
