import { chmodSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { linuxSyscalls, recordingEffects } from "@nacre/kata-sys-util";
import { Tracer } from "@nacre/protocols";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { exhausted, oomKills, parseOomKills } from "../src/exhausted.ts";
import { Log } from "../src/log.ts";
import { superviseAgent } from "../src/supervise.ts";

const sys = linuxSyscalls();
/** What an agent does when it is ready. */
const READY = `perl -e 'use Socket; socket(my $s, AF_UNIX, SOCK_DGRAM, 0); connect($s, sockaddr_un($ENV{NOTIFY_SOCKET})) or die; send($s, "READY=1", 0)'`;

let folder: ReturnType<typeof mkdtempDisposableSync>;
let told: string[];
let requests: { handle: (signal: NodeJS.Signals) => void };
let failed: unknown[];
let onFail: () => void;
let poweredOff: number[];

beforeEach(() => {
  folder = mkdtempDisposableSync(join(tmpdir(), "supervise-"));
  told = [];
  failed = [];
  poweredOff = [];
  onFail = () => {};
  requests = { handle: () => {} };
});
afterEach(() => {
  folder.remove();
});

interface Given {
  /** Called with each line of the log. */
  readonly line?: (text: string) => void;
  readonly traced?: boolean;
  readonly readyDeadlineMs?: number;
  readonly terminateDeadlineMs?: number;
}

function tracerTo(log: Log, wanted: boolean): Tracer {
  const tracer = new Tracer({ subject: "nvrc", now: () => 0n, write: (text) => log.event(text) });
  tracer.decide(wanted);
  return tracer;
}

/** Supervises an agent that is a shell script. */
function supervise(script: string, given: Given = {}): Promise<void> {
  const agent = join(folder.path, "agent");
  writeFileSync(agent, `#!/bin/sh\n${script}\n`);
  chmodSync(agent, 0o755);
  const log = new Log((_priority, text) => {
    told.push(text);
    given.line?.(text);
  }, "info");
  const effects = recordingEffects(({ name, args }) => told.push(`${name} ${args.at(-1) as number}`));
  const end = {
    fail: (error: unknown) => {
      failed.push(error);
      onFail();
    },
    powerOff: async (status: number) => void poweredOff.push(status),
  };
  const tracer = tracerTo(log, given.traced ?? false);
  return superviseAgent({ sys, effects, log, tracer }, end, requests, {
    environment: { KATA_ATTESTER_VARIANT: "nvidia" },
    argv: [agent],
    readySocket: join(folder.path, "run/notify"),
    readyDeadlineMs: given.readyDeadlineMs ?? 60_000,
    terminateDeadlineMs: given.terminateDeadlineMs ?? 60_000,
  });
}

describe("superviseAgent", () => {
  it("powers off when the agent has ended by itself", async () => {
    await supervise(READY);
    expect(told).toEqual([
      "adjustOomScore -997",
      "NVRC kata-agent started",
      "NVRC kata-agent is ready",
      "NVRC kata-agent ended with status 0",
    ]);
    expect(poweredOff).toEqual([0]);
  });

  it("tells when the agent was started and when it was ready, of a boot that is traced", async () => {
    await supervise(READY, { traced: true });
    expect(told.filter((line) => line.startsWith("NVRC event"))).toEqual([
      "NVRC event 0.000000 nvrc.agent",
      "NVRC event 0.000000 nvrc.agent-ready",
    ]);
  });

  it("gives the agent its environment, and nothing of init's", async () => {
    await supervise(
      `test "$(env | cut -d= -f1 | sort | tr '\\n' ' ')" = "$(printf '%s ' KATA_ATTESTER_VARIANT MALLOC_ARENA_MAX MALLOC_TOP_PAD_ MALLOC_TRIM_THRESHOLD_ NOTIFY_SOCKET PATH PWD)" && test $KATA_ATTESTER_VARIANT = nvidia`,
    );
    expect(poweredOff).toEqual([0]);
  });

  it.each([
    [`${READY}; exit 3`, "kata-agent ended with status 3"],
    ["exit 1", "kata-agent ended with status 1"],
    ["printf 'log\\n\\nno socket\\n' >&2; exit 1", "kata-agent ended with status 1: log no socket"],
    [`${READY}; kill -KILL $$`, "kata-agent ended with signal SIGKILL"],
  ])("fails where the agent ends by %s", async (script, message) => {
    // The kernel of this machine may end processes meanwhile, and then says so too.
    await expect(supervise(script)).rejects.toThrow(message);
    expect(poweredOff).toEqual([]);
  });

  it("fails where the agent is never ready", async () => {
    await expect(supervise("exec sleep 1", { readyDeadlineMs: 50 })).rejects.toThrow(
      "kata-agent: expected READY=1 within 50 ms, got nothing",
    );
  });

  it("fails where the agent cannot be started", async () => {
    const log = new Log(() => {}, "off");
    const end = { fail: () => {}, powerOff: async () => {} };
    const options = { environment: {}, argv: ["/no/such"], readyDeadlineMs: 1000, terminateDeadlineMs: 1000 };
    const readySocket = join(folder.path, "notify");
    await expect(
      superviseAgent({ sys, effects: recordingEffects(() => {}), log, tracer: tracerTo(log, false) }, end, requests, {
        ...options,
        readySocket,
      }),
    ).rejects.toMatchObject({ code: "agent", message: "start /no/such" });
  });

  it("passes a request to power off on to the agent, and then powers off", async () => {
    await supervise(`trap 'exit 0' TERM; ${READY}; while :; do sleep 0.01; done`, {
      line: (text) => {
        if (text === "NVRC kata-agent is ready") requests.handle("SIGPWR");
      },
    });
    expect(told.slice(-2)).toEqual(["NVRC asked to power off by SIGPWR", "NVRC kata-agent ended with status 0"]);
    expect(poweredOff).toEqual([0]);
  });

  it("powers off also where the agent is ended by the request, which is no failure", async () => {
    await supervise(`${READY}; exec sleep 600`, {
      line: (text) => {
        if (text === "NVRC kata-agent is ready") requests.handle("SIGTERM");
      },
    });
    expect(poweredOff).toEqual([1]);
    expect(failed).toEqual([]);
  });

  it("does not wait for ever for an agent that was asked to end", async () => {
    const go = join(folder.path, "go");
    onFail = () => writeFileSync(go, "");
    const stubborn = `trap '' TERM; ${READY}; while ! test -e ${go}; do sleep 0.01; done`;
    await supervise(stubborn, {
      terminateDeadlineMs: 50,
      line: (text) => {
        if (text === "NVRC kata-agent is ready") requests.handle("SIGTERM");
      },
    });
    expect(failed).toMatchObject([{ message: "kata-agent: expected an end within 50 ms of SIGTERM, got none" }]);
  });
});

describe("exhausted", () => {
  const status = {
    type: 0,
    bsize: 4096,
    blocks: 9n,
    bfree: 9n,
    bavail: 9n,
    files: 9n,
    ffree: 9n,
    namelen: 255,
    flags: 0,
  };
  const answer = (change: object, kills: number): Promise<string> =>
    exhausted({ statfs: async () => ({ ...status, ...change }) }, oomKills() - kills);

  it("names what has run out", async () => {
    expect(await answer({}, 0)).toBe("");
    expect(await answer({ bavail: 0n }, 0)).toBe("; /run is full");
    expect(await answer({ ffree: 0n }, 2)).toBe(
      "; memory is exhausted, processes ended by the kernel: 2; /run is full",
    );
  });

  it("reads the kernel's count", () => {
    expect(parseOomKills("nr_free_pages 1\noom_kill 3\nx 1\n")).toBe(3);
    expect(parseOomKills("nr_free_pages 1\n")).toBe(0);
  });
});
