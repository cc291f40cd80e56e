import { Client, credentials, status } from "@grpc/grpc-js";
import {
  AttestationService as AsDefinition,
  type MethodDescriptor,
  ReferenceValueProviderService,
  stringifyLossless,
} from "@nacre/protocols";

import type { Appraising, Attestation, Finding, VerificationRequest } from "../attestation/attestation-service.ts";
import { TrusteeError } from "../error.ts";
import { FieldReader, isFields } from "../fields.ts";
import { parseJson, parseJsonBytes } from "../json.ts";
import type { ReferenceValue, ReferenceValueStore } from "../rvps/reference-values.ts";

/** A service somewhere else, by gRPC. */
export interface RemoteOptions {
  /** http:// or, with TLS, https:// */
  readonly address: string;
  /** PEM; who may have signed the service's certificate. */
  readonly ca?: Buffer;
}

/** Milliseconds of one call, as upstream. */
const CALL_MS = 300_000;
const MAX_MESSAGE: number = 16 * 1024 * 1024;

/** One channel to a service: it multiplexes calls, and connects again by itself when one comes. */
export class RemoteChannel {
  readonly #client: Client;

  constructor({ address, ca }: RemoteOptions) {
    const { protocol, host } = new URL(address);
    const secure = protocol === "https:";
    this.#client = new Client(host, secure ? credentials.createSsl(ca ?? null) : credentials.createInsecure(), {
      "grpc.max_receive_message_length": MAX_MESSAGE,
      "grpc.max_send_message_length": MAX_MESSAGE,
    });
  }

  /** Rejects with `remote`: what the service said, or that it did not answer. */
  call<Req, Res>(
    method: MethodDescriptor<Req, Res>,
    request: Parameters<MethodDescriptor<Req, Res>["encodeRequest"]>[0],
  ): Promise<Res> {
    const bytes = Buffer.from(method.encodeRequest(request));
    const same = (value: Buffer): Buffer => value;
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + CALL_MS;
      this.#client.makeUnaryRequest(method.path, same, same, bytes, { deadline }, (error, response) => {
        if (error !== null || response === undefined) {
          const why = error?.code === status.UNAVAILABLE ? "it does not answer" : (error?.details ?? "no reply");
          reject(new TrusteeError("remote", `${method.name}: ${why}`));
          return;
        }
        try {
          resolve(method.decodeResponse(response));
        } catch (cause) {
          reject(new TrusteeError("remote", `${method.name}: expected ${method.responseType}`, { cause }));
        }
      });
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** An attestation service elsewhere (`coco_as_grpc`). */
export class RemoteAttestationService implements Appraising {
  readonly #channel: RemoteChannel;

  constructor(channel: RemoteChannel) {
    this.#channel = channel;
  }

  async evaluate(requests: readonly VerificationRequest[], policyIds: readonly string[]): Promise<Attestation> {
    const { attestation_token: token } = await this.#channel.call(AsDefinition.methods.AttestationEvaluate, {
      verification_requests: requests.map(message),
      policy_ids: [...policyIds],
    });
    return { token, findings: findings(token, requests) };
  }

  async setPolicy(id: string, text: string): Promise<void> {
    await this.#channel.call(AsDefinition.methods.SetAttestationPolicy, { policy_id: id, policy: text });
  }
}

function message({ tee, evidence, runtimeData, initData, hash }: VerificationRequest): Record<string, string> {
  return {
    tee,
    evidence: Buffer.from(stringifyLossless(evidence)).toString("base64url"),
    ...(runtimeData === undefined
      ? {}
      : Buffer.isBuffer(runtimeData)
        ? { raw_runtime_data: runtimeData.toString("base64url") }
        : { structured_runtime_data: stringifyLossless(runtimeData) }),
    ...(initData === undefined
      ? {}
      : typeof initData === "string"
        ? { init_data_toml: initData }
        : { init_data_digest: initData.toString("base64url") }),
    runtime_data_hash_algorithm: hash ?? "sha384",
  };
}

/** What the audit log can say of a token that somebody else made: its submodules, not the policies' texts. */
function findings(token: string, requests: readonly VerificationRequest[]): readonly Finding[] {
  const [, payload = ""] = token.split(".");
  const bytes = Buffer.from(payload, "base64url");
  const claims = new FieldReader(parseJsonBytes(bytes, "token", "remote"), "token", "remote");
  const submods = claims.get("submods");
  if (!isFields(submods)) return [];
  return Object.entries(submods).map(([submodule, part]): Finding => {
    const reader = new FieldReader(part, submodule, "remote");
    const evidence = reader.get("ear.veraison.annotated-evidence");
    const tee = requests.find((request) => isFields(evidence) && Object.hasOwn(evidence, request.tee))?.tee;
    return {
      submodule,
      ...(tee === undefined ? {} : { tee }),
      status: reader.text("ear.status"),
      policy: reader.optionalText("ear.appraisal-policy-id") ?? "",
    };
  });
}

/** Reference values elsewhere; its protocol can neither list nor delete. */
export class RemoteReferenceValues implements ReferenceValueStore {
  readonly #channel: RemoteChannel;

  constructor(channel: RemoteChannel) {
    this.#channel = channel;
  }

  async register(text: string): Promise<readonly string[]> {
    await this.#channel.call(ReferenceValueProviderService.methods.RegisterReferenceValue, { message: text });
    return [];
  }

  async query(name: string): Promise<unknown> {
    const { reference_value_results: text } = await this.#channel.call(
      ReferenceValueProviderService.methods.QueryReferenceValue,
      { reference_value_id: name },
    );
    return text === null ? undefined : parseJson(text, "reference value", "remote");
  }

  list(): Promise<readonly ReferenceValue[]> {
    return Promise.reject(new TrusteeError("unsupported", "reference values: a service elsewhere cannot list them"));
  }

  delete(): Promise<boolean> {
    return Promise.reject(new TrusteeError("unsupported", "reference values: a service elsewhere cannot delete them"));
  }
}
