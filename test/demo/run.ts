import { readFileSync } from "node:fs";
import { join } from "node:path";

import { type Guest, startGuest, sweep } from "@nacre/cli";
import { AgentService, codeName, fromJson, Health, type MethodDescriptor } from "@nacre/protocols";
import { RpcError, TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { createContainerBody, createSandboxBody, processBody } from "../fixtures/pod.ts";
import { busyboxImage, type Registry, startRegistry } from "../fixtures/registry.ts";
import { Steps } from "./steps.ts";

/** `make run`: what a confidential pod's guest does, from nothing to nothing, on this machine. */

const SANDBOX = "demo-sandbox";
const CONTAINER = "demo-container";
const agent = AgentService;
const steps = new Steps();
/** What is undone at the end, the latest first, however the demo ends. */
const undo = new AsyncDisposableStack();

async function call<Req, Res>(client: TtrpcClient, method: MethodDescriptor<Req, Res>, body: object): Promise<Res> {
  return await client.call(method, fromJson(method.requestType, body), { timeoutMs: 60_000 });
}

/** Standard output of a process until its end, and its exit status. */
async function outputOf(client: TtrpcClient, exec_id: string): Promise<string> {
  const ids = { container_id: CONTAINER, exec_id };
  let text = "";
  for (;;) {
    const { data } = await call(client, agent.methods.ReadStdout, { ...ids, len: 32768 });
    if (data.length === 0) break;
    text += Buffer.from(data).toString();
  }
  const { status } = await call(client, agent.methods.WaitProcess, ids);
  return `${text}exit status ${status}`;
}

async function exec(client: TtrpcClient, exec_id: string, args: readonly string[]): Promise<string> {
  const request = { container_id: CONTAINER, exec_id, process: processBody({ args }) };
  await call(client, agent.methods.ExecProcess, request);
  return await outputOf(client, exec_id);
}

/** The status with which the agent refused; a request that goes through is the demo's failure. */
async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof RpcError) return `${codeName(error.code)}: ${error.message}`;
    throw error;
  }
  throw new Error("expected the policy to refuse the request, and it went through");
}

async function demo(): Promise<void> {
  await sweep();
  const guest: Guest = await steps.step(
    "start a simulated guest: namespaces, nvrc, kata-agent, confidential-data-hub",
    async () => undo.use(await startGuest()),
    ({ id, agentAddress, gateway }) => `guest ${id}\nagent ${agentAddress}\ngateway ${gateway}`,
  );
  const registry: Registry = await steps.step(
    "start a registry on the guest's gateway",
    async () => undo.use(await startRegistry({ address: `${guest.gateway}:5000` })),
    ({ url }) => url,
  );
  const image = await steps.step(
    "push an image made from busybox-static",
    () => busyboxImage(registry, "demo/busybox:latest"),
    ({ reference, manifestDigest }) => `${reference}\n${manifestDigest}`,
  );
  const client = await steps.step("connect to the agent over ttRPC and check it", async () => {
    const connected = undo.adopt(new TtrpcClient(await dial(guest.agentAddress)), (open) => open.close());
    await call(connected, Health.methods.Check, {});
    return connected;
  });
  await steps.step(
    "put the policy in force",
    () =>
      call(client, agent.methods.SetPolicy, {
        policy: readFileSync(join(import.meta.dirname, "policy.rego"), "utf8"),
      }),
    () => "test/demo/policy.rego: one image, and of all execs only /bin/echo",
  );
  await steps.step("make the sandbox and its pause container", async () => {
    await call(client, agent.methods.CreateSandbox, createSandboxBody(SANDBOX, "demo"));
    const pause = createContainerBody({ id: SANDBOX, sandboxId: SANDBOX, image: "pause", args: ["/pause"] });
    await call(client, agent.methods.CreateContainer, pause);
    await call(client, agent.methods.StartContainer, { container_id: SANDBOX });
  });
  const command = "echo hello from $(hostname), kernel $(uname -r); exec sleep 1000";
  await steps.step("pull the image inside the guest and create a container of it", () =>
    call(
      client,
      agent.methods.CreateContainer,
      createContainerBody({ id: CONTAINER, sandboxId: SANDBOX, image: image.reference, args: ["sh", "-c", command] }),
    ),
  );
  await steps.step(
    "start it and read its first output",
    async () => {
      await call(client, agent.methods.StartContainer, { container_id: CONTAINER });
      const ids = { container_id: CONTAINER, exec_id: CONTAINER };
      return await call(client, agent.methods.ReadStdout, { ...ids, len: 32768 });
    },
    ({ data }) => Buffer.from(data).toString(),
  );
  await steps.step(
    "exec /bin/echo: allowed",
    () => exec(client, "allowed", ["/bin/echo", "the policy lets this through"]),
    (text) => text,
  );
  await steps.step(
    "exec /bin/cat /etc/passwd: refused",
    () => refusal(exec(client, "refused", ["/bin/cat", "/etc/passwd"])),
    (text) => text,
  );
  await steps.step(
    "another policy: refused",
    () => refusal(call(client, agent.methods.SetPolicy, { policy: "package agent_policy" })),
    (text) => text,
  );
  await steps.step("end and remove the container", async () => {
    await call(client, agent.methods.SignalProcess, { container_id: CONTAINER, signal: 9 });
    await call(client, agent.methods.WaitProcess, { container_id: CONTAINER, exec_id: CONTAINER });
    await call(client, agent.methods.RemoveContainer, { container_id: CONTAINER });
  });
}

let failed: unknown;
const interrupted = new Promise<never>((_, reject) => {
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => reject(new Error(`interrupted by ${name}`)));
});
try {
  await Promise.race([demo(), interrupted]);
} catch (error) {
  failed = error;
}
await steps.step("tear everything down", () => undo.disposeAsync());
if (failed !== undefined) throw failed;
process.stdout.write(`\ndone in ${steps.total()}; next: npx nacre --help\n`);
