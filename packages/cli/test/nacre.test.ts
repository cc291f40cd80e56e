import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { type Command, command } from "../src/command.ts";
import { print } from "../src/context.ts";
import { NacreError } from "../src/error.ts";
import { Interrupts } from "../src/interrupts.ts";
import { nacre } from "../src/nacre.ts";

function commandThat(name: string, run: Command["run"]): Command {
  return command({ name, usage: "", summary: "Does it", arity: { min: 0, max: 9, rest: true }, flags: {}, run });
}

const COMMANDS: readonly Command[] = [
  commandThat("tell", (_invocation, context) => Promise.resolve(print(context, { told: 1 }, "told"))),
  commandThat("status", () => Promise.resolve(7)),
  commandThat("fail", () => {
    throw new NacreError("agent", "CreateContainer: no", { cause: new Error("the\n\n    cause\n") });
  }),
  commandThat("run", () => {
    throw new NacreError("guest", "not run");
  }),
  commandThat("bug", () => {
    throw new TypeError("x is undefined");
  }),
  commandThat("wait", async (_invocation, { interrupts }) => {
    await new Promise((_resolve, reject) => {
      interrupts.signal.addEventListener("abort", () => reject(interrupts.signal.reason as Error));
    });
  }),
];

async function outcome(argv: readonly string[], during?: (signals: EventEmitter) => void): Promise<object> {
  const signals = new EventEmitter();
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const streams = { stdin: new PassThrough(), stdout, stderr } as unknown as Pick<
    Parameters<typeof nacre>[2],
    "stdin" | "stdout" | "stderr"
  >;
  const status = nacre(COMMANDS, argv, { ...streams, env: {}, interrupts: new Interrupts(signals) });
  during?.(signals);
  const text = (stream: PassThrough): string => String(stream.read() ?? "");
  return { status: await status, out: text(stdout), err: text(stderr) };
}

describe("nacre", () => {
  it("prints text, or JSON where that was asked for", async () => {
    expect(await outcome(["tell"])).toEqual({ status: 0, out: "told\n", err: "" });
    expect(await outcome(["tell", "--json"])).toEqual({ status: 0, out: '{"told":1}\n', err: "" });
  });

  it("gives the command's status", async () => {
    expect(await outcome(["status"])).toEqual({ status: 7, out: "", err: "" });
  });

  it("tells an error and its cause in one line", async () => {
    expect(await outcome(["fail"])).toEqual({ status: 1, out: "", err: "nacre: CreateContainer: no: the cause\n" });
    expect(await outcome(["bug"])).toEqual({ status: 1, out: "", err: "nacre: x is undefined\n" });
    expect(await outcome(["fail", "--json"])).toEqual({
      status: 1,
      out: "",
      err: '{"error":{"code":"agent","message":"CreateContainer: no: the cause"}}\n',
    });
  });

  it("keeps the statuses of run and of wrong command lines apart from a process's", async () => {
    expect(await outcome(["run"])).toEqual({ status: 125, out: "", err: "nacre: not run\n" });
    expect(await outcome(["run", "--nope", "--json"])).toEqual({
      status: 2,
      out: "",
      err: `{"error":{"code":"usage","message":"run: Unknown option '--nope'; see nacre run --help"}}\n`,
    });
    // This one belongs to what is run.
    expect(await outcome(["nope", "--", "--json"])).toMatchObject({
      err: "nacre: no command nope; nacre --help lists all\n",
    });
  });

  it("gives up on Ctrl-C, without a word", async () => {
    expect(await outcome(["wait"], (signals) => signals.emit("SIGINT"))).toEqual({ status: 130, out: "", err: "" });
    expect(await outcome(["wait"], (signals) => signals.emit("SIGTERM"))).toMatchObject({ status: 143 });
  });
});

describe("Interrupts", () => {
  it("go to what is attached, and to the command again afterwards", () => {
    const signals = new EventEmitter();
    const interrupts = new Interrupts(signals);
    const seen: string[] = [];
    {
      using _forwarded = interrupts.forwardTo((signal) => seen.push(signal));
      signals.emit("SIGINT");
      signals.emit("SIGHUP");
    }
    expect(seen).toEqual(["SIGINT", "SIGHUP"]);
    expect(interrupts.signal.aborted).toBe(false);
    signals.emit("SIGTERM");
    expect(interrupts.signal.aborted).toBe(true);
    interrupts.close();
    expect(signals.eventNames()).toEqual([]);
  });
});
