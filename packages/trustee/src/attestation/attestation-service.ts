import { createHash } from "node:crypto";

import { reportData, type ReportHash, type Tee } from "@nacre/kbs-protocol";

import { TrusteeError } from "../error.ts";
import type { Fields } from "../fields.ts";
import { checkPolicy, type RegorusModule } from "../policy/rego.ts";
import type { ReferenceValueQuery } from "../rvps/reference-values.ts";
import { Namespace, type Storage } from "../storage/storage.ts";
import type { Verifier } from "../verifier/verifier.ts";
import { Appraiser } from "./appraisal.ts";
import { DEFAULT_ATTESTATION_POLICIES } from "./default-policies.ts";
import type { EarSigner, Submodule } from "./ear.ts";
import { viewInitdata } from "./init-data.ts";

/** One piece of evidence, and what it must be bound to. */
export interface VerificationRequest {
  readonly tee: Tee;
  readonly evidence: unknown;
  /** An object is hashed in its canonical form; bytes are the report data as they are. Absent: nothing is compared. */
  readonly runtimeData?: Buffer | Fields;
  /** A TOML document, or the digest of one. */
  readonly initData?: Buffer | string;
  readonly hash?: ReportHash;
}

/** What was found, for the audit log. */
export interface Finding {
  readonly submodule: string;
  readonly tee?: Tee;
  /** A trust tier. */
  readonly status: string;
  readonly policy: string;
  /** SHA-256 of the policy's text, where that is here. */
  readonly policyDigest?: string;
  /** Which reference values the policy asked for: what was found, null where there was none. */
  readonly referenceValues?: Fields;
}

export interface Attestation {
  readonly token: string;
  readonly findings: readonly Finding[];
}

/** What a broker needs of an attestation service, its own or another. */
export interface Appraising {
  evaluate(requests: readonly VerificationRequest[], policyIds: readonly string[]): Promise<Attestation>;
  setPolicy(id: string, text: string): Promise<void>;
}

export interface AttestationServiceOptions {
  readonly storage: Storage;
  readonly module: RegorusModule;
  readonly referenceValues: ReferenceValueQuery;
  readonly verifiers: ReadonlyMap<Tee, Verifier>;
  readonly signer: EarSigner;
  /** false leaves the devices' evidence out of tokens. */
  readonly verboseToken?: boolean;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** A submodule's evidence may name no more devices than a machine has. */
const MAX_REQUESTS = 64;
const POLICY_ID = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/u;

/** Verifies evidence, appraises it by the policy of its class, and says so in a signed token. */
export class AttestationService implements Appraising {
  readonly #options: AttestationServiceOptions;
  readonly #appraiser: Appraiser;

  private constructor(options: AttestationServiceOptions) {
    this.#options = options;
    this.#appraiser = new Appraiser(options.module, options.referenceValues);
  }

  /** Puts the default policies where there are none. */
  static async open(options: AttestationServiceOptions): Promise<AttestationService> {
    for (const [id, policy] of Object.entries(DEFAULT_ATTESTATION_POLICIES)) {
      await options.storage.setNew(Namespace.ATTESTATION_POLICY, `${id}.rego`, Buffer.from(policy));
    }
    return new AttestationService(options);
  }

  get signer(): EarSigner {
    return this.#options.signer;
  }

