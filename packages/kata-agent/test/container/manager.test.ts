import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExitStatus } from "@nacre/kata-sys-util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ContainerManager, type CreateOptions } from "../../src/container/manager.ts";
import { OciRuntime, type RunProgram } from "../../src/container/runtime.ts";
import { describeError } from "../../src/error.ts";
import { FakeIo, recordingLogger } from "./fakes.ts";
import { processTree, specTree, type SpecParts } from "./trees.ts";

const PID = 4242;

/** A manager on a runtime that only writes down what it was told. */
class World {
  readonly directory: string = mkdtempSync(join(tmpdir(), "nacre-manager-"));
  readonly verbs: string[] = [];
  readonly signals: number[] = [];
  readonly io: FakeIo[] = [];
  readonly oom: string[] = [];
  readonly watched: string[] = [];
  readonly exits = new Map<number, (status: ExitStatus) => void>();
  readonly log: string[];
  readonly manager: ContainerManager;
  /** The next create of the runtime ends so. */
  fail: string | undefined;
  failConnect: Error | undefined;
  watchFails = false;
  config = "";
  configMode = 0;
  #pids = PID;

  constructor() {
    mkdirSync(join(this.directory, "rootfs"));
    mkdirSync(join(this.directory, "sys/net/ipv4"), { recursive: true });
    writeFileSync(join(this.directory, "sys/net/ipv4/x"), "");
    const { logger, lines } = recordingLogger();
    this.log = lines;
    this.manager = new ContainerManager({
      runtime: new OciRuntime({ binary: "/r", root: join(this.directory, "runtime"), run: this.#run }),
      io: { pipes: () => this.#makeIo(false), terminal: async () => this.#makeIo(true) },
      reaper: {
        watch: (pid) =>
          this.watchFails
            ? Promise.reject(new Error("ECHILD"))
            : new Promise((resolve) => this.exits.set(pid, resolve)),
      },
      processes: {
        open: (pid) => ({
          send: (signal) => {
            this.signals.push(signal);
            if (signal === 9) this.exits.get(pid)?.({ pid, code: undefined, signal: 9 });
            return true;
          },
          close: () => {},
        }),
        status: () => undefined,
        program: () => "program",
      },
      cgroups: { version: 1, unified: undefined, controllers: new Map(), all: [], own: ["/daemons"] },
      log: logger,
      paths: { state: join(this.directory, "state"), sysctl: join(this.directory, "sys") },
      watchOom: (cgroup, killed) => {
        this.watched.push(cgroup.path);
        killed();
        return { close: () => this.watched.push("closed") };
      },
      onOom: (id) => this.oom.push(id),
    });
  }

  create(parts: SpecParts = {}, options: Partial<CreateOptions> = {}): ReturnType<ContainerManager["create"]> {
    const rootfs = join(this.directory, "rootfs");
    return this.manager.create({
      id: "c1",
      spec: specTree({ rootfs, ...parts }),
      bundleDir: this.directory,
      namespaces: {},
      ...options,
    });
  }

  files(name: string): string[] {
    const path = join(this.directory, name);
    return existsSync(path) ? readdirSync(path) : [];
  }

  readonly #run: RunProgram = async (_, args, { spawned }) => {
    spawned();
    const verb = args.find((word) => ["create", "start", "exec", "delete", "pause", "resume"].includes(word)) ?? "";
    this.verbs.push(verb);
    if (verb === "create") {
      const config = join(this.directory, "config.json");
      this.config = readFileSync(config, "utf8");
      this.configMode = statSync(config).mode & 0o777;
      mkdirSync(join(this.directory, "runtime/c1"));
      if (this.fail !== undefined) {
        writeFileSync(args[args.indexOf("--log") + 1] ?? "", JSON.stringify({ level: "error", msg: this.fail }));
        return 1;
      }
    }
    if (args.includes("--pid-file")) {
      writeFileSync(args[args.indexOf("--pid-file") + 1] ?? "", String(this.#pids));
      this.#pids += 1;
    }
    if (verb === "delete") rmSync(join(this.directory, "runtime/c1"), { recursive: true });
    return 0;
  };

  #makeIo(terminal: boolean): FakeIo {
    const io = new FakeIo({ terminal });
    io.failConnect = this.failConnect;
    this.io.push(io);
    return io;
  }
}

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => {
  rmSync(world.directory, { recursive: true });
});

describe("ContainerManager", () => {
  it("creates, starts, and removes with one call of the runtime each", async () => {
    const container = await world.create({ process: { Env: ["SECRET=x"] } });
    expect(world.manager.list()).toEqual([container]);
    expect(world.config).toContain("SECRET=x");
    expect(world.configMode).toBe(0o600);
    expect(existsSync(join(world.directory, "config.json"))).toBe(false);
    await container.start();
    await world.manager.remove("c1", { timeoutMs: 0 });
    expect(world.verbs).toEqual(["create", "start", "delete"]);
    expect(world.signals).toEqual([9]);
    expect(world.io[0]?.streams.closes).toBe(1);
    expect(world.files("state")).toEqual([]);
    expect(world.manager.get("c1")).toBeUndefined();
  });

  it("overwrites a config.json that was there and never follows one", async () => {
    const target = join(world.directory, "target");
    writeFileSync(target, "untouched");
    const config = join(world.directory, "config.json");
    symlinkSync(target, config);
    await world.create();
    expect(readFileSync(target, "utf8")).toBe("untouched");
    expect(world.config).toContain("ociVersion");
  });

  it("undoes what a failed runtime left and takes the id again", async () => {
    world.fail = "broken";
    const error: unknown = await world.create().catch((cause: unknown) => cause);
    expect(describeError(error)).toBe("the runtime's create failed with exit status 1\n\nCaused by:\n    broken");
    expect(world.verbs).toEqual(["create", "delete"]);
    expect(world.io[0]?.calls).toEqual(["release", "abandon"]);
    expect([...world.files("state"), ...world.files("runtime")]).toEqual([]);
    world.fail = undefined;
    await expect(world.create()).resolves.toBeDefined();
  });

  it("kills a first process whose terminal does not arrive", async () => {
    world.failConnect = new Error("no terminal");
    await expect(world.create({ process: { Terminal: true } })).rejects.toThrow("no terminal");
    expect(world.signals).toEqual([9]);
    expect(world.verbs).toEqual(["create", "delete"]);
    expect(world.io[0]?.calls).toEqual(["release", "connect", "abandon"]);
  });

  it("refuses a bad specification before anything is made", async () => {
    await expect(world.create({ process: { Capabilities: { Bounding: ["CAP_X"] } } })).rejects.toThrow("CAP_X");
    await expect(world.create({}, { id: "../x" })).rejects.toThrow("invalid container ID ../x");
    await expect(world.create({ rootfs: join(world.directory, "absent") })).rejects.toThrow("absent");
    expect(world.verbs).toEqual([]);
    expect(world.files("state")).toEqual([]);
  });

  it("refuses an id that is in use or being created", async () => {
    const first = world.create();
    await expect(world.create()).rejects.toThrow("exec fifo exists");
    await first;
    await expect(world.create()).rejects.toThrow("exec fifo exists");
    expect(world.verbs).toEqual(["create"]);
  });

  it("writes the network's parameters where the guest has them", async () => {
    await world.create({ linux: { Sysctl: { "net.ipv4.x": "7" } } });
    expect(readFileSync(join(world.directory, "sys/net/ipv4/x"), "utf8")).toBe("7");
  });

  it("watches for lack of memory from the start to the end, but not the sandbox", async () => {
    const container = await world.create();
    expect(world.watched).toEqual([]);
    await container.start();
    expect(world.watched).toEqual(["/pod/c1"]);
    expect(world.oom).toEqual(["c1"]);
    await world.manager.remove("c1", { timeoutMs: 0 });
    expect(world.watched).toEqual(["/pod/c1", "closed"]);
    const sandbox = await world.create({}, { sandbox: true });
    await sandbox.start();
    expect(world.oom).toEqual(["c1"]);
  });

  it("keeps a container whose processes do not end in time", async () => {
    const container = await world.create();
    const exec = await container.exec({ execId: "stuck", process: processTree({}) });
    // The fake ends only what it is told about; this one never.
    world.exits.set(exec.pid, () => {});
    const removing = world.manager.remove("c1", { timeoutMs: 10 });
    await expect(removing).rejects.toThrow("ETIME: Timer expired");
    expect(world.manager.get("c1")).toBe(container);
  });

  it("caps what a host can pile up in one container", async () => {
    const container = await world.create();
    await expect(container.exec({ execId: "x".repeat(1025), process: processTree({}) })).rejects.toThrow(
      "exec_id of more than 1024 bytes",
    );
    for (let index = 1; index < 1024; index += 1) {
      await container.exec({ execId: index % 2 === 0 ? "" : String(index), process: processTree({}) });
    }
    await expect(container.exec({ execId: "one", process: processTree({}) })).rejects.toThrow(
      "more than 1024 processes not waited for",
    );
  });

  it("lets one of two removals have what the container had", async () => {
    await world.create();
    const results = await Promise.allSettled([1, 2].map(() => world.manager.remove("c1", { timeoutMs: 0 })));
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    // The second must not ask the runtime again: by then another container may have the name.
    expect(world.verbs).toEqual(["create", "delete"]);
    await expect(world.create()).resolves.toBeDefined();
  });

  it("takes any number of seconds as a time-out", async () => {
    await world.create();
    await world.manager.remove("c1", { timeoutMs: 0xffff_ffff * 1000 });
    expect(world.manager.list()).toEqual([]);
  });

  it("keeps control groups apart: none in another container's or in the guest's own", async () => {
    await world.create();
    for (const CgroupsPath of ["/pod/c1", "/pod", "/pod/c1/below", "pod:c1:x", "/daemons", "/daemons/../daemons/x"]) {
      await expect(world.create({ linux: { CgroupsPath } }, { id: "c2" }), CgroupsPath).rejects.toThrow(
        "control group",
      );
    }
    await world.manager.remove("c1", { timeoutMs: 0 });
    await expect(world.create({ linux: { CgroupsPath: "/pod/c1/below" } }, { id: "c2" })).resolves.toBeDefined();
  });

  it("tells 255 when an end cannot be known", async () => {
    world.watchFails = true;
    const container = await world.create();
    expect(await container.wait("", new AbortController().signal)).toBe(255);
    expect(world.log).toEqual(["error exit of a process is unknown"]);
  });
});
