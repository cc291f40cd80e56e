import type { Tracer } from "@nacre/protocols";

import { type Agent, AGENT_ARGV, type AgentEnd, describeEnd, startAgent } from "./agent.ts";
import { NvrcError } from "./error.ts";
import type { GuestEnd } from "./guest-end.ts";
import { exhausted, oomKills } from "./exhausted.ts";
import type { Ports } from "./ports.ts";
import type { PowerRequests } from "./power-request.ts";
import { READY_SOCKET, ReadySocket } from "./ready-socket.ts";

export interface SupervisionOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly argv: readonly string[];
  readonly readySocket: string;
  /** A bound on hanging: the agent starts its components one after another and has deadlines of its own for each. */
  readonly readyDeadlineMs: number;
  /** For an agent that was asked to end; containers that are still there end with the guest. */
  readonly terminateDeadlineMs: number;
}

export const SUPERVISION: Omit<SupervisionOptions, "environment"> = {
  argv: AGENT_ARGV,
  readySocket: READY_SOCKET,
  readyDeadlineMs: 300_000,
  terminateDeadlineMs: 10_000,
};

/** Starts the agent, and ends the guest when the agent ends or somebody asks for it. Returns when the agent has ended. */
export async function superviseAgent(
  { sys, effects, log, tracer }: Pick<Ports, "sys" | "effects" | "log"> & { readonly tracer: Pick<Tracer, "step"> },
  end: Pick<GuestEnd, "fail" | "powerOff">,
  requests: Pick<PowerRequests, "handle">,
  options: SupervisionOptions,
): Promise<void> {
  const killsBefore = oomKills();
  using socket = new ReadySocket(sys, options.readySocket);
  const environment = { ...options.environment, NOTIFY_SOCKET: options.readySocket };
  const agent = await tracer.step("agent", startAgent(effects, environment, options.argv));
  log.info("kata-agent started");
  let requested = false;
  requests.handle = (signal) => {
    log.info(`asked to power off by ${signal}`);
    if (!requested) terminate(agent, end.fail, options.terminateDeadlineMs);
    requested = true;
  };
  void socket.ready.then(() => log.info("kata-agent is ready"));
  await tracer.step("agent-ready", readiness(agent, socket.ready, options.readyDeadlineMs));
  const how = await agent.ended;
  if (!requested && !isClean(how)) {
    const why = `${await exhausted(sys, killsBefore)}${agent.lastWords.toString()}`;
    throw new NvrcError("agent", `kata-agent ended with ${describeEnd(how)}${why}`);
  }
  log.info(`kata-agent ended with ${describeEnd(how)}`);
  await end.powerOff(isClean(how) ? 0 : 1);
}

function terminate(agent: Agent, fail: (error: unknown) => void, deadlineMs: number): void {
  agent.terminate();
  const late = new NvrcError("agent", `kata-agent: expected an end within ${deadlineMs} ms of SIGTERM, got none`);
  const timer = setTimeout(() => fail(late), deadlineMs);
  void agent.ended.then(() => clearTimeout(timer));
}

/** Ready, or ended: that is for whoever waits for the end. */
async function readiness(agent: Agent, ready: Promise<void>, deadlineMs: number): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const message = `kata-agent: expected READY=1 within ${deadlineMs} ms, got nothing`;
  const timer = setTimeout(() => reject(new NvrcError("agent", message)), deadlineMs);
  try {
    await Promise.race([ready, agent.ended, late]);
  } finally {
    clearTimeout(timer);
  }
}

function isClean(how: AgentEnd): boolean {
  return "code" in how && how.code === 0;
}
