import { describe, expect, it } from "vitest";
import { describeError } from "../../src/error.ts";
import { runtimeFailure } from "../../src/container/runtime-error.ts";

const line = (msg: string, level = "error"): string => `${JSON.stringify({ level, msg, time: "x" })}\n`;

describe("runtimeFailure", () => {
  it.each([
    [
      "runc",
      'runc create failed: unable to start container process: exec: "nosuch": executable file not found in $PATH',
      "nosuch",
    ],
    [
      "runc",
      'exec failed: unable to start container process: exec: "/no/such": stat /no/such: no such file or directory',
      "/no/such",
    ],
    ["crun", "executable file `nosuch` not found in $PATH: No such file or directory", "nosuch"],
  ])("turns %s's missing program into the known text", (_, msg, name) => {
    expect(runtimeFailure("create", 1, line(msg)).message).toBe(`the file ${name} was not found`);
  });

  it("passes the last error on as the cause", () => {
    const log = `${line("first")}not json\n${line("careful", "warning")}${line("second")}`;
    expect(describeError(runtimeFailure("create", 1, log))).toBe(
      "the runtime's create failed with exit status 1\n\nCaused by:\n    second",
    );
  });

  it("says how it ended when the log is empty", () => {
    expect(describeError(runtimeFailure("exec", "SIGKILL", ""))).toBe("the runtime's exec failed with signal SIGKILL");
  });

  it("cuts a text of any length", () => {
    expect(describeError(runtimeFailure("create", 1, line("x".repeat(100_000)))).length).toBeLessThan(5000);
  });
});
