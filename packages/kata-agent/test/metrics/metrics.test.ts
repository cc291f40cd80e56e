import { describe, expect, it } from "vitest";

import { parseMountInfo } from "@nacre/kata-sys-util";

import type { ComponentState } from "../../src/launch/supervise.ts";
import { exposition } from "../../src/metrics/exposition.ts";
import { AgentMetrics } from "../../src/metrics/metrics.ts";
import { jsonLines, vectors } from "../../../../test/setup/data.ts";

const none = new Map<string, ComponentState>();
const PROC: Readonly<Record<string, string>> = {
  "self/stat": `1 (kata) 9 (x) S ${Array.from({ length: 45 }, (_, at) => at + 1).join(" ")}\n`,
  "self/status": "Name:\tkata\nVmPeak:\t  300 kB\nVmRSS:\t  100 kB\nvoluntary_ctxt_switches:\t7\n",
  "self/io": "rchar: 5\nwchar: 6\nsyscr: 1\nsyscw: 2\nread_bytes: 0\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n",
  loadavg: "0.23 0.17 0.48 1/95 1234\n",
  stat: "cpu  10 0 20 300 4 0 5 6 7 8\ncpu0 10 0 20 300 4\nintr 1 2\n",
  vmstat: "nr_free_pages 18446744073709551615\npgfault 12\n",
  "net/dev":
    "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0:100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n",
  diskstats: "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n   7       0 loop0 1 2 3 4 5 6 7 8 9 10 11\n",
  meminfo: "MemTotal:        2000 kB\nActive(anon):     10 kB\nHugePages_Total:       3\n",
};
const MOUNTS = parseMountInfo(
  [
    "1 0 8:1 / / ro - ext4 /dev/root ro",
    "2 1 8:2 / /data rw - ext4 /dev/vdb rw",
    "3 1 8:2 / /again rw - ext4 /dev/vdb rw",
    '4 1 0:9 / /o"\\134x rw - overlay overlay rw,lowerdir=/a',
    "5 1 0:10 / /proc rw - proc proc rw",
    "6 1 0:11 / /gone rw - xfs /dev/vdc rw",
    "",
  ].join("\n"),
);

async function text(states = none): Promise<string> {
  return await new AgentMetrics(() => states, {
    read: (path) => PROC[path],
    mounts: () => Promise.resolve(MOUNTS),
    statfs: (path) =>
      path === "/gone"
        ? Promise.reject(new Error("ENOENT"))
        : Promise.resolve({ type: 0, bsize: 4096, frsize: 4096, blocks: 10, bfree: 4, bavail: 3, files: 8, ffree: 2 }),
  }).text();
}

