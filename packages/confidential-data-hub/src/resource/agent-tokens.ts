import { createHash } from "node:crypto";

import { abortable, type AgentToken, parseAgentToken } from "@nacre/kbs-protocol";
import { AttestationAgentService, Code } from "@nacre/protocols";
import { RpcError, TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { HubError } from "../error.ts";

/** The agent is on this machine. */
const DIAL_TIMEOUT_MS = 5000;
/** As long as the agent takes at most for an attestation. */
const TOKEN_TIMEOUT_MS = 120_000;

/** Where tokens of the broker come from. */
export interface TokenSource {
  /**
   * The broker's token with its key. `stale` is one that the broker did not take: then another one. Rejects with
   * HubError `agent` or `attestation`, KbsProtocolError for what is no token, or the signal's reason.
   */
  get(stale: AgentToken | undefined, signal: AbortSignal): Promise<AgentToken>;
}

/**
 * The tokens that the attestation agent keeps. Nothing is kept here but the last token's key, which is not parsed again:
 * each request asks the agent, which drops its token when a register is extended. Who asks at one time shares the answer,
 * and one new attestation, however many requests the broker refused for one stale token.
 */
export class AgentTokens implements TokenSource {
  readonly #address: string;
  #connection: Promise<TtrpcClient> | undefined;
  #asking: Promise<AgentToken> | undefined;
  #renewing: Promise<AgentToken> | undefined;
  #last: { readonly digest: Buffer; readonly token: AgentToken } | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  async get(stale: AgentToken | undefined, signal: AbortSignal): Promise<AgentToken> {
    return await abortable(stale === undefined ? this.#current() : this.#after(stale), signal);
  }

  close(): void {
    void this.#connection?.then(
      (client) => client.close(),
      () => undefined,
    );
  }

  #current(): Promise<AgentToken> {
    this.#asking ??= this.#ask(false).finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  #after(stale: AgentToken): Promise<AgentToken> {
    const last = this.#last?.token;
    if (last !== undefined && last !== stale) return Promise.resolve(last);
    this.#renewing ??= this.#ask(true).finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #ask(fresh: boolean): Promise<AgentToken> {
    try {
      return await this.#askOnce(fresh);
    } catch (error) {
      // An agent that was started again has another socket.
      const ended = error instanceof HubError && error.cause instanceof RpcError;
      if (!ended || (error.cause as RpcError).code !== Code.UNAVAILABLE) throw error;
    }
    return await this.#askOnce(fresh);
  }

  async #askOnce(fresh: boolean): Promise<AgentToken> {
    const client = await (this.#connection ??= this.#connect());
    let bytes: Uint8Array;
    try {
      const request = { TokenType: "kbs", ...(fresh ? { fresh } : {}) };
      const options = { timeoutMs: TOKEN_TIMEOUT_MS };
      ({ Token: bytes } = await client.call(AttestationAgentService.methods.GetToken, request, options));
    } catch (cause) {
      throw new HubError("attestation", "the attestation agent got no token", { cause });
    }
    const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const digest = createHash("sha256").update(json).digest();
    if (this.#last?.digest.equals(digest) === true) json.fill(0);
    else this.#last = { digest, token: parseAgentToken(json) };
    return this.#last.token;
  }

  #connect(): Promise<TtrpcClient> {
    const connection = this.#dial();
    const forget = (): void => {
      if (this.#connection === connection) this.#connection = undefined;
    };
    connection.then((client) => client.closed.then(forget), forget);
    return connection;
  }

  async #dial(): Promise<TtrpcClient> {
    try {
      return new TtrpcClient(await dial(this.#address, { timeoutMs: DIAL_TIMEOUT_MS }));
    } catch (cause) {
      throw new HubError("agent", "the attestation agent cannot be reached", { cause });
    }
  }
}
