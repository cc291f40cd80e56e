import { createPublicKey, generateKeyPairSync, type KeyObject, sign, type X509Certificate } from "node:crypto";

import { stringifyLossless } from "@nacre/protocols";

import { TrusteeError } from "../error.ts";
import type { Fields } from "../fields.ts";
import type { Appraisal } from "./appraisal.ts";

/** Who signs tokens, and what they say about it (spec trustee 2.2). */
export interface EarOptions {
  /** On P-256. Absent: one that lasts as long as the process. */
  readonly key?: KeyObject;
  /** Certificates of the key, its own first. */
  readonly chain?: readonly X509Certificate[];
  readonly certificateUrl?: string;
  readonly minutes?: number;
  readonly issuer?: string;
  readonly developer?: string;
  readonly build?: string;
  readonly profile?: string;
}

/** One device's part of a token. */
export interface Submodule {
  readonly appraisal: Appraisal;
  readonly policyId: string;
  readonly evidence: Fields;
}

const MINUTES = 5;
const ISSUER = "CoCo-Attestation-Service";
const DEVELOPER = "https://confidentialcontainers.org";
const BUILD = "attestation-service 0.1.0";
const PROFILE = "tag:github.com,2024:confidential-containers/Trustee";

/** Makes attestation results (EAR) and signs them with ES256; the key goes along in the header. */
export class EarSigner {
  readonly #options: EarOptions;
  readonly #key: KeyObject;
  readonly #header: string;
  /** The key's public half as tokens carry it. */
  readonly jwk: Fields;
  readonly publicKey: KeyObject;

  /** Throws `config` for a key that is not on P-256, or not the certificate's. */
  constructor(options: EarOptions = {}) {
    this.#options = options;
    this.#key = options.key ?? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const publicKey = createPublicKey(this.#key);
    this.publicKey = publicKey;
    if (publicKey.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
      throw new TrusteeError("config", "token signer: expected an EC key on P-256");
    }
    const [own] = options.chain ?? [];
    if (own !== undefined && !own.publicKey.equals(publicKey)) {
      throw new TrusteeError("config", "token signer: expected the key of the first certificate");
    }
    const { x, y } = publicKey.export({ format: "jwk" });
    this.jwk = {
      alg: "ES256",
      ...(options.certificateUrl === undefined ? {} : { x5u: options.certificateUrl }),
      ...(options.chain === undefined ? {} : { x5c: options.chain.map(({ raw }) => raw.toString("base64")) }),
      kty: "EC",
      crv: "P-256",
      x,
      y,
    };
    this.#header = encode({ typ: "JWT", alg: "ES256", jwk: this.jwk });
  }

  /** A token of these submodules. `now` in Unix milliseconds. */
  issue(submodules: ReadonlyMap<string, Submodule>, now: number): string {
    const iat = Math.floor(now / 1000);
    const body = encode({
      eat_profile: this.#options.profile ?? PROFILE,
      iat,
      "ear.verifier-id": { developer: this.#options.developer ?? DEVELOPER, build: this.#options.build ?? BUILD },
      submods: Object.fromEntries([...submodules].map(([name, part]) => [name, submoduleClaims(part)])),
      exp: iat + (this.#options.minutes ?? MINUTES) * 60,
      iss: this.#options.issuer ?? ISSUER,
    });
    const text = `${this.#header}.${body}`;
    const signature = sign("sha256", Buffer.from(text), { key: this.#key, dsaEncoding: "ieee-p1363" });
    return `${text}.${signature.toString("base64url")}`;
  }
}

function submoduleClaims({ appraisal, policyId, evidence }: Submodule): Fields {
  return {
    "ear.status": appraisal.status,
    "ear.trustworthiness-vector": appraisal.vector,
    "ear.appraisal-policy-id": policyId,
    "ear.veraison.annotated-evidence": evidence,
    ...Object.fromEntries(appraisal.extensions),
  };
}

function encode(value: unknown): string {
  return Buffer.from(stringifyLossless(value)).toString("base64url");
}
