import { type ComponentLog, type AttestationAgentService, Code, RuntimeMeasurementResult } from "@nacre/protocols";
import { failureReason, REASON_DOMAIN } from "@nacre/kbs-protocol";
import { errorInfo, type Handlers, RpcError } from "@nacre/ttrpc";

import type { AttestationAgent } from "../attestation-agent.ts";
import { lastWords } from "../error.ts";

type AgentHandlers = Required<Handlers<typeof AttestationAgentService>>;

/** What each method says when it failed; callers match on it. The causes go to the log alone, their reason to programs. */
export type Sentences = Readonly<Record<keyof AgentHandlers, string>>;

export const TTRPC_SENTENCES: Sentences = {
  GetEvidence: "AA-KBC get evidence failed",
  GetAdditionalEvidence: "AA-KBC get evidence failed",
  GetToken: "AA-KBC get token failed",
  ExtendRuntimeMeasurement: "AA extend runtime measurement failed",
  BindInitData: "AA binding init data failed",
  GetTeeType: "AA-KBC get tee type failed",
  GetAdditionalTees: "AA-KBC get tee type failed",
};

export const GRPC_SENTENCES: Sentences = {
  GetEvidence: "AA get evidence failed",
  GetAdditionalEvidence: "AA get additional evidence failed",
  GetToken: "AA get token failed",
  ExtendRuntimeMeasurement: "AA extend runtime measurement failed",
  BindInitData: "AA binding init data failed",
  GetTeeType: "AA get tee type failed",
  GetAdditionalTees: "AA get additional tees failed",
};

/** The seven methods. */
export function agentHandlers(agent: AttestationAgent, log: ComponentLog, sentences: Sentences): AgentHandlers {
  const answered = async <T>(method: keyof AgentHandlers, answer: () => Promise<T>): Promise<T> => {
    try {
      return await answer();
    } catch (error) {
      log("error", `${method}: ${lastWords(error)}`);
      const reason = failureReason(error);
      throw new RpcError(Code.INTERNAL, `[ERROR:attestation-agent] ${sentences[method]}`, {
        details: reason === undefined ? [] : [errorInfo(REASON_DOMAIN, reason)],
      });
    }
  };
  return {
    GetEvidence: ({ RuntimeData }, { signal }) =>
      answered("GetEvidence", async () => ({ Evidence: await agent.evidence(RuntimeData, signal) })),
    GetAdditionalEvidence: ({ RuntimeData }, { signal }) =>
      answered("GetAdditionalEvidence", async () => ({
        Evidence: await agent.additionalEvidence(RuntimeData, signal),
      })),
    GetToken: ({ TokenType, fresh }, context) =>
      answered("GetToken", async () => {
        const Token = await agent.token(TokenType, fresh === true);
        context.zeroAfter(Token);
        return { Token };
      }),
    ExtendRuntimeMeasurement: ({ Domain, Operation, Content, RegisterIndex }) =>
      answered("ExtendRuntimeMeasurement", async () => {
        const event = { domain: Domain, operation: Operation, content: Content };
        return { Result: RuntimeMeasurementResult[await agent.extend(event, RegisterIndex)] };
      }),
    BindInitData: ({ Digest }) =>
      answered("BindInitData", async () => {
        await agent.bindInitdata(Digest);
        return {};
      }),
    GetTeeType: () => answered("GetTeeType", () => Promise.resolve({ tee: agent.tee() })),
    GetAdditionalTees: () =>
      answered("GetAdditionalTees", () => Promise.resolve({ additional_tees: agent.additionalTees() })),
  };
}

/** Over ttRPC: upstream's server has no handler for one of them, and answers as its library does then. */
export function ttrpcHandlers(agent: AttestationAgent, log: ComponentLog): Handlers<typeof AttestationAgentService> {
  return {
    ...agentHandlers(agent, log, TTRPC_SENTENCES),
    BindInitData: () => {
      throw new RpcError(Code.NOT_FOUND, "/attestation_agent.AttestationAgentService/BindInitData is not supported");
    },
  };
}
