import { table } from "../context.ts";
import { visibleLine } from "../visible.ts";
import type { Proof, ProvenDevice, ReferenceRow } from "./proof.ts";

/** Characters of a cell; the page has all of it. */
const MAX_CELL = 72;
/** Events that a terminal shows. */
const MAX_EVENTS = 200;

/** A proof as tables for a terminal. What others have named is shown so that it steers nothing. */
export function showProof(proof: Proof): string {
  const facts = proof.facts.map(([name, value]) => `${cell(name)}: ${cell(value)}\n`).join("");
  const remarks = proof.remarks
    .map(({ tone, text }) => `${tone === "good" ? "+" : "!"} ${visibleLine(text)}\n`)
    .join("");
  return `${visibleLine(proof.subject)}\n${facts}${remarks}${proof.devices.map(showDevice).join("")}`;
}

function showDevice({ name, status, policy, vector, references, claims, events }: ProvenDevice): string {
  const parts = [
    `\n${cell(name)}: ${cell(status)} (policy ${cell(policy)})\n`,
    section(
      "trust vector",
      ["CLAIM", "VALUE", "TIER"],
      vector.map((row) => [row.claim, String(row.value), row.tier]),
    ),
    section(
      "reference values",
      ["NAME", "EXPECTED", "FOUND", ""],
      references.map((row) => [
        row.name,
        row.expected ?? "none registered",
        row.found ?? "no claim of this name",
        verdict(row),
      ]),
    ),
    section("claims", ["CLAIM", "VALUE"], claims),
    section(
      "measured event log",
      ["REGISTER", "EVENT", "DIGEST", "DETAILS"],
      events.slice(0, MAX_EVENTS).map((event) => [String(event.register), event.type, event.digest, event.text]),
    ),
    events.length > MAX_EVENTS ? `${events.length - MAX_EVENTS} more events; --html FILE shows them\n` : "",
  ];
  return parts.join("");
}

export function verdict({ agrees }: ReferenceRow): string {
  return agrees === undefined ? "" : agrees ? "agrees" : "DIFFERS";
}

function section(title: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return `\n${title}: none\n`;
  return `\n${title}\n${table(
    head,
    rows.map((row) => row.map(cell)),
  )}`;
}

function cell(text: string): string {
  const line = visibleLine(text);
  return line.length > MAX_CELL ? `${line.slice(0, MAX_CELL - 1)}…` : line;
}
