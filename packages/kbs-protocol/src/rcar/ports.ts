import type { Tee } from "./tee.ts";

/** The port to the network. */
export interface KbsHttp {
  /**
   * Sends one request and resolves with the whole reply; redirects are not followed. Rejects with KbsProtocolError
   * `network` where the broker did not answer, `too-long` where its body is longer than `maxBody`, or the signal's
   * reason.
   */
  send(request: KbsRequest): Promise<KbsReply>;
}

export interface KbsRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Bytes. */
  readonly maxBody: number;
  readonly signal?: AbortSignal | undefined;
}

export interface KbsReply {
  readonly status: number;
  /** Each `set-cookie`. */
  readonly cookies: readonly string[];
  readonly body: string;
}

/** The port to time. */
export interface KbsClock {
  /** Milliseconds that only ever grow: a host sets the guest's clock as it likes. */
  monotonic(): number;
  /** Rejects with the signal's reason when aborted before. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Who makes evidence. */
export interface EvidenceSource {
  tee(): Tee;
  /** JSON of the machine's own evidence. */
  evidence(reportData: Buffer, signal?: AbortSignal): Promise<string>;
  /** JSON of each device's evidence, by the device's name. */
  additionalEvidence(reportData: Buffer, signal?: AbortSignal): Promise<ReadonlyMap<string, string>>;
}
