import { closeSync, existsSync, rmSync, statSync } from "node:fs";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";

import { AgentService, Code } from "@nacre/protocols";
import { RpcError, TtrpcClient } from "@nacre/ttrpc";
import { dial, Relay } from "@nacre/vsock";

import { Agent, AgentRefusal } from "../../agent.ts";
import { describeError, NacreError } from "../../error.ts";
import { createCgroups } from "../cgroups.ts";
import { configureNetwork } from "../guest-network.ts";
import { AGENT_PORT, type GuestLayout, portSocket } from "../layout.ts";
import { createTap, guestMac } from "../network.ts";
import type { Accelerator, QemuPlan } from "../plan.ts";
import type { SupervisedGuest, Supervision } from "../supervised-guest.ts";
import { chooseAccelerator, systemKvmProbes } from "./accelerator.ts";
import { agentAnswers } from "./agent-ready.ts";
import { type EmulatorThreads, qemuArguments } from "./arguments.ts";
import { emulatorHang } from "./emulator-hang.ts";
import { freshFirmware } from "./firmware.ts";
import { guestTpm, type GuestTpm, ownEndOfTpm } from "./guest-tpm.ts";
import { joinGuest, openVsock, type OpenVsock, VSOCK_FD } from "./open-vsock.ts";
import { type OwnProcess, startOwnProcess } from "./own-process.ts";
import { qemuProgram } from "./program.ts";
import { QmpClient } from "./qmp.ts";
import { openScratch } from "./scratch.ts";
import { vsockProvider } from "./vsock-device.ts";

/** Descriptor of QEMU: the first after its standard ones. */
const QMP_FD = 3;
/** Behind the devices of open-vsock.ts and guest-tpm.ts. */
const SCRATCH_FD: number = VSOCK_FD + 2;
/** Longest time to the first program where firmware comes before the kernel; a bound on hanging. */
const WITH_FIRMWARE_MS = 120_000;
/** Ends of a machine by the names that QEMU gives them. */
const SHUTDOWNS: Readonly<Record<string, string>> = {
  "guest-shutdown": "a power-off",
  "guest-reset": "a reset",
  "guest-panic": "a panic",
};
/** QEMU's own failure, not a signal from elsewhere. */
const FAILED = /^status [1-9]/u;
/** Longest time that the end of a process, which is why another one ended, may be known after that one's. */
const CAUSE_MS = 3_000;
/** Time for the agent to say that it ends; the guest has the supervisor's own limit beyond that. */
const DESTROY_MS = 5_000;

/** What every try of a start has. */
interface Boot {
  readonly supervision: Supervision;
  readonly plan: QemuPlan;
  readonly accelerator: Accelerator;
  readonly gatewayMac: string;
}

/**
 * Starts a virtual machine; resolves when its agent answers. One whose emulated processors have hung is begun again, with
 * a single thread for all of them: slower, and without what they hang in.
 */
export async function startQemu(supervision: Supervision, plan: QemuPlan): Promise<SupervisedGuest> {
  const { layout, state, say } = supervision;
  const program = qemuProgram();
  if (!existsSync(program)) throw new NacreError("environment", `expected ${program}: make packages`);
  const accelerator = plan.accelerator ?? (await chooseAccelerator(systemKvmProbes(program)));
  await createCgroups(layout.cgroup, {});
  const gatewayMac = await createTap(layout.interface, state.network);
  const boot: Boot = { supervision, plan, accelerator, gatewayMac };
  const machine = await powerOn(boot, "multi");
  if (accelerator !== "tcg" || plan.cpus === 1) return await upOf(machine);
  const symptom = await hangOf(machine, boot);
  if (symptom === undefined) return machine.guest;
  await machine.giveUp();
  say(`QEMU's emulated processors have hung (${symptom}): started again, with one thread for all of them`);
  return await upOf(await powerOn(boot, "single"));
}

/** A machine that runs; its agent may not answer yet. */
interface PoweredOn {
  /** Resolves when its agent answers and its card is configured. */
  readonly up: Promise<void>;
  readonly guest: SupervisedGuest;
  /** Length of the console when it began, in bytes. */
  readonly consoleBegin: number;
  /** Ends it, so that another one can be started in its place. */
  giveUp(): Promise<void>;
}

async function upOf({ up, guest }: PoweredOn): Promise<SupervisedGuest> {
  await up;
  return guest;
}

