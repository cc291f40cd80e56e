import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { BenchRow } from "./row.ts";

/** The benches by name; each is loaded only when it runs. */
const BENCHES: Readonly<Record<string, () => Promise<BenchRow[]>>> = {
  ttrpc: async () => (await import("./ttrpc.ts")).benchTtrpc(),
  containers: async () => (await import("./containers.ts")).benchContainers(),
  guest: async () => (await import("./guest.ts")).benchGuest(),
  boot: async () => (await import("./simulated-boot.ts")).benchSimulatedBoot(),
  qemu: async () => (await import("./qemu-boot.ts")).benchQemuBoot(),
  memory: async () => (await import("./memory.ts")).benchMemory(),
  hypervisor: async () => (await import("./hypervisor.ts")).benchHypervisor(),
  kata: async () => (await import("./hypervisor.ts")).benchKataNode(),
  policy: async () => (await import("./policy.ts")).benchPolicy(),
  attest: async () => (await import("./attest.ts")).benchAttest(),
  hub: async () => (await import("./hub.ts")).benchHub(),
  pull: async () => (await import("./pull.ts")).benchPull(),
};

const figure = (value: number | null): string =>
  value === null ? "missing" : value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 2 : 0 });

function table(rows: readonly BenchRow[]): string {
  const cells = rows.map((r) => [
    r.name,
    figure(r.ours),
    figure(r.peer),
    r.ratio === null ? "-" : r.ratio.toFixed(2),
    r.unit,
    r.target,
    r.met === null ? "-" : r.met ? "met" : "MISSED",
  ]);
  const lines = [["name", "ours", "peer", "ratio", "unit", "target", ""], ...cells];
  const widths = (lines[0] ?? []).map((_, i) => Math.max(...lines.map((l) => (l[i] ?? "").length)));
  return lines
    .map((l) =>
      l
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

const { values } = parseArgs({ options: { only: { type: "string" } } });
const names = values.only === undefined ? Object.keys(BENCHES) : [values.only];
const rows: BenchRow[] = [];
let broken = 0;
for (const name of names) {
  const bench = BENCHES[name];
  if (bench === undefined) {
    process.stderr.write(`expected one of ${Object.keys(BENCHES).join(", ")}, got ${name}\n`);
    process.exit(2);
  }
  process.stderr.write(`bench ${name}…\n`);
  try {
    rows.push(...(await bench()));
  } catch (error) {
    // One peer that cannot be set up does not hide the other figures, nor does it pass.
    broken += 1;
    process.stderr.write(
      `bench ${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  }
}

const out = join(import.meta.dirname, "out");
mkdirSync(out, { recursive: true });
const machine = {
  cpu: cpus()[0]?.model ?? "unknown",
  cores: availableParallelism(),
  memory: totalmem(),
  node: process.version,
};
const date = new Date().toISOString();
writeFileSync(
  join(out, `${date.replaceAll(/[:.]/gu, "-")}.jsonl`),
  [{ machine, date }, ...rows].map((row) => `${JSON.stringify(row)}\n`).join(""),
);
process.stdout.write(
  `\n${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${date.slice(0, 10)}\n\n${table(rows)}\n`,
);
for (const { name, note } of rows) if (note !== undefined) process.stdout.write(`  ${name}: ${note}\n`);
process.exitCode = broken > 0 ? 1 : 0;
