import { type AgentToken, parseAgentToken } from "@nacre/kbs-protocol";
import { AttestationAgentService } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { HubError } from "../error.ts";

/** The agent is on this machine. */
const DIAL_TIMEOUT_MS = 5000;
/** As long as the agent takes at most for an attestation. */
const TOKEN_TIMEOUT_MS = 120_000;

/**
 * The broker's token with its key, from the attestation agent. Each call has a connection of its own, so that an agent
 * that was started again is found, and the end of the caller ends the call. Rejects with HubError `agent`,
 * KbsProtocolError for what is no token, or the signal's reason.
 */
export async function agentToken(address: string, fresh: boolean, signal: AbortSignal): Promise<AgentToken> {
  let client: TtrpcClient;
  try {
    client = new TtrpcClient(await dial(address, { timeoutMs: DIAL_TIMEOUT_MS, signal }));
  } catch (cause) {
    signal.throwIfAborted();
    throw new HubError("agent", "the attestation agent cannot be reached", { cause });
  }
  const close = (): void => client.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    const request = { TokenType: "kbs", ...(fresh ? { fresh } : {}) };
    const options = { timeoutMs: TOKEN_TIMEOUT_MS };
    const { Token } = await client.call(AttestationAgentService.methods.GetToken, request, options);
    return parseAgentToken(Buffer.from(Token.buffer, Token.byteOffset, Token.byteLength));
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof Error && cause.name === "KbsProtocolError") throw cause;
    throw new HubError("attestation", "the attestation agent got no token", { cause });
  } finally {
    signal.removeEventListener("abort", close);
    client.close();
  }
}
