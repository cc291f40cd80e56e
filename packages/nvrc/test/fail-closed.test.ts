import { chmodSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { linuxSyscalls, recordingEffects } from "@nacre/kata-sys-util";
import { Tracer } from "@nacre/protocols";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { startUntil } from "../src/gpu/marker.ts";
import type { GpuPorts } from "../src/gpu/ports.ts";
import { GuestEnd } from "../src/guest-end.ts";
import { Log } from "../src/log.ts";
import { superviseAgent } from "../src/supervise.ts";

/** What the guest is to show: one line of the kernel's log that names the cause, and the end of the power. */
interface Shown {
  readonly end: GuestEnd;
  readonly log: Log;
  readonly lines: string[];
  readonly exited: Promise<number>;
}

function guest(): Shown {
  const lines: string[] = [];
  const { promise: exited, resolve } = Promise.withResolvers<number>();
  const log = new Log((_priority, text) => lines.push(text), "off");
  const effects = recordingEffects(({ name }) => {
    if (name === "powerOff") lines.push(name);
  });
  const exit = (status: number): never => {
    resolve(status);
    return undefined as never;
  };
  const end = new GuestEnd(log, effects, { pid: 1, killAll: () => lines.push("killAll"), exit });
  return { end, log, lines, exited };
}

let folder: ReturnType<typeof mkdtempDisposableSync>;
beforeEach(() => {
  folder = mkdtempDisposableSync(join(tmpdir(), "closed-"));
});
afterEach(() => folder.remove());

describe("a guest that fails closed", () => {
  it("says which daemon never became ready, and powers off", async () => {
    const { end, lines, exited } = guest();
    const ports: Pick<GpuPorts, "start" | "waitForSyslog"> = {
      start: () => Promise.resolve(),
      waitForSyslog: (_marker, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        }),
    };
    startUntil(ports as GpuPorts, ["/bin/nvidia-persistenced"], "Local RPC", 20).catch(end.fail);
    expect(await exited).toBe(1);
    expect(lines).toEqual([
      'NVRC panic: /bin/nvidia-persistenced: expected "Local RPC" in syslog within 20 ms, got nothing',
      "killAll",
      "powerOff",
    ]);
  });

  it("says that its agent never became ready, and powers off", async () => {
    const { end, log, lines, exited } = guest();
    const agent = join(folder.path, "agent");
    writeFileSync(agent, "#!/bin/sh\nexec sleep 5\n");
    chmodSync(agent, 0o755);
    const effects = recordingEffects(() => {});
    const tracer = new Tracer({ subject: "nvrc", now: () => 0n, write: () => {} });
    superviseAgent(
      { sys: linuxSyscalls(), effects, log, tracer },
      end,
      { handle: () => {} },
      {
        environment: {},
        argv: [agent],
        readySocket: join(folder.path, "run/notify"),
        readyDeadlineMs: 20,
        terminateDeadlineMs: 1000,
      },
    ).catch(end.fail);
    expect(await exited).toBe(1);
    expect(lines).toEqual([
      "NVRC panic: kata-agent: expected READY=1 within 20 ms, got nothing",
      "killAll",
      "powerOff",
    ]);
  });
});
