import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ruleName } from "@nacre/agent-policy";
import { AgentService } from "@nacre/protocols";

const README = readFileSync(join(import.meta.dirname, "../../packages/agent-policy/README.md"), "utf8");

/** Rows of the README's table of methods: method, rule, when it is asked, genpolicy's default, allow-all's. */
const rows = README.split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .filter((cells) => cells.length === 7 && /^`\w+`$/.test(cells[2] ?? ""))
  .map(([, method = "", rule = "", asked = "", generated = "", open = ""]) => ({
    method,
    rule: rule.replaceAll("`", ""),
    asked,
    generated,
    open,
  }));

describe("the table of methods in agent-policy's README", () => {
  it.each(Object.entries(AgentService.methods))("has %s, with its rule", (name, method) => {
    const found = rows.filter((row) => row.method === name);
    expect(found).toHaveLength(1);
    const [row] = found;
    expect(row?.rule).toBe(ruleName(method));
    expect(row?.asked).toMatch(/^Read/.test(name) ? /^after the reading/ : /^before anything else/);
    expect(["allowed", "refused", "by its rule", "by a setting; refused"]).toContain(row?.generated);
    expect(["allowed", "undefined"]).toContain(row?.open);
  });

  it("has no other", () => {
    expect(rows.map(({ method }) => method).toSorted()).toEqual(Object.keys(AgentService.methods).toSorted());
  });
});
