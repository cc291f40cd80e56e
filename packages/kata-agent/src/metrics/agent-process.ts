import { type Family, itemized } from "./exposition.ts";
import { fields, keyed, type ReadProc } from "./proc.ts";

/** USER_HZ: what the kernel counts processor time in, wherever it runs. */
export const TICKS_PER_SECOND = 100;

/** Fields of /proc/self/stat behind the name of the process, which may hold blanks (proc(5) counts three more). */
const Stat = { utime: 11, stime: 12, cutime: 13, cstime: 14, threads: 17, vsize: 20 } as const;

/** Of /proc/self/status, in the kernel's own units: kilobytes, and counts. */
const STATUS = [
  "HugetlbPages",
  "RssAnon",
  "RssFile",
  "RssShmem",
  "VmData",
  "VmExe",
  "VmHWM",
  "VmLck",
  "VmLib",
  "VmPeak",
  "VmPin",
  "VmPTE",
  "VmRSS",
  "VmSize",
  "VmStk",
  "VmSwap",
  "nonvoluntary_ctxt_switches",
  "voluntary_ctxt_switches",
] as const;

const IO = ["cancelled_write_bytes", "rchar", "read_bytes", "syscr", "syscw", "wchar", "write_bytes"] as const;

/** What the kernel says of the agent's process, under upstream's names. What cannot be read is left out. */
export function agentProcess(read: ReadProc): readonly Family[] {
  const stat = fields((read("self/stat") ?? "").replace(/^.*\) /su, ""));
  const status = keyed(read("self/status") ?? "");
  const io = keyed(read("self/io") ?? "");
  const at = (index: number): number => stat[index] ?? 0;
  const single = (name: string, help: string, value: number): Family => ({
    name: `kata_agent_${name}`,
    help,
    type: "gauge",
    samples: stat.length === 0 ? [] : [{ labels: {}, value }],
  });
  return [
    single("threads", "Agent process threads", at(Stat.threads)),
    single("total_time", "Agent process total time", (at(Stat.utime) + at(Stat.stime)) / TICKS_PER_SECOND),
    single("total_vm", "Agent process total VM size", at(Stat.vsize)),
    single("total_rss", "Agent process total RSS size", (status.get("VmRSS") ?? 0) * 1024),
    {
      name: "kata_agent_proc_stat",
      help: "Agent process statistics.",
      type: "gauge",
      samples:
        stat.length === 0
          ? []
          : itemized((["utime", "stime", "cutime", "cstime"] as const).map((name) => [name, at(Stat[name])])),
    },
    {
      name: "kata_agent_proc_status",
      help: "Agent process status.",
      type: "gauge",
      samples: status.size === 0 ? [] : itemized(STATUS.map((key) => [key.toLowerCase(), status.get(key) ?? 0])),
    },
    {
      name: "kata_agent_io_stat",
      help: "Agent process IO statistics.",
      type: "gauge",
      samples: io.size === 0 ? [] : itemized(IO.map((key) => [key, io.get(key) ?? 0])),
    },
  ];
}
