import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { convertProcess } from "../../src/container/oci-process.ts";
import { OciRuntime, type RunProgram } from "../../src/container/runtime.ts";
import { describeError } from "../../src/error.ts";
import { FakeIo } from "./fakes.ts";
import { processTree } from "./trees.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "nacre-runtime-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** The value after an option. */
function option(args: readonly string[], name: string): string {
  return args[args.indexOf(name) + 1] ?? "";
}

function runtime(run: RunProgram): OciRuntime {
  return new OciRuntime({ binary: "/usr/sbin/runc", root: join(directory, "root"), run });
}

/** A runtime that writes a pid file and ends well. */
function succeeding(calls: string[][], pid = "123\n"): RunProgram {
  return async (file, args, { spawned }) => {
    calls.push([file, ...args]);
    spawned();
    if (args.includes("--pid-file")) writeFileSync(option(args, "--pid-file"), pid);
    return 0;
  };
}

const created = (
  signal?: AbortSignal,
): { id: string; bundle: string; directory: string; io: FakeIo; signal: AbortSignal | undefined } => ({
  id: "c1",
  bundle: "/b",
  directory,
  io: new FakeIo(),
  signal,
});

describe("OciRuntime", () => {
  it("passes argument arrays and reads the pid", async () => {
    const calls: string[][] = [];
    const call = created();
    expect(await runtime(succeeding(calls)).create(call)).toBe(123);
    const [first = []] = calls;
    expect(first.join(" ").replaceAll(directory, "D")).toBe(
      "/usr/sbin/runc --root D/root --log D/2.log --log-format json create --bundle /b --pid-file D/1.pid c1",
    );
    expect(call.io.calls).toEqual(["release"]);
    expect(readdirSync(directory)).toEqual(["root"]);
  });

  it("hands a terminal's socket over, and a process in a file of mode 0600 that goes", async () => {
    let content = "";
    let mode = 0;
    const calls: string[][] = [];
    const process = convertProcess(processTree({ Env: ["SECRET=x"], Terminal: true }));
    const run: RunProgram = async (file, args, options) => {
      const path = option(args, "--process");
      content = readFileSync(path, "utf8");
      mode = statSync(path).mode & 0o777;
      return succeeding(calls)(file, args, options);
    };
    const io = new FakeIo({ terminal: true });
    expect(await runtime(run).exec({ id: "c1", directory, io, process, signal: undefined })).toBe(123);
    expect(calls[0]).toContain("--console-socket");
    expect(calls[0]).toContain("--detach");
    expect(JSON.parse(content)).toMatchObject({ env: ["SECRET=x"], terminal: true });
    expect(mode).toBe(0o600);
    expect(readdirSync(directory)).toEqual(["root"]);
  });

  it("runs the short commands with nothing but the id", async () => {
    const calls: string[][] = [];
    const short = runtime(succeeding(calls));
    await short.start("c1", directory);
    await short.pause("c1", directory);
    await short.resume("c1", directory);
    await short.delete("c1", directory);
    expect(calls.map((args) => args.slice(7).join(" "))).toEqual([
      "start c1",
      "pause c1",
      "resume c1",
      "delete --force c1",
    ]);
  });

  it("tells the runtime's last error and removes its files", async () => {
    const run: RunProgram = async (_, args) => {
      writeFileSync(option(args, "--log"), '{"level":"error","msg":"no such thing"}\n');
      return 1;
    };
    const error: unknown = await runtime(run)
      .create(created())
      .catch((cause: unknown) => cause);
    expect(describeError(error)).toBe(
      "the runtime's create failed with exit status 1\n\nCaused by:\n    no such thing",
    );
    expect(readdirSync(directory)).toEqual(["root"]);
  });

  it.each(["", "banana", "-1", "0", "1 2", "9".repeat(100)])("refuses the pid %j", async (text) => {
    const creating = runtime(succeeding([], text)).create(created());
    await expect(creating).rejects.toThrow("/usr/sbin/runc left no process id");
  });

  it("does not begin for a caller that has gone", async () => {
    const calls: string[][] = [];
    const creating = runtime(succeeding(calls)).create(created(AbortSignal.abort(new Error("gone"))));
    await expect(creating).rejects.toThrow("gone");
    expect(calls).toEqual([]);
    expect(existsSync(join(directory, "root"))).toBe(false);
  });

  it("tells the pid of a process that came to be although its caller has gone", async () => {
    const gone = new AbortController();
    const calls: string[][] = [];
    const run: RunProgram = async (...call) => {
      gone.abort(new Error("gone"));
      return succeeding(calls)(...call);
    };
    expect(await runtime(run).create(created(gone.signal))).toBe(123);
  });

  it("lets an exec come to its end for a caller that goes: cut off, it may leave a process that nobody knows", async () => {
    const gone = new AbortController();
    const calls: string[][] = [];
    const process = convertProcess(processTree({}));
    const run: RunProgram = async (file, args, options) => {
      gone.abort(new Error("gone"));
      return options.signal.aborted ? "SIGKILL" : succeeding(calls)(file, args, options);
    };
    const exec = { id: "c1", directory, io: new FakeIo(), process, signal: gone.signal };
    expect(await runtime(run).exec(exec)).toBe(123);
    await expect(runtime(run).exec(exec)).rejects.toThrow("gone");
    expect(calls).toHaveLength(1);
  });

  it("rejects with the caller's reason when it was killed before that", async () => {
    const gone = new AbortController();
    const run: RunProgram = async () => {
      gone.abort(new Error("gone"));
      return "SIGKILL";
    };
    await expect(runtime(run).create(created(gone.signal))).rejects.toThrow("gone");
  });

  it("wants an absolute path and says which program cannot be run", async () => {
    expect(() => new OciRuntime({ binary: "runc", root: "/r" })).toThrow("runtime path runc is not absolute");
    const absent = new OciRuntime({ binary: "/no/such/runc", root: join(directory, "root") });
    const io = new FakeIo();
    const error: unknown = await absent.create({ ...created(), io }).catch((cause: unknown) => cause);
    expect(describeError(error)).toBe(
      "cannot run /no/such/runc\n\nCaused by:\n    No such file or directory (os error 2)",
    );
    expect(io.calls).toEqual(["release"]);
  });

  it("ends the program when its caller goes", async () => {
    const gone = new AbortController();
    const script = join(directory, "stuck");
    writeFileSync(script, "#!/bin/sh\necho started\nexec sleep 1000\n", { mode: 0o755 });
    const stuck = new OciRuntime({ binary: script, root: join(directory, "root") });
    const call = created(gone.signal);
    // Once the program has its descriptors it runs.
    call.io.release = () => gone.abort(new Error("gone"));
    await expect(stuck.create(call)).rejects.toThrow("gone");
  });
});
