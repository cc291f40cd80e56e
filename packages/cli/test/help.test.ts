import { describe, expect, it } from "vitest";
import { COMMANDS } from "../src/commands/index.ts";
import { commandHelp, helpJson, overview } from "../src/help.ts";

describe("the help", () => {
  it("lists every command with what it does", () => {
    const text = overview(COMMANDS);
    for (const { name, summary } of COMMANDS) {
      expect(text).toMatch(new RegExp(`^  ${name}\\b.*`, "mu"));
      expect(text).toContain(summary);
    }
  });

  it.each(COMMANDS.map((entry) => [entry.name, entry] as const))("%s: tells every option", (name, entry) => {
    const text = commandHelp(entry);
    expect(text).toMatch(new RegExp(`^nacre ${name}`, "u"));
    for (const flag of [...Object.keys(entry.flags), "json", "help"]) expect(text).toContain(`--${flag}`);
  });

  it("fits a terminal of 130 columns", () => {
    for (const text of [overview(COMMANDS), ...COMMANDS.map(commandHelp)]) {
      expect(text.split("\n").filter((line) => line.length > 130)).toEqual([]);
    }
  });

  it("tells the same to programs", () => {
    const { commands } = helpJson(COMMANDS) as { commands: { name: string }[] };
    expect(commands.map(({ name }) => name)).toEqual(COMMANDS.map(({ name }) => name));
  });
});
