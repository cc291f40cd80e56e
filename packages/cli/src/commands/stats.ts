import { AgentService, type grpc, toJson } from "@nacre/protocols";

import { type Command, command } from "../command.ts";
import { print, table } from "../context.ts";
import { openContainer } from "../select.ts";

export const stats: Command = command({
  name: "stats",
  usage: "CONTAINER",
  summary: "Show what a container uses",
  arity: { min: 1, max: 1 },
  flags: { guest: { type: "string", value: "GUEST", help: "which guest; default: the one that has the container" } },
  async run({ args: [name = ""], flags }, context) {
    const { signal } = context.interrupts;
    using open = await openContainer(name, flags.guest, signal);
    const reply = await open.agent.call(
      AgentService.methods.StatsContainer,
      { container_id: open.record.id },
      { signal },
    );
    print(context, toJson("grpc.StatsContainerResponse", reply), statsTable(open.record.name, reply));
  },
});

function statsTable(name: string, { cgroup_stats }: grpc.StatsContainerResponse): string {
  const memory = cgroup_stats?.memory_stats?.usage;
  const cpu = cgroup_stats?.cpu_stats?.cpu_usage;
  const row = [
    name,
    String(cgroup_stats?.pids_stats?.current ?? 0n),
    mebibytes(memory?.usage ?? 0n),
    limit(memory?.limit ?? 0n),
    `${(Number(cpu?.total_usage ?? 0n) / 1e9).toFixed(3)} s`,
  ];
  return table(["NAME", "PROCESSES", "MEMORY", "LIMIT", "CPU TIME"], [row]);
}

function mebibytes(bytes: bigint): string {
  return `${(Number(bytes) / 1024 / 1024).toFixed(1)} MiB`;
}

/** Without a limit the kernel tells a number near the largest. */
function limit(bytes: bigint): string {
  return bytes === 0n || bytes >= 1n << 60n ? "none" : mebibytes(bytes);
}
