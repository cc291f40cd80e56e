import { AgentService } from "@nacre/protocols";

import type { Agent } from "../agent.ts";
import { type Command, command } from "../command.ts";
import type { ContainerRecord } from "../container-store.ts";
import { print, table } from "../context.ts";
import { findGuest, listGuests } from "../guest/guest.ts";
import { isUnknownContainer, type Pod } from "../pod.ts";
import { openPod } from "../select.ts";
import { sweepAbandoned } from "../sweep-abandoned.ts";

const STATS_TIMEOUT_MS = 10_000;

export const ps: Command = command({
  name: "ps",
  usage: "",
  summary: "List the containers of all guests",
  arity: { min: 0, max: 0 },
  flags: { guest: { type: "string", value: "GUEST", help: "only those of this guest" } },
  async run({ flags }, context) {
    await sweepAbandoned(context);
    const listed = [];
    for (const guest of flags.guest === undefined ? listGuests() : [findGuest(flags.guest)]) {
      using open = await openPod(guest, context.interrupts.signal);
      for (const record of open.pod.containers.list()) {
        const status = await statusOf(open.agent, open.pod, record);
        if (status === undefined) continue;
        const { name, id, image, created } = record;
        listed.push({
          guest: guest.id,
          name,
          id,
          image,
          created,
          status,
          command: record.process.Args?.join(" ") ?? "",
        });
      }
    }
    const rows = listed.map((c) => [c.name, c.guest, c.status, c.image, c.created, cut(c.command)]);
    print(context, listed, table(["NAME", "GUEST", "STATUS", "IMAGE", "CREATED", "COMMAND"], rows));
  },
});

/** By what still runs in it; undefined, and forgotten, when the agent does not have it any more. */
async function statusOf(agent: Agent, pod: Pod, record: ContainerRecord): Promise<string | undefined> {
  if (record.exitStatus !== undefined) return `exited (${record.exitStatus})`;
  try {
    const stats = await agent.call(
      AgentService.methods.StatsContainer,
      { container_id: record.id },
      { timeoutMs: STATS_TIMEOUT_MS },
    );
    return (stats.cgroup_stats?.pids_stats?.current ?? 0n) > 0n ? "running" : "exited";
  } catch (error) {
    if (isUnknownContainer(error)) {
      // It may also be one that is being created at this moment.
      if (Date.now() - Date.parse(record.created) < CREATION_MS) return "creating";
      pod.containers.remove(record.name);
      return undefined;
    }
    return "unknown";
  }
}

/** As long as a pull may take. */
const CREATION_MS: number = 10 * 60 * 1000;

function cut(text: string): string {
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}
