import { describe, expect, it } from "vitest";
import { type Command, command } from "../src/command.ts";
import { COMMANDS } from "../src/commands/index.ts";
import { NacreError } from "../src/error.ts";
import { parseCommand } from "../src/parse-command.ts";

const FLAGS = {
  name: { type: "string", value: "NAME", help: "a name" },
  env: { type: "string", short: "e", multiple: true, help: "an entry" },
  interactive: { type: "boolean", short: "i", help: "input" },
  tty: { type: "boolean", short: "t", help: "terminal" },
} as const;

const run: Command = command({
  name: "run",
  usage: "IMAGE [-- COMMAND]",
  summary: "Runs",
  arity: { min: 1, max: 1, rest: true },
  flags: FLAGS,
  run: () => Promise.resolve(),
});
const plain = (name: string): Command => ({ ...run, name, usage: "[X]", arity: { min: 0, max: 1 }, flags: {} });
const commands = [run, plain("guest start"), plain("guest stop")];

function invocation(...argv: string[]): unknown {
  const parsed = parseCommand(commands, argv);
  if (parsed.kind !== "run") throw new Error("expected a command, got help");
  return { name: parsed.command.name, json: parsed.json, ...parsed.invocation };
}

function failure(...argv: string[]): string {
  try {
    parseCommand(commands, argv);
  } catch (error) {
    expect(error).toBeInstanceOf(NacreError);
    expect((error as NacreError).code).toBe("usage");
    return (error as NacreError).message;
  }
  throw new Error("expected a refusal");
}

describe("parseCommand", () => {
  it("reads flags, short ones together, before and after the arguments", () => {
    expect(invocation("run", "-it", "img", "--name=a", "-e", "A=1", "-eB=2", "--json")).toEqual({
      name: "run",
      json: true,
      args: ["img"],
      rest: undefined,
      flags: { name: "a", env: ["A=1", "B=2"], interactive: true, tty: true },
    });
  });

  it("leaves what follows -- as it is", () => {
    expect(invocation("run", "img", "--", "sh", "-c", "--", "--json")).toEqual({
      name: "run",
      json: false,
      args: ["img"],
      rest: ["sh", "-c", "--", "--json"],
      flags: { name: undefined, env: [], interactive: false, tty: false },
    });
    expect(invocation("run", "img", "--")).toMatchObject({ args: ["img"], rest: [] });
  });

  it("finds commands of two words", () => {
    expect(invocation("guest", "stop", "abc")).toMatchObject({ name: "guest stop", args: ["abc"] });
  });

  it.each([[], ["--help"], ["-h"], ["help"]])("shows the overview for %j", (...argv) => {
    expect(parseCommand(commands, argv)).toMatchObject({ kind: "help", command: undefined });
  });

  it.each([
    ["run", "--help"],
    ["help", "run"],
    ["run", "img", "-h"],
  ])("shows one command's help for %j", (...argv) => {
    expect(parseCommand(commands, argv)).toMatchObject({ kind: "help", command: run });
  });

  it("does not take the command's --help for its own", () => {
    expect(invocation("run", "img", "--", "ls", "--help")).toMatchObject({ rest: ["ls", "--help"] });
  });

  it("refuses what it does not know, with what there is", () => {
    expect(failure("nope")).toBe("no command nope; nacre --help lists all");
    expect(failure("guest")).toBe("no command guest; there are guest start, guest stop");
    expect(failure("guest", "go")).toBe("no command guest go; there are guest start, guest stop");
    expect(failure("run", "img", "--nope")).toBe("run: Unknown option '--nope'; see nacre run --help");
    expect(failure("run", "img", "--name")).toMatch(/^run: Option '--name <value>' argument missing/u);
    expect(failure("run", "img", "--tty=yes")).toMatch(/^run: Option '-t, --tty' does not take an argument/u);
  });

  it("refuses too few and too many arguments", () => {
    expect(failure("run")).toBe("run: an argument is missing; expected: nacre run IMAGE [-- COMMAND]");
    expect(failure("run", "img", "sh")).toMatch(
      /^run: too many arguments \(a command for the container comes after --\)/u,
    );
    expect(failure("guest", "start", "--", "x")).toBe(
      "guest start: nothing may follow --; expected: nacre guest start [X]",
    );
  });
});

describe("the table of commands", () => {
  it("has each name once, and none that hides another", () => {
    const names = COMMANDS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(names.some((other) => other.startsWith(`${name} `))).toBe(false);
  });

  it.each(COMMANDS.map((entry) => [entry.name, entry] as const))("%s: its flags parse as declared", (_name, entry) => {
    for (const [flag, { type, short }] of Object.entries(entry.flags)) {
      const given = type === "string" ? [`--${flag}`, "v"] : [`--${flag}`];
      const parsed = parseCommand(COMMANDS, [
        ...entry.name.split(" "),
        ...given,
        ...Array<string>(entry.arity.min).fill("x"),
      ]);
      expect(parsed).toMatchObject({ kind: "run" });
      expect(short === undefined || (short.length === 1 && short !== "h")).toBe(true);
    }
  });
});
