import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

import { startGuest } from "@nacre/cli";

import { missing } from "./containers.ts";
import type { BenchRow } from "./row.ts";

/** A bare Node, and what each further daemon may have beside it, in MB. */
const FLOOR = 45;
const EACH = 25;
const NODE = "/usr/bin/node";
/** What is only warmed up is over by then: the hub's rehearsal of a pull takes a second or two. */
const SETTLED_MS = 12_000;

interface Daemon {
  readonly name: string;
  /** With its share of pages that several map; its own alone. MB. */
  readonly pss: number;
  readonly own: number;
}

/** Memory of a simulated guest's daemons when nothing runs in it. */
export async function benchMemory(): Promise<BenchRow[]> {
  await using guest = await startGuest();
  await setTimeout(SETTLED_MS);
  const daemons = daemonsOf(guest.initPid);
  const sum = daemons.reduce((total, { pss }) => total + pss, 0);
  const each = daemons.map(({ name, pss }) => `${name} ${pss.toFixed(1)}`).join(", ");
  const bound = FLOOR + EACH * (daemons.length - 1);
  const rust = "recorded of the Rust ones after a pod, PSS: agent 18.3, hub 29 to 30";
  return [
    missing(`${daemons.length} daemons of an idle guest, summed PSS`, sum, bound, "MB", each),
    ...daemons.map(({ name, own }): BenchRow => ({
      ...missing(`${name}, private`, own, 0, "MB", rust),
      target: "-",
      met: null,
    })),
  ];
}

/** Processes of the guest that run Node. */
function daemonsOf(init: number): readonly Daemon[] {
  const space = readlinkSync(`/proc/${init}/ns/pid`);
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/u.test(pid))
    .flatMap((pid) => {
      try {
        if (readlinkSync(`/proc/${pid}/ns/pid`) !== space) return [];
        const argv = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
        if (argv[0] !== NODE) return [];
        const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
        const megabytes = (name: string): number =>
          Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "mu").exec(rollup)?.[1]) / 1024;
        const program = argv.find((argument) => argument !== NODE && argument.startsWith("/")) ?? "";
        const name = program.replace(/^.*\/|\.mjs$/gu, "");
        return [{ name, pss: megabytes("Pss"), own: megabytes("Private_Clean") + megabytes("Private_Dirty") }];
      } catch {
        // Ended meanwhile, or another user's.
        return [];
      }
    });
}
