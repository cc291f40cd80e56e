import type { Clock, Http, RepositoryClient } from "oci-client";
import { PullError } from "../error.ts";
import type { SignatureGate } from "../image-puller.ts";
import { GpgKeys } from "./gpg-keys.ts";
import { type LookasideConfig, parseLookaside, signatureFolder } from "./lookaside.ts";
import { storedSignatures } from "./lookaside-source.ts";
import { parseSignaturePolicy } from "./policy.ts";
import { attachedSignatures } from "./registry-signatures.ts";
import { type FoundImage, judge, type SignatureVerdict } from "./verdict.ts";

/** What the configuration says about signatures. */
export interface SignatureSettings {
  /** A policy.json (containers-policy.json(5)). */
  readonly policy: Uint8Array;
  /** A file of registries.d, in YAML: where GPG's signatures lie. */
  readonly lookaside?: Uint8Array | undefined;
}

/** The ports of a gate. */
export interface SignatureGatePorts {
  readonly http: Http;
  readonly clock: Clock;
  /** The bytes behind a key's path or URI in the policy. */
  readonly read: (path: string, signal?: AbortSignal) => Promise<Uint8Array>;
}

/** Makes a gate of the settings. Throws PullError `configuration` for what does not parse. */
export type OpenSignatureGate = (settings: SignatureSettings, ports: SignatureGatePorts) => SignatureGate;

/** This file's own program beside the bundle, which only images with a policy need: GPG and YAML are long. */
export const openSignatureGate: OpenSignatureGate = ({ policy, lookaside }, { http, clock, read }) => {
  const rules = parseSignaturePolicy(policy);
  const places: LookasideConfig | undefined = lookaside === undefined ? undefined : parseLookaside(lookaside);
  return {
    async check(image: FoundImage, client: RepositoryClient, signal?: AbortSignal): Promise<SignatureVerdict> {
      const source = {
        sigstore: (digest: string) => attachedSignatures(client, digest, signal),
        simple: async (digest: string) => {
          const folder = places === undefined ? undefined : signatureFolder(places, image.asked, digest);
          if (folder === undefined) {
            throw new PullError("configuration", "no sigstore configuration says where its signatures lie");
          }
          return await storedSignatures(folder, http, clock, signal);
        },
      };
      return await judge(rules, image, source, { read, openKeys: (rings) => GpgKeys.parse(rings) }, signal);
    },
  };
};
