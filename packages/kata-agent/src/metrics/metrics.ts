import { statfs } from "node:fs/promises";

import { mountInfo } from "@nacre/kata-sys-util";

import type { ComponentState } from "../launch/supervise.ts";
import { agentProcess } from "./agent-process.ts";
import { components } from "./components.ts";
import { exposition } from "./exposition.ts";
import { type FilesystemPorts, filesystems } from "./filesystems.ts";
import { guest } from "./guest.ts";
import { readProc, type ReadProc } from "./proc.ts";

export interface MetricsPorts extends FilesystemPorts {
  readonly read: ReadProc;
}

const systemMetricsPorts: MetricsPorts = { read: readProc, mounts: () => mountInfo(), statfs: (path) => statfs(path) };

/** What GetMetrics answers: the agent, the guest and the guest components, in Prometheus' text format. */
export class AgentMetrics {
  readonly #states: () => ReadonlyMap<string, Readonly<ComponentState>>;
  readonly #ports: MetricsPorts;
  #scrapes = 0;

  constructor(states: () => ReadonlyMap<string, Readonly<ComponentState>>, ports: MetricsPorts = systemMetricsPorts) {
    this.#states = states;
    this.#ports = ports;
  }

  async text(): Promise<string> {
    this.#scrapes += 1;
    const { read } = this.#ports;
    return exposition([
      {
        name: "kata_agent_scrape_count",
        help: "Metrics scrape count",
        type: "counter",
        samples: [{ labels: {}, value: this.#scrapes }],
      },
      ...agentProcess(read),
      ...components(this.#states()),
      ...guest(read),
      ...(await filesystems(this.#ports)),
    ]);
  }
}
