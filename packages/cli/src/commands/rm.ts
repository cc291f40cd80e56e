import { AgentService } from "@nacre/protocols";

import { type Command, command } from "../command.ts";
import { print } from "../context.ts";
import { NacreError } from "../error.ts";
import { type OpenPod, openContainer } from "../select.ts";
import type { ContainerRecord } from "../container-store.ts";

const STATS_TIMEOUT_MS = 10_000;

export const rm: Command = command({
  name: "rm",
  usage: "CONTAINER...",
  summary: "Remove containers",
  arity: { min: 1, max: 64 },
  flags: {
    guest: { type: "string", value: "GUEST", help: "which guest; default: the one that has the container" },
    force: { type: "boolean", short: "f", help: "also one that runs: it is killed" },
  },
  async run({ args, flags }, context) {
    const removed: string[] = [];
    for (const name of args) {
      using open = await openContainer(name, flags.guest, context.interrupts.signal);
      if (!flags.force && (await runs(open))) {
        throw new NacreError("usage", `container ${name} runs: end it, or nacre rm --force ${name}`);
      }
      await open.pod.remove(open.record);
      removed.push(open.record.name);
    }
    print(context, { removed }, removed.join("\n"));
  },
});

/** A policy may keep this from us; then what the user says holds. */
async function runs({ agent, record }: OpenPod & { readonly record: ContainerRecord }): Promise<boolean> {
  if (record.exitStatus !== undefined) return false;
  try {
    const stats = await agent.call(
      AgentService.methods.StatsContainer,
      { container_id: record.id },
      { timeoutMs: STATS_TIMEOUT_MS },
    );
    return (stats.cgroup_stats?.pids_stats?.current ?? 0n) > 0n;
  } catch {
    return false;
  }
}
