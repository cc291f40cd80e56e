import type koffiModule from "koffi";

import { loadKoffi } from "./native.ts";

/** NVIDIA's management library, as its driver installs it. */
const LIBRARY = "libnvidia-ml.so.1";
const MAX_UUID = 96;
/** nvmlConfComputeGpuAttestationReport_t: three numbers, the nonce, the report, that of the embedded controller. */
const NONCE_AT = 12;
const NONCE = 32;
const REPORT_AT = NONCE_AT + NONCE;
const MAX_REPORT = 0x2000;
const MAX_CONTROLLER_REPORT = 0x1000;
const REPORT_STRUCTURE = REPORT_AT + MAX_REPORT + MAX_CONTROLLER_REPORT;
/** nvmlConfComputeGpuCertificate_t: two lengths, the chain, the attestation's chain. */
const CHAIN = 0x1000;
const ATTESTATION_CHAIN_AT = 8 + CHAIN;
const MAX_ATTESTATION_CHAIN = 0x1400;
/** nvmlConfComputeSystemState_t: environment, whether the feature is on, developer's mode. */
const STATE = 12;
const FEATURE_AT = 4;
const MAX_GPUS = 64;

type Library = ReturnType<(typeof koffiModule)["load"]>;
type Handle = unknown;
type Call = (...args: readonly unknown[]) => number;

/** What the driver says of one GPU. */
export interface NvmlReport {
  readonly architecture: number;
  readonly uuid: string;
  readonly report: Buffer;
  readonly certificates: Buffer;
}

/** GPUs by NVIDIA's library. It is loaded when it is first asked; where it is absent there are no GPUs. */
export function nvmlGpus(path: string = LIBRARY): {
  confidential(): number;
  report(index: number, nonce: Buffer): NvmlReport;
} {
  let nvml: Nvml | undefined;
  const opened = (): Nvml => (nvml ??= new Nvml(path));
  return {
    confidential: () => {
      try {
        return opened().confidential();
      } catch {
        return 0;
      }
    },
    report: (index, nonce) => opened().report(index, nonce),
  };
}

class Nvml {
  readonly #library: Library;

  constructor(path: string) {
    this.#library = loadKoffi().load(path);
    this.#run("int nvmlInit_v2()");
  }

  confidential(): number {
    const state = Buffer.alloc(STATE);
    this.#run("int nvmlSystemGetConfComputeState(void *)", state);
    if (state.readUInt32LE(FEATURE_AT) === 0) return 0;
    const count = Buffer.alloc(4);
    this.#run("int nvmlDeviceGetCount_v2(void *)", count);
    return Math.min(count.readUInt32LE(), MAX_GPUS);
  }

  report(index: number, nonce: Buffer): NvmlReport {
    if (nonce.length !== NONCE) throw new RangeError(`NVML: expected a nonce of ${NONCE} bytes, got ${nonce.length}`);
    const slot: [Handle] = [null];
    this.#run("int nvmlDeviceGetHandleByIndex_v2(uint, _Out_ void **)", index, slot);
    const [device] = slot;
    const architecture = Buffer.alloc(4);
    this.#run("int nvmlDeviceGetArchitecture(void *, void *)", device, architecture);
    const uuid = Buffer.alloc(MAX_UUID);
    this.#run("int nvmlDeviceGetUUID(void *, void *, uint)", device, uuid, uuid.length);
    const report = Buffer.alloc(REPORT_STRUCTURE);
    nonce.copy(report, NONCE_AT);
    this.#run("int nvmlDeviceGetConfComputeGpuAttestationReport(void *, void *)", device, report);
    const certificates = Buffer.alloc(ATTESTATION_CHAIN_AT + MAX_ATTESTATION_CHAIN);
    this.#run("int nvmlDeviceGetConfComputeGpuCertificate(void *, void *)", device, certificates);
    return {
      architecture: architecture.readUInt32LE(),
      uuid: uuid.toString("latin1", 0, Math.max(0, uuid.indexOf(0))),
      report: part(report, REPORT_AT, report.readUInt32LE(4), MAX_REPORT, "report"),
      certificates: part(
        certificates,
        ATTESTATION_CHAIN_AT,
        certificates.readUInt32LE(4),
        MAX_ATTESTATION_CHAIN,
        "chain",
      ),
    };
  }

  #run(declaration: string, ...args: readonly unknown[]): void {
    const status = (this.#library.func(declaration) as unknown as Call)(...args);
    if (status === 0) return;
    const name = /\w+(?=\()/u.exec(declaration)?.[0] ?? "";
    throw new Error(`NVML: ${name}: expected 0, got ${status}`);
  }
}

function part(block: Buffer, offset: number, length: number, max: number, what: string): Buffer {
  if (length === 0 || length > max)
    throw new RangeError(`NVML: expected a ${what} of 1 to ${max} bytes, got ${length}`);
  return block.subarray(offset, offset + length);
}