describe("the agent's metrics", () => {
  it("are in Prometheus' text format, families and samples in order", async () => {
    const lines = (await text()).split("\n");
    const names = lines.flatMap((line) => /^# TYPE (\S+)/u.exec(line)?.[1] ?? []);
    expect(names).toEqual(names.toSorted());
    for (const line of lines.slice(0, -1)) {
      expect(line).toMatch(
        /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{\w+="(?:[^"\\\n]|\\.)*"(?:,\w+="(?:[^"\\\n]|\\.)*")*\})? [\d.]+)$/u,
      );
    }
    expect(lines.at(-1)).toBe("");
  });

  it.each([
    "kata_agent_scrape_count 1",
    "kata_agent_threads 17",
    "kata_agent_total_time 0.23",
    "kata_agent_total_vm 20",
    "kata_agent_total_rss 102400",
    'kata_agent_proc_stat{item="cstime"} 14',
    'kata_agent_proc_status{item="vmpeak"} 300',
    'kata_agent_proc_status{item="vmswap"} 0',
    'kata_agent_proc_status{item="voluntary_ctxt_switches"} 7',
    'kata_agent_io_stat{item="write_bytes"} 4096',
    'kata_guest_load{item="load15"} 0.48',
    'kata_guest_tasks{item="max"} 95',
    'kata_guest_cpu_time{cpu="total",item="user"} 100',
    'kata_guest_cpu_time{cpu="0",item="idle"} 3000',
    'kata_guest_cpu_time{cpu="0",item="steal"} 0',
    'kata_guest_vm_stat{item="pgfault"} 12',
    'kata_guest_netdev_stat{interface="lo",item="sent_compressed"} 16',
    'kata_guest_netdev_stat{interface="eth0",item="recv_bytes"} 100',
    'kata_guest_diskstat{disk="sda",item="time_flushing"} 17',
    'kata_guest_diskstat{disk="loop0",item="flushes"} 0',
    'kata_guest_meminfo{item="mem_total"} 2048000',
    'kata_guest_meminfo{item="active_anon"} 10240',
    'kata_guest_meminfo{item="hugepages_total"} 3',
    'kata_guest_filesystem_bytes{device="vdb",item="used",mount="/data"} 24576',
    'kata_guest_filesystem_inodes{device="overlay",item="used",mount="/o\\"\\\\x"} 6',
  ])("say %s", async (line) => {
    expect((await text()).split("\n")).toContain(line);
  });

  it("leave out file systems that nobody writes to, others of one device, and those that went away", async () => {
    const all = await text();
    expect(
      [...all.matchAll(/^kata_guest_filesystem_bytes.*item="total",mount="(.*)"/gmu)].map(([, mount]) => mount),
    ).toEqual(['/o\\"\\\\x', "/data"].toSorted((a, b) => (a.includes("data") ? 1 : b.includes("data") ? -1 : 0)));
  });

  it("say how each guest component is", async () => {
    const states = new Map([
      ["attestation-agent", { ready: true, restarts: 2, crashes: 1 }],
      ["api-server-rest", { ready: false, restarts: 0, crashes: 0 }],
    ]);
    const all = await text(states);
    expect(all).toContain(
      "# HELP kata_agent_component_ready Whether a guest component runs and is ready.\n" +
        "# TYPE kata_agent_component_ready gauge\n" +
        'kata_agent_component_ready{component="api-server-rest"} 0\n' +
        'kata_agent_component_ready{component="attestation-agent"} 1\n',
    );
    expect(all).toContain(
      "# TYPE kata_agent_component_restarts_total counter\n" +
        'kata_agent_component_restarts_total{component="api-server-rest"} 0\n' +
        'kata_agent_component_restarts_total{component="attestation-agent"} 2\n',
    );
    expect(all).toContain('kata_agent_component_crashes_total{component="attestation-agent"} 1\n');
    expect(await text()).not.toContain("component");
  });

  it("count how often they were asked for, and go on without what cannot be read", async () => {
    const metrics = new AgentMetrics(() => none, {
      read: () => undefined,
      mounts: () => Promise.reject(new Error("no /proc")),
      statfs: () => Promise.reject(new Error("none")),
    });
    const counted = (count: number): string =>
      exposition([
        {
          name: "kata_agent_scrape_count",
          help: "Metrics scrape count",
          type: "counter",
          samples: [{ labels: {}, value: count }],
        },
      ]);
    expect(await metrics.text()).toBe(counted(1));
    expect(await metrics.text()).toBe(counted(2));
  });
});

describe("of this machine", () => {
  interface Row {
    readonly reply_metric_families?: readonly string[];
    readonly reply_help?: readonly string[];
    readonly reply_items?: Readonly<Record<string, readonly string[]>>;
  }
  const path = vectors("golden/agent.jsonl");
  const row = path === undefined ? {} : jsonLines<Row>(path).find((one) => one.reply_metric_families !== undefined);

  it("are the families that the real agent has, with their help and their items", async () => {
    const all = await new AgentMetrics(() => none).text();
    const seen = new Map<string, { type: string; help: string; items: Set<string> }>();
    for (const line of all.split("\n")) {
      const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/u.exec(line) ?? [];
      if (kind === "HELP") seen.set(name, { type: "", help: rest, items: new Set() });
      const family = seen.get(name);
      if (kind === "TYPE" && family !== undefined) family.type = rest;
      const [, of = "", item] = /^(\w+)\{.*?item="([^"]+)"/u.exec(line) ?? [];
      if (item !== undefined) seen.get(of)?.items.add(item);
    }
    // A machine may have no disk that is written to.
    const here = (name: string): boolean => seen.has(name) || !/filesystem|diskstat/u.test(name);
    for (const one of row?.reply_metric_families ?? ["kata_agent_scrape_count counter"]) {
      const [name = "", type] = one.split(" ");
      if (here(name)) expect(seen.get(name)?.type, name).toBe(type);
    }
    for (const one of row?.reply_help ?? []) {
      const [, name = "", help] = /^(\S+) (.*)$/u.exec(one) ?? [];
      if (here(name)) expect(seen.get(name)?.help, name).toBe(help);
    }
    for (const [name, items] of Object.entries(row?.reply_items ?? {})) {
      if (!here(name) || name === "kata_guest_vm_stat") continue;
      expect([...(seen.get(name)?.items ?? [])].toSorted(), name).toEqual(items);
    }
  });
});
