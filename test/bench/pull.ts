import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { linuxSyscalls } from "@nacre/kata-sys-util";
import { ImagePullService } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { pushImage, type Registry, startRegistry } from "../fixtures/registry.ts";
import { tar, type TarEntry } from "../fixtures/tar.ts";
import { type BenchRow, median, ratioRow } from "./row.ts";

const ROUNDS = 3;
const LAYERS = 4;
const MEBIBYTE = 1024 * 1024;
const BUNDLE = join(import.meta.dirname, "../../build/bundles/confidential-data-hub.mjs");
const SOURCE = join(import.meta.dirname, "../../packages/confidential-data-hub/src/main.ts");

/** A daemon under measurement. */
interface Daemon {
  readonly process: ChildProcess;
  pull(round: number): Promise<number>;
  stop(): Promise<void>;
}

/**
 * The pull of an image of 400 MB (four layers, 12,000 files, gzip) by our hub and by containerd, from one registry, to
 * one tmpfs, in turns; then the same with each daemon on one core.
 */
export async function benchPull(): Promise<BenchRow[]> {
  const sys = linuxSyscalls();
  const dir = mkdtempSync(join(tmpdir(), "nacre-bench-pull-"));
  // Memory, because the guest keeps images there too, and because disks are too noisy to compare on.
  await sys.mount("tmpfs", dir, "tmpfs", 0, "size=8g");
  try {
    await using registry = await startRegistry();
    const image = (await pushImage(registry, "bench/big:gz", { layers: bigLayers() })).reference;
    const rows: BenchRow[] = [];
    for (const core of [undefined, "0"]) rows.push(...(await compare(dir, registry, image, core)));
    return rows;
  } finally {
    await sys.umount2(dir, 2);
    rmSync(dir, { recursive: true, force: true });
  }
}

async function compare(dir: string, registry: Registry, image: string, core: string | undefined): Promise<BenchRow[]> {
  const where = join(dir, core === undefined ? "all" : "one");
  mkdirSync(where);
  const hub = await startHub(where, registry, image, core);
  const peer = existsSync("/usr/bin/containerd") ? await startContainerd(where, image, core) : undefined;
  try {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      ours.push(await hub.pull(round));
      if (peer !== undefined) theirs.push(await peer.pull(round));
    }
    const cores = core === undefined ? "all cores" : "one core";
    const note = peer === undefined ? "containerd is not installed" : "containerd: `ctr images pull`, fetch and unpack";
    const name = (what: string): string => `pull of a 400 MB image, ${what}, ${cores}`;
    return [
      ratioRow(
        name("time"),
        "s",
        { ours: median(ours) / 1000, peer: peer === undefined ? null : median(theirs) / 1000 },
        { atMost: 1 },
        note,
      ),
      {
        name: name("peak memory"),
        ours: peakMebibytes(hub.process),
        peer: peer === undefined ? null : peakMebibytes(peer.process),
        ratio: null,
        target: "ours <= 150",
        unit: "MiB RSS",
        met: peakMebibytes(hub.process) <= 150,
        note: "the whole process, the Node binary's own pages included",
      },
    ];
  } finally {
    await hub.stop();
    await peer?.stop();
  }
}

async function startHub(where: string, registry: Registry, image: string, core: string | undefined): Promise<Daemon> {
  const config = join(where, "cdh.toml");
  const socket = `unix://${join(where, "cdh.sock")}`;
  writeFileSync(
    config,
    `socket = "${socket}"\n[image]\nwork_dir = "${where}/image"\n` +
      `[[image.registry_config.registry]]\nlocation = "${registry.address}"\ninsecure = true\n`,
  );
  const entry = existsSync(BUNDLE) ? [BUNDLE] : ["--conditions=source", SOURCE];
  const process = await start([globalThis.process.execPath, ...entry, "-c", config], core, "listening on");
  const client = new TtrpcClient(await dial(socket));
  return {
    process,
    async pull(round) {
      const bundle = join(where, `bundle-${round}`);
      const started = performance.now();
      await client.call(ImagePullService.methods.PullImage, { image_url: image, bundle_path: bundle });
      const time = performance.now() - started;
      await linuxSyscalls().umount2(join(bundle, "rootfs"));
      rmSync(join(where, "image/layers"), { recursive: true });
      mkdirSync(join(where, "image/layers"));
      return time;
    },
    async stop() {
      client.close();
      await end(process);
    },
  };
}

async function startContainerd(where: string, image: string, core: string | undefined): Promise<Daemon> {
  const config = join(where, "containerd.toml");
  const socket = join(where, "c.sock");
  writeFileSync(
    config,
    `version = 2\nroot = "${where}/c-root"\nstate = "${where}/c-state"\n` +
      `disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "${socket}"\n`,
  );
  const process = await start(["containerd", "-c", config], core, "containerd successfully booted");
  return {
    process,
    async pull() {
      const started = performance.now();
      await ctr(socket, ["images", "pull", "--plain-http", image]);
      const time = performance.now() - started;
      await ctr(socket, ["images", "rm", "--sync", image]);
      return time;
    },
    stop: async () => await end(process),
  };
}

/** Starts a daemon, on one core if asked, and waits for the line that says that it is ready. */
async function start(command: readonly string[], core: string | undefined, ready: string): Promise<ChildProcess> {
  const pinned = core === undefined ? command : ["taskset", "-c", core, ...command];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...pinned], { stdio: ["ignore", "ignore", "pipe"] });
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`${command[0]} ended:\n${lines.join("\n")}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (lines.length < 100) lines.push(line);
      if (line.includes(ready)) resolve();
    });
  });
  return child;
}

async function ctr(socket: string, args: readonly string[]): Promise<void> {
  const child = spawn("ctr", ["-a", socket, ...args], { stdio: ["ignore", "ignore", "inherit"] });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`ctr ${args.join(" ")} failed`);
}

async function end(child: ChildProcess): Promise<void> {
  child.kill("SIGTERM");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

function peakMebibytes(child: ChildProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024);
}

/** Text compresses, and random bytes do not: together about as much as programs do. */
function bigLayers(): Buffer[] {
  const words = Array.from({ length: 4096 }, () => randomBytes(6).toString("base64"));
  const text = (length: number): Buffer => {
    const picks = randomBytes(Math.ceil(length / 8) * 2);
    const parts: string[] = [];
    for (let at = 0; at < picks.length; at += 2) parts.push(words[picks.readUInt16LE(at) % words.length] ?? "");
    return Buffer.from(parts.join("")).subarray(0, length);
  };
  return Array.from({ length: LAYERS }, (_, layer) => {
    const entries: TarEntry[] = [{ name: `part${layer}/`, type: "5" }];
    for (let file = 0; file < 3000; file += 1) {
      if (file % 100 === 0) entries.push({ name: `part${layer}/d${file / 100}/`, type: "5" });
      entries.push({
        name: `part${layer}/d${Math.floor(file / 100)}/f${file}`,
        data: text(500 + randomBytes(2).readUInt16LE() / 4),
      });
    }
    for (let file = 0; file < 4; file += 1) {
      const data = Buffer.concat([randomBytes(7 * MEBIBYTE), text(11 * MEBIBYTE)]);
      entries.push({ name: `part${layer}/lib${file}.so`, data, mode: 0o755 });
    }
    return tar(entries);
  });
}