  /** The first of the policies counts, as with upstream. Rejects with what was wrong with evidence or policy. */
  async evaluate(requests: readonly VerificationRequest[], policyIds: readonly string[]): Promise<Attestation> {
    const [policyId] = policyIds;
    if (policyId === undefined) throw new TrusteeError("request", "attestation: expected a policy");
    if (requests.length === 0 || requests.length > MAX_REQUESTS) {
      throw new TrusteeError(
        "request",
        `attestation: expected 1 to ${MAX_REQUESTS} pieces of evidence, got ${requests.length}`,
      );
    }
    const submodules = new Map<string, Submodule>();
    const findings: Finding[] = [];
    const counts = new Map<string, number>();
    for (const request of requests) {
      for (const { teeClass, evidence } of await this.#verify(request)) {
        const name = `${policyId}_${teeClass}`;
        const policy = await this.policy(name);
        if (policy === undefined) throw new TrusteeError("policy", `attestation: expected the policy ${name}`);
        const appraisal = await this.#appraiser.appraise(`${name}.rego`, policy, evidence);
        const at = counts.get(teeClass) ?? 0;
        counts.set(teeClass, at + 1);
        const submodule = `${teeClass}${at}`;
        submodules.set(submodule, { appraisal, policyId, evidence });
        const policyDigest = createHash("sha256").update(policy).digest("hex");
        const { status, referenceValues } = appraisal;
        findings.push({ submodule, tee: request.tee, status, policy: name, policyDigest, referenceValues });
      }
    }
    return { token: this.#options.signer.issue(submodules, this.#options.now()), findings };
  }

  /** Rejects with `policy-text` for a text that is no policy, `request` for an identifier that is none. */
  async setPolicy(id: string, text: string): Promise<void> {
    checkPolicyId(id);
    await checkPolicy(this.#options.module, `${id}.rego`, text);
    await this.#options.storage.set(Namespace.ATTESTATION_POLICY, `${id}.rego`, Buffer.from(text));
  }

  async policy(id: string): Promise<string | undefined> {
    checkPolicyId(id);
    return (await this.#options.storage.get(Namespace.ATTESTATION_POLICY, `${id}.rego`))?.toString("utf8");
  }

  async policies(): Promise<readonly string[]> {
    const keys = await this.#options.storage.list(Namespace.ATTESTATION_POLICY);
    return keys.map((key) => key.replace(/\.rego$/u, "")).toSorted();
  }

  /** Claims of one request, each with the annotated evidence that its policy and the token get. */
  async #verify(
    request: VerificationRequest,
  ): Promise<readonly { readonly teeClass: string; readonly evidence: Fields }[]> {
    const verifier = this.#options.verifiers.get(request.tee);
    if (verifier === undefined)
      throw new TrusteeError("unsupported", `attestation: evidence of ${request.tee} is not verified here`);
    const { runtimeData, initData } = request;
    const initdata = typeof initData === "string" ? viewInitdata(initData) : undefined;
    const initDataDigest = Buffer.isBuffer(initData) ? initData : initdata?.digest;
    const hash = request.hash ?? (request.tee === "se" ? "sha512" : "sha384");
    const digest =
      runtimeData === undefined || Buffer.isBuffer(runtimeData) ? runtimeData : reportData(runtimeData, hash);
    const verified = await verifier.verify(request.evidence, {
      ...(digest === undefined ? {} : { reportData: digest }),
      ...(initDataDigest === undefined ? {} : { initDataDigest }),
    });
    return verified.map(({ teeClass, claims: { report_data, init_data, ...claims } }) => ({
      teeClass,
      evidence: {
        ...(init_data === undefined ? {} : { init_data }),
        ...(init_data === undefined || initdata === undefined ? {} : { init_data_claims: initdata.claims }),
        ...(report_data === undefined ? {} : { report_data }),
        ...(report_data === undefined || digest === undefined ? {} : { runtime_data_claims: this.#shown(runtimeData) }),
        [request.tee]: claims,
      },
    }));
  }

  #shown(runtimeData: Buffer | Fields | undefined): unknown {
    if (runtimeData === undefined || Buffer.isBuffer(runtimeData)) return null;
    if (this.#options.verboseToken !== false) return runtimeData;
    const { "additional-evidence": _, ...rest } = runtimeData;
    return rest;
  }
}

function checkPolicyId(id: string): void {
  if (!POLICY_ID.test(id))
    throw new TrusteeError("request", "attestation: expected a policy's identifier of letters, digits and ._-");
}