/** Resolves with undefined when it is up, with the symptom where its processors hang. */
async function hangOf({ up, consoleBegin }: PoweredOn, { supervision, plan }: Boot): Promise<string | undefined> {
  const watched = new AbortController();
  const hang = emulatorHang(supervision.state.log, {
    from: consoleBegin,
    signal: AbortSignal.any([supervision.signal, watched.signal]),
    ...(plan.ovmf ? { kernelMs: WITH_FIRMWARE_MS } : {}),
  });
  const isUp = up.then(() => undefined);
  try {
    // The watch ends without a symptom where the start is given up, which its way up tells with the reason.
    return await Promise.race([isUp, hang.then((symptom) => symptom ?? isUp)]);
  } finally {
    watched.abort();
  }
}

async function powerOn(boot: Boot, threads: EmulatorThreads): Promise<PoweredOn> {
  const { supervision, plan, accelerator } = boot;
  const { layout, say, state, tracer } = supervision;
  const vsock = await openVsock(supervision, vsockProvider(plan.bridge));
  const tpm = plan.tpm ? await guestTpm(supervision, vsock.helpers, plan.initdata) : undefined;
  const variables = layout.firmwareVariables;
  await tracer.step("prepare", undefined);
  const argv = qemuArguments({
    name: `nacre-${layout.id}`,
    accelerator,
    threads,
    cpus: plan.cpus,
    memoryBytes: plan.memoryBytes,
    kernel: plan.kernel,
    initramfs: plan.initramfs,
    commandLine: plan.commandLine,
    firmware: plan.ovmf ? { code: freshFirmware(variables), variables } : undefined,
    tpmFd: tpm?.fd,
    disk: plan.disk,
    readOnlyDisks: [
      ...(plan.initdata === undefined ? [] : [{ serial: "initdata", path: plan.initdata }]),
      ...plan.extensions,
    ],
    scratchFd: plan.scratchBytes === undefined ? undefined : SCRATCH_FD,
    console: state.log,
    qmpFd: QMP_FD,
    vsock: vsock.device,
    network: { tap: layout.interface, mac: guestMac(layout.id) },
  });
  const consoleBegin = statSync(state.log).size;
  const scratch = plan.scratchBytes === undefined ? undefined : openScratch(plan.scratchBytes);
  const qemu = await startMachine(supervision, [qemuProgram(), ...argv], { vsock, tpm, scratch });
  let shutdown: string | undefined;
  const shutsDown = Promise.withResolvers<void>();
  const qmp = new QmpClient(qemu.child.stdio[QMP_FD] as Duplex, (event, data) => {
    if (event !== "SHUTDOWN") return;
    shutdown = SHUTDOWNS[String(data["reason"])];
    shutsDown.resolve();
  });
  // A machine without its vsock device cannot be reached any more, one without its TPM not be believed.
  const machineEnds = Promise.race([shutsDown.promise, qemu.ended]);
  const devicesEnded = Promise.race([
    vsock.ended,
    ...(tpm === undefined ? [] : [ownEndOfTpm(tpm.ended, machineEnds, CAUSE_MS)]),
  ]);
  const qemuEnd = qemu.ended.then(async (how) => {
    if (shutdown !== undefined || !FAILED.test(how)) return shutdown ?? how;
    // QEMU fails where a device's process ends while the machine is made, and may be known to have ended before that.
    return await Promise.race([devicesEnded, delay(CAUSE_MS, how, { ref: false })]);
  });
  const ended = Promise.race([qemuEnd, devicesEnded]);
  void Promise.race([qemu.ended.then(() => undefined), devicesEnded]).then((how) => {
    if (how !== undefined) say(`the guest is ended after ${how.replace(/,$/u, "")}`);
  });
  const closeDevices = async (): Promise<void> => {
    await vsock.close();
    await tpm?.close();
    qmp.close();
  };
  const givenUp = new AbortController();
  const up = comeUp(boot, qmp, ended, givenUp.signal);
  up.catch(() => {});
  const hybrid = hybridAddress(layout);
  const relay = up.then(() => Relay.listen(`unix://${portSocket(layout, AGENT_PORT)}`, hybrid));
  relay.catch(() => {});
  return {
    up: relay.then(() => {}),
    consoleBegin,
    guest: {
      ended,
      askToPowerOff: () => powerOff(hybrid, qmp, qemu),
      async close() {
        await (await relay).close();
        await closeDevices();
      },
    },
    async giveUp() {
      givenUp.abort();
      qemu.child.kill("SIGKILL");
      await qemu.ended;
      await closeDevices();
      for (const socket of [layout.hybridSocket, layout.vsockDevice]) rmSync(socket, { force: true });
    },
  };
}

