import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { AgentService, fromJson } from "@nacre/protocols";
import { AGENT_ENVIRONMENT, NODE_FLAGS } from "@nacre/nvrc";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { startAgent, type TestAgent } from "../fixtures/agent-harness.ts";
import { createContainerBody, createSandboxBody } from "../fixtures/pod.ts";
import { type BenchRow, median } from "./row.ts";

const ROUNDS = 15;
const BUNDLE = resolve(import.meta.dirname, "../../build/bundles/kata-agent.mjs");
/** As init starts it in a guest. */
const ENVIRONMENT = Object.entries(AGENT_ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
const { CreateContainer, CreateSandbox, RemoveContainer, SignalProcess, StartContainer, WaitProcess } =
  AgentService.methods;

const ALLOW_ALL = `package agent_policy
${["CreateContainer", "CreateSandbox", "RemoveContainer", "SignalProcess", "StartContainer", "WaitProcess"]
  .map((name) => `default ${name}Request := true\n`)
  .join("")}`;

/** Containers made by the agent beside the same containers made by plain runc, in the same namespaces. */
export async function benchContainers(): Promise<BenchRow[]> {
  const entry = existsSync(BUNDLE)
    ? { entry: ["/usr/bin/env", ...ENVIRONMENT, process.execPath, ...NODE_FLAGS, BUNDLE] }
    : {};
  const agent = await startAgent({ policy: ALLOW_ALL, ...entry });
  try {
    const idle = residentMegabytes(agent);
    const client = new TtrpcClient(await dial(`unix://${agent.socket}`, {}));
    await client.call(CreateSandbox, fromJson("grpc.CreateSandboxRequest", createSandboxBody("bench", "bench")));
    await rounds(client, 3);
    const ours = await rounds(client, ROUNDS);
    const plain = await plainRunc(agent);
    client.close();
    const [create, peerCreate] = [median(ours.createStart), median(plain.createStart)];
    const [whole, peerWhole] = [median(ours.whole), median(plain.whole)];
    const remove = median(ours.remove);
    return [
      {
        name: "create+start of a container, agent beside plain runc",
        ours: create,
        peer: peerCreate,
        ratio: create / peerCreate,
        target: "ours - peer <= 60",
        unit: "ms",
        met: create - peerCreate <= 60,
      },
      {
        name: "create+start+exit, agent beside `runc run`",
        ours: whole,
        peer: peerWhole,
        ratio: whole / peerWhole,
        target: "reported",
        unit: "ms",
        met: null,
      },
      missing("signal+wait+remove of a finished container", remove, 30, "ms", "the Rust agent is not installed here"),
      missing("agent's memory, idle and alone (PSS = RSS)", idle, 60, "MB", "the Rust agent is not installed here"),
    ];
  } finally {
    await agent.stop();
  }
}

/** A row without a peer on this machine. */
export function missing(name: string, ours: number, atMost: number, unit: string, note: string): BenchRow {
  return { name, ours, peer: null, ratio: null, target: `ours <= ${atMost}`, unit, met: ours <= atMost, note };
}

interface Times {
  readonly createStart: number[];
  readonly whole: number[];
  readonly remove: number[];
}

/** Containers of `true` on a root that the host names, one after another. */
async function rounds(client: TtrpcClient, count: number): Promise<Times> {
  const times: Times = { createStart: [], whole: [], remove: [] };
  for (let round = 0; round < count; round += 1) {
    const container_id = `bench-${process.pid}-${performance.now().toFixed(0)}-${round}`;
    const body = createContainerBody({ id: container_id, sandboxId: "bench", image: "none", args: ["/bin/true"] });
    const request = fromJson("grpc.CreateContainerRequest", withoutPull(body));
    const begin = performance.now();
    await client.call(CreateContainer, request);
    await client.call(StartContainer, { container_id });
    times.createStart.push(performance.now() - begin);
    await client.call(WaitProcess, { container_id, exec_id: container_id });
    times.whole.push(performance.now() - begin);
    const finished = performance.now();
    await client.call(SignalProcess, { container_id, signal: 9 });
    // The exit was collected above: the runtime asks again and bears the error.
    await client.call(WaitProcess, { container_id, exec_id: container_id }).catch(() => {});
    await client.call(RemoveContainer, { container_id });
    times.remove.push(performance.now() - finished);
  }
  return times;
}

function withoutPull(body: object): object {
  const { OCI, ...rest } = body as { OCI: Record<string, unknown> };
  return { ...rest, storages: [], OCI: { ...OCI, Root: { Path: "/srv/peers/rootfs" } } };
}

/** The same container under plain runc. */
async function plainRunc(agent: TestAgent): Promise<{ createStart: number[]; whole: number[] }> {
  const config = {
    ociVersion: "1.0.2",
    process: { user: { uid: 0, gid: 0 }, args: ["/bin/true"], env: ["PATH=/bin"], cwd: "/" },
    root: { path: "/srv/peers/rootfs" },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
    ],
    linux: {
      cgroupsPath: "/bench-plain/c",
      resources: { cpu: { shares: 256 } },
      namespaces: ["pid", "mount", "ipc", "uts"].map((type) => ({ type })),
    },
  };
  const driver = join(import.meta.dirname, "runc-driver.ts");
  const text = await agent.inside(
    "/bin/bash",
    "-c",
    'printf %s "$0" | "$@"',
    JSON.stringify(config),
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    driver,
    "/run/bench-plain",
    String(ROUNDS),
  );
  return JSON.parse(text) as { createStart: number[]; whole: number[] };
}

/**
 * Resident memory of the agent's own process, the one below the namespace's shell. Alone in a guest nobody shares its
 * pages, so that its PSS there is its RSS; the PSS of this machine would be lower, as the bench runs on Node too.
 */
export function residentMegabytes(agent: Pick<TestAgent, "init">): number {
  const children = (pid: number): number[] =>
    readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  const pid = children(agent.init)[0] ?? agent.init;
  const line = /^Rss:\s+(\d+) kB$/mu.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
  return Number(line?.[1] ?? Number.NaN) / 1024;
}
