import type { KbsConfig } from "../config.ts";
import {
  attest,
  type AttestedToken,
  type EvidenceSource,
  formatAgentToken,
  type KbsClock,
  type KbsHttp,
  type RequestInitdata,
  TokenCache,
} from "@nacre/kbs-protocol";

/** A handshake with GPUs that are slow to answer, and a broker that is away at first, fits into it. */
const DEADLINE_MS = 120_000;

export interface KbsTokenOptions {
  readonly config: KbsConfig;
  readonly evidence: EvidenceSource;
  readonly initdata: RequestInitdata | undefined;
  readonly http: () => Promise<KbsHttp>;
  readonly clock: KbsClock;
  readonly onRefreshError: (error: unknown) => void;
}

/** Tokens of the key broker, each with the key that its replies are encrypted to. */
export class KbsTokens {
  readonly #options: KbsTokenOptions;
  readonly #cache: TokenCache<AttestedToken>;

  constructor(options: KbsTokenOptions) {
    this.#options = options;
    this.#cache = new TokenCache({
      load: () => this.#attest(),
      tokenOf: ({ token }) => token,
      clock: options.clock,
      onRefreshError: options.onRefreshError,
    });
  }

  /** JSON with the token and its key; the caller zeroes it. Rejects with KbsProtocolError or AttesterError. */
  async get(fresh: boolean): Promise<Buffer> {
    const attested = this.#options.config.cacheToken ? await this.#cache.get({ fresh }) : await this.#attest();
    return formatAgentToken(attested);
  }

  /** A token says what the guest was when it was made. */
  forget(): void {
    this.#cache.clear();
  }

  async #attest(): Promise<AttestedToken> {
    const { config, evidence, initdata, http, clock } = this.#options;
    const options = {
      url: config.url,
      http: await http(),
      evidence,
      initdata,
      clock,
      algorithm: config.teeKeyAlgorithm,
    };
    return await attest(options, AbortSignal.timeout(DEADLINE_MS));
  }
}
