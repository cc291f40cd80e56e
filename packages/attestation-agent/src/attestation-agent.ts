import type { ComponentLog } from "@nacre/protocols";
import type { Attester, DeviceAttester } from "@nacre/attesters";
import type { EvidenceSource, KbsClock, KbsHttp, RequestInitdata } from "@nacre/kbs-protocol";
import { formatAdditionalEvidence } from "@nacre/kbs-protocol";

import type { AgentConfig } from "./config.ts";
import { AgentError } from "./error.ts";
import type { EventLog } from "./eventlog/event-log.ts";
import type { AgentEvent } from "./eventlog/tcg2.ts";
import { cocoAsToken } from "./token/coco-as-token.ts";
import { KbsTokens } from "./token/kbs-token.ts";

export interface AgentParts {
  readonly config: AgentConfig;
  readonly attester: Attester;
  readonly devices: readonly DeviceAttester[];
  readonly initdata: RequestInitdata | undefined;
  /** Undefined where the log is off, or the platform has no registers. */
  readonly eventLog: EventLog | undefined;
  /** The network, loaded with the first token. */
  readonly http: () => Promise<KbsHttp>;
  readonly clock: KbsClock;
  readonly log: ComponentLog;
}

export type MeasurementResult = "NOT_ENABLED" | "NOT_SUPPORTED" | "OK";

/** What the agent does, whoever asks and however. */
export class AttestationAgent {
  readonly #parts: AgentParts;
  readonly #evidence: EvidenceSource;
  readonly #kbs: KbsTokens | undefined;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    const { attester, devices, config, initdata, http, clock, log } = parts;
    this.#evidence = {
      tee: () => attester.tee,
      evidence: (reportData, signal) => attester.evidence(reportData, signal),
      additionalEvidence: async (reportData, signal) => {
        // By name: the text is hashed, and nothing else puts it into an order.
        const found = await Promise.all(
          devices.map(async (device) => [device.tee, await device.evidence(reportData, signal)] as const),
        );
        return new Map(found.toSorted(([a], [b]) => (a < b ? -1 : 1)));
      },
    };
    this.#kbs =
      config.kbs === undefined
        ? undefined
        : new KbsTokens({
            config: config.kbs,
            evidence: this.#evidence,
            initdata,
            http,
            clock,
            onRefreshError: (error) => log("warn", `token: refresh failed: ${String(error)}`),
          });
  }

  tee(): string {
    return this.#parts.attester.tee;
  }

  additionalTees(): string[] {
    return this.#parts.devices.map(({ tee }) => tee);
  }

  async evidence(reportData: Uint8Array, signal?: AbortSignal): Promise<Buffer> {
    return Buffer.from(await this.#evidence.evidence(Buffer.from(reportData), signal));
  }

  /** No bytes where there are no devices. */
  async additionalEvidence(reportData: Uint8Array, signal?: AbortSignal): Promise<Buffer> {
    return Buffer.from(
      formatAdditionalEvidence(await this.#evidence.additionalEvidence(Buffer.from(reportData), signal)),
    );
  }

  /** The caller zeroes it. */
  async token(type: string, fresh: boolean): Promise<Buffer> {
    if (type === "kbs") {
      if (this.#kbs === undefined) throw new AgentError("config", "kbs token config not configured in config file");
      return await this.#kbs.get(fresh);
    }
    if (type === "coco_as") {
      const { cocoAs } = this.#parts.config;
      if (cocoAs === undefined) throw new AgentError("config", "coco_as token config not configured in config file");
      return await cocoAsToken(cocoAs.url, this.#evidence, await this.#parts.http());
    }
    throw new AgentError("request", "token type: expected kbs or coco_as");
  }

  /** A register is that of a PC; the platform's own for it takes the event. */
  async extend(event: AgentEvent, register: bigint | null): Promise<MeasurementResult> {
    if (!this.#parts.config.eventLog.enabled) return "NOT_ENABLED";
    const { eventLog } = this.#parts;
    if (eventLog === undefined) return "NOT_SUPPORTED";
    if (register !== null && register > 0xffffn) throw new AgentError("request", "register: expected at most 65535");
    try {
      return await eventLog.extend(event, register === null ? undefined : Number(register));
    } finally {
      // A token of before says nothing of it.
      this.#kbs?.forget();
    }
  }

  /** Who asks takes success for a bound digest: a platform that has no place for it is no success. */
  async bindInitdata(digest: Uint8Array): Promise<void> {
    const { attester } = this.#parts;
    if ((await attester.bindInitdata(digest)) === "bound") return;
    throw new AgentError("platform", `initdata: ${attester.tee} has no place for it`);
  }
}
