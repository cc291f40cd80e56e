import { recordingEffects } from "@nacre/kata-sys-util";
import { describe, expect, it } from "vitest";

import { powerOffBy } from "../src/power-off.ts";

/** Powers off as process `pid` and tells what happened, in order. */
async function done(pid: number): Promise<string[]> {
  const happened: string[] = [];
  const powerOff = powerOffBy(
    recordingEffects(({ name }) => happened.push(name)),
    {
      pid,
      killAll: () => void happened.push("killAll"),
      exit: (status) => {
        happened.push(`exit ${status}`);
        throw new Error("exited");
      },
    },
  );
  await expect(powerOff(3)).rejects.toThrow("exited");
  return happened;
}

describe("powerOffBy", () => {
  it("ends every other process of the guest, then the guest", async () => {
    expect(await done(1)).toEqual(["killAll", "powerOff", "exit 3"]);
  });

  it("kills nobody when it is not the first process: all it sees is then not the guest's", async () => {
    expect(await done(4711)).toEqual(["powerOff", "exit 3"]);
  });
});
