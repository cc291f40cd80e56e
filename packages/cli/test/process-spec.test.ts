import { describe, expect, it } from "vitest";
import { CAPABILITIES, containerProcess, execProcess, parseUser } from "../src/process-spec.ts";

const IMAGE = {
  entrypoint: ["/entry"],
  cmd: ["default"],
  env: ["PATH=/opt/bin", "A=1"],
  workingDir: "/srv",
  user: "1000:100",
};
const BARE = { entrypoint: [], cmd: [], env: [], workingDir: "", user: "" };

describe("containerProcess", () => {
  it("takes everything from the image", () => {
    expect(containerProcess(IMAGE, {})).toEqual({
      Args: ["/entry", "default"],
      Terminal: false,
      Env: ["PATH=/opt/bin", "A=1"],
      Cwd: "/srv",
      User: { UID: 1000, GID: 100, AdditionalGids: [100] },
      Capabilities: { Bounding: CAPABILITIES, Effective: CAPABILITIES, Permitted: CAPABILITIES },
    });
  });

  it("has defaults where the image says nothing", () => {
    const process = containerProcess(BARE, { command: ["sh"] });
    expect(process).toMatchObject({ Args: ["sh"], Cwd: "/", User: { UID: 0, GID: 0 } });
    expect(process.Env).toEqual(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
  });

  it("puts the command in the place of Cmd and leaves the entrypoint", () => {
    expect(containerProcess(IMAGE, { command: ["given"] }).Args).toEqual(["/entry", "given"]);
    expect(containerProcess(IMAGE, { command: [] }).Args).toEqual(["/entry"]);
  });

  it("refuses to run nothing", () => {
    expect(() => containerProcess(BARE, {})).toThrow("the image names no command: give one after --");
  });

  it("merges the environment: the user's entries replace the image's", () => {
    const env = ["A=2", "B=x=y", "HOME", "ABSENT"];
    expect(containerProcess(IMAGE, { env, hostEnv: { HOME: "/root" } }).Env).toEqual([
      "PATH=/opt/bin",
      "A=2",
      "B=x=y",
      "HOME=/root",
    ]);
    expect(() => containerProcess(IMAGE, { env: ["=x"] })).toThrow("--env: expected NAME=VALUE or NAME");
  });

  it("gives a terminal its type and size", () => {
    const process = containerProcess(IMAGE, { terminal: true, size: { rows: 40, columns: 120 } });
    expect(process).toMatchObject({ Terminal: true, ConsoleSize: { Height: 40, Width: 120 } });
    expect(process.Env).toContain("TERM=xterm");
    expect(containerProcess(IMAGE, { size: { rows: 40, columns: 120 } })).not.toHaveProperty("ConsoleSize");
  });
});

describe("execProcess", () => {
  it("repeats the container's process with another command", () => {
    const container = containerProcess(IMAGE, { env: ["B=2"] });
    expect(execProcess(container, { command: ["ls"], env: ["A=9"] })).toEqual({
      Args: ["ls"],
      Terminal: false,
      Env: ["PATH=/opt/bin", "A=9", "B=2"],
      Cwd: "/srv",
      User: { UID: 1000, GID: 100, AdditionalGids: [100] },
    });
    expect(execProcess(container, { command: ["ls"], user: "0", workdir: "/" })).toMatchObject({
      Cwd: "/",
      User: { UID: 0, GID: 0 },
    });
  });
});

describe("parseUser", () => {
  it.each([
    ["", 0, 0],
    ["7", 7, 0],
    ["7:8", 7, 8],
    ["4294967294:1", 4_294_967_294, 1],
  ])("%j", (text, uid, gid) => expect(parseUser(text)).toEqual({ uid, gid }));

  it.each(["nobody", "0:wheel", "-1", "1:", "4294967295", "0x1", " 1", "99999999999"])("refuses %j", (text) => {
    expect(() => parseUser(text)).toThrow(`user ${JSON.stringify(text)} is not UID[:GID] in numbers`);
  });
});
