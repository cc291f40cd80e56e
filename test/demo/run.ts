import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";

import {
  Agent,
  AgentRefusal,
  attach,
  containerProcess,
  describeError,
  execProcess,
  guestRegistries,
  Pod,
  readImageConfig,
  startGuest,
  sweep,
} from "@nacre/cli";

import { busyboxImage, startRegistry } from "../fixtures/registry.ts";
import { Steps } from "./steps.ts";

/** `make run`: what the `nacre` commands do, one after the other, on this machine, from nothing to nothing. */

const POLICY = readFileSync(join(import.meta.dirname, "policy.rego"), "utf8");
const SCRIPT = "echo hello from $(hostname), kernel $(uname -r); exec sleep 1000";

const steps = new Steps();
/** What is undone at the end, the latest first, however the demo ends. */
const undo = new AsyncDisposableStack();
const interrupt = new AbortController();
const { signal } = interrupt;
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(name, () => interrupt.abort(new Error(`interrupted by ${name}`)));
}

async function demo(): Promise<void> {
  await sweep();
  const guest = await steps.step(
    "start a simulated guest: namespaces, nvrc, kata-agent, confidential-data-hub",
    async () => undo.use(await startGuest({ signal })),
    ({ id, agentAddress, gateway }) => `guest ${id}\nagent ${agentAddress}\ngateway ${gateway}`,
  );
  const registry = await steps.step(
    "start a registry on the guest's gateway",
    async () => undo.use(await startRegistry({ address: `${guest.gateway}:5000` })),
    ({ url }) => url,
  );
  const { reference } = await steps.step(
    "push an image made from busybox-static",
    () => busyboxImage(registry, "demo/busybox:latest"),
    (image) => `${image.reference}\n${image.manifestDigest}`,
  );
  const agent = await steps.step("connect to the agent over ttRPC", async () =>
    undo.use(await Agent.connect(guest.agentAddress, signal)),
  );
  // Ends every call, also those that wait for a process.
  signal.addEventListener("abort", () => agent[Symbol.dispose]());
  signal.throwIfAborted();
  const pod = new Pod(guest, agent);
  await steps.step(
    "put the policy in force",
    () => pod.setPolicy(POLICY, signal),
    () => "test/demo/policy.rego: one image, and of all execs only /bin/echo",
  );
  await steps.step("make the sandbox and its pause container", () => pod.sandbox(signal));
  const container = await steps.step("pull the image inside the guest and create a container of it", async () => {
    const config = await readImageConfig(reference, guestRegistries(guest), signal);
    const process = containerProcess(config, { command: ["sh", "-c", SCRIPT] });
    return await pod.create({ name: "demo", image: reference, process }, signal);
  });
  const output = new Output();
  const main = await steps.step(
    "start it and read its first output",
    async () => {
      const ids = await pod.start(container, signal);
      const status = attach(agent, ids, { stdout: output, stderr: output });
      await Promise.race([output.begun, status]);
      return { ids, status };
    },
    () => output.text,
  );
  // Looked at below; a failure before that is told there.
  main.status.catch(() => {});

  const exec = async (...command: string[]): Promise<string> => {
    const ids = await pod.exec(container, execProcess(container.process, { command }), signal);
    const said = new Output();
    const status = await attach(agent, ids, { stdout: said, stderr: said });
    return `${said.text}exit status ${status}`;
  };
  const text = (told: string): string => told;
  await steps.step("exec /bin/echo: allowed", () => exec("/bin/echo", "the policy lets this through"), text);
  await steps.step("exec /bin/cat /etc/passwd: refused", () => refusal(exec("/bin/cat", "/etc/passwd")), text);
  await steps.step("another policy: refused", () => refusal(pod.setPolicy("package agent_policy", signal)), text);
  await steps.step(
    "end and remove the container",
    async () => {
      await pod.signal(main.ids, "SIGKILL");
      const status = await main.status;
      await pod.remove(container);
      return status;
    },
    (status) => `exit status ${status}`,
  );
}

/** The status with which the agent refused; a request that goes through is the demo's failure. */
async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof AgentRefusal) return error.message;
    throw error;
  }
  throw new Error("expected the policy to refuse the request, and it went through");
}

/** Keeps what is written, and tells when something is. */
class Output extends Writable {
  text = "";
  readonly begun: Promise<void>;
  readonly #begin: () => void;

  constructor() {
    super();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.begun = promise;
    this.#begin = resolve;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString("utf8");
    this.#begin();
    done();
  }
}

let failure: string | undefined;
try {
  await demo();
} catch (error) {
  failure = describeError(signal.aborted ? signal.reason : error);
}
await steps.step("tear everything down", () => undo.disposeAsync());
process.stdout.write(
  failure === undefined
    ? `\ndone in ${steps.total()}; next: npx nacre --help\n`
    : `\nmake run failed after ${steps.total()}: ${failure}\n`,
);
process.exitCode = failure === undefined ? 0 : 1;