function hybridAddress(layout: GuestLayout): string {
  return `hvsock://${layout.hybridSocket}:${AGENT_PORT}`;
}

/** Resolves when the agent answers and the card has its address. */
async function comeUp(
  { supervision, gatewayMac }: Boot,
  qmp: QmpClient,
  ended: Promise<string>,
  givenUp: AbortSignal,
): Promise<void> {
  const { layout, state, tracer } = supervision;
  const signal = AbortSignal.any([supervision.signal, givenUp]);
  const died = ended.then((how) => {
    throw new NacreError("guest", `the guest ended with ${how} before its agent answered`);
  });
  died.catch(() => {});
  const hybrid = hybridAddress(layout);
  await tracer.step("guest", Promise.race([ready(qmp, died, hybrid, state.log, signal), died]));
  await tracer.step("network", Promise.race([connectCard(supervision, hybrid, gatewayMac), died]));
}

async function ready(
  qmp: QmpClient,
  died: Promise<never>,
  address: string,
  console: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await qmp.open();
  } catch (error) {
    // The connection is over before its process has ended, which says more.
    await Promise.race([died, delay(2 * CAUSE_MS, undefined, { ref: false })]);
    throw error;
  }
  await agentAnswers(address, console, signal);
}

/** Gives the guest's card its address, as a runtime does. A policy may refuse that: then the guest has no network. */
async function connectCard(
  { layout, state, signal, record }: Supervision,
  address: string,
  gatewayMac: string,
): Promise<void> {
  const { gateway, address: own, prefixLength } = state.network;
  using agent = await Agent.connect(address, signal);
  try {
    await configureNetwork(
      agent,
      {
        mac: guestMac(layout.id),
        addresses: [`${own}/${prefixLength}`],
        gateways: [gateway],
        neighbours: [{ address: gateway, mac: gatewayMac }],
      },
      signal,
    );
  } catch (error) {
    if (!isPolicyRefusal(error)) throw error;
    record({ networkRefusal: describeError(error) });
  }
}

/** Section 1.2 of the agent's description: a rule that says no, and one that is not there. */
function isPolicyRefusal(error: unknown): boolean {
  if (!(error instanceof AgentRefusal)) return false;
  return error.status === Code.PERMISSION_DENIED || error.text.includes("internal error policy check");
}

/** What QEMU is given from {@link VSOCK_FD} on, and what is closed here then. */
interface Given {
  readonly vsock: OpenVsock;
  readonly tpm: GuestTpm | undefined;
  /** Descriptor of the scratch disk. */
  readonly scratch: number | undefined;
}

async function startMachine(
  { layout, logFd, record }: Supervision,
  argv: readonly string[],
  { vsock, tpm, scratch }: Given,
): Promise<OwnProcess> {
  const given = [vsock.connection, tpm?.connection ?? ("ignore" as const), scratch ?? ("ignore" as const)];
  let qemu: OwnProcess;
  try {
    qemu = await startOwnProcess(argv, ["ignore", logFd, logFd, "pipe", ...given]);
  } finally {
    if (scratch !== undefined) closeSync(scratch);
  }
  if (typeof vsock.connection !== "string") vsock.connection.destroy();
  tpm?.connection.destroy();
  vsock.attach(qemu.child.stdio[VSOCK_FD] as Duplex | null);
  record({ init: qemu.identity });
  await joinGuest(layout, qemu);
  return qemu;
}

/**
 * The way a runtime ends a pod: the agent ends after DestroySandbox, and the guest with it. A policy may refuse that, and
 * a guest may be past answering; then the machine is switched off.
 */
async function powerOff(address: string, qmp: QmpClient, qemu: OwnProcess): Promise<void> {
  if (await agentEnds(address)) return;
  await Promise.race([qmp.execute("quit").catch(() => undefined), qemu.ended]);
}

async function agentEnds(address: string): Promise<boolean> {
  let client: TtrpcClient | undefined;
  try {
    client = new TtrpcClient(await dial(address, { timeoutMs: DESTROY_MS }));
    await client.call(AgentService.methods.DestroySandbox, {}, { timeoutMs: DESTROY_MS });
    return true;
  } catch (error) {
    // A connection that is lost meanwhile is that of an agent that ends.
    return client !== undefined && !(error instanceof RpcError);
  } finally {
    client?.close();
  }
}
