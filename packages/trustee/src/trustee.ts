import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import type { Tee } from "@nacre/kbs-protocol";

import { AttestationService } from "./attestation/attestation-service.ts";
import { EarSigner, type EarOptions } from "./attestation/ear.ts";
import { errorText } from "./error.ts";
import { Admin, type AdminOptions } from "./kbs/admin.ts";
import { auditLog } from "./kbs/audit.ts";
import { type HttpOptions, type RunningServer, serveKbs } from "./kbs/http-server.ts";
import { Kbs } from "./kbs/kbs.ts";
import { Metrics } from "./kbs/metrics.ts";
import { ResourcePlugin } from "./kbs/resource-plugin.ts";
import { ResourcePolicy } from "./kbs/resource-policy.ts";
import { Sessions } from "./kbs/session.ts";
import { type TokenTrust, TokenVerifier } from "./kbs/token-verifier.ts";
import { compileRegorus } from "./policy/rego.ts";
import { ReferenceValues } from "./rvps/reference-values.ts";
import type { Storage } from "./storage/storage.ts";
import { AzSnpVerifier } from "./verifier/azure/az-snp-verifier.ts";
import { sampleDeviceVerifier, sampleVerifier } from "./verifier/sample.ts";
import { SnpVerifier, type VcekSource } from "./verifier/snp/snp-verifier.ts";
import type { CollateralSource } from "./verifier/tdx/collateral.ts";
import { TdxVerifier } from "./verifier/tdx/tdx-verifier.ts";
import { tpmVerifierOf } from "./verifier/tpm/tpm-verifier.ts";
import type { Verifier } from "./verifier/verifier.ts";

export const VERSION = "0.1.0";

/** A broker, ready to be put together. */
export interface TrusteeOptions {
  readonly storage: Storage;
  /** Default: `storage`. */
  readonly sessionStorage?: Storage;
  /** Minutes that a handshake's session lasts. */
  readonly sessionMinutes: number;
  /** Absent: no handshakes, only tokens of another service. */
  readonly attestation?: AttestationOptions;
  readonly tokens: TokenTrust;
  readonly admin: AdminOptions;
  readonly resourcePlugin: boolean;
  readonly listen: readonly HttpOptions[];
  /** Unix milliseconds. Default: the machine's clock. */
  readonly now?: () => number;
  /** A line of the log, and one of the audit log with its newline. */
  readonly log: (line: string) => void;
  readonly audit: (line: string) => void;
}

export interface AttestationOptions {
  readonly signer: EarOptions;
  readonly verboseToken: boolean;
  readonly vcekSources: readonly VcekSource[];
  /** The only attestation keys of TPMs that are believed; absent: the attestation policy says which. */
  readonly tpmKeys?: readonly KeyObject[];
  /** Absent: evidence of TDX is refused. */
  readonly collateral?: CollateralSource;
}

export interface Trustee {
  /** Where it listens, in the order of `listen`. */
  readonly servers: readonly RunningServer[];
  readonly attestation: AttestationService | undefined;
  readonly referenceValues: ReferenceValues;
  close(): Promise<void>;
}

/** Puts a broker together and serves it. Rejects with `config` or `storage`; nothing is left open then. */
export async function startTrustee(options: TrusteeOptions): Promise<Trustee> {
  const { storage, sessionStorage = storage, listen } = options;
  const servers: RunningServer[] = [];
  let sessions: Sessions | undefined;
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()));
    sessions?.close();
    await storage.close();
    if (sessionStorage !== storage) await sessionStorage.close();
  };
  try {
    const { kbs, metrics, ...parts } = await makeKbs(options, sessionStorage);
    sessions = parts.sessions;
    for (const one of listen) servers.push(await serveKbs(kbs, metrics, one));
    return { servers, attestation: parts.service, referenceValues: parts.referenceValues, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Made {
  readonly kbs: Kbs;
  readonly metrics: Metrics;
  readonly sessions: Sessions;
  readonly service: AttestationService | undefined;
  readonly referenceValues: ReferenceValues;
}

async function makeKbs(options: TrusteeOptions, sessionStorage: Storage): Promise<Made> {
  const now = options.now ?? Date.now;
  const { storage, log } = options;
  const wasm = await readFile(fileURLToPath(import.meta.resolve("regorus-wasm/regorus.wasm")));
  const module = await compileRegorus(wasm);
  const referenceValues = new ReferenceValues(storage, now);
  const service =
    options.attestation === undefined
      ? undefined
      : await AttestationService.open({
          storage,
          module,
          referenceValues,
          verifiers: verifiers(options.attestation, now),
          signer: new EarSigner(options.attestation.signer),
          verboseToken: options.attestation.verboseToken,
          now,
        });
  const metrics = new Metrics(VERSION);
  const own = service === undefined ? {} : { ownKey: service.signer.publicKey };
  const tokens = new TokenVerifier({ ...options.tokens, ...own }, now);
  const policy = await ResourcePolicy.open(storage, module);
  const sessions = await Sessions.open(sessionStorage, options.sessionMinutes * 60_000, now, (error) =>
    log(`sessions: ${errorText(error)}`),
  );
  const kbs = new Kbs({
    ...(service === undefined ? {} : { attestation: { service, referenceValues } }),
    sessions,
    tokens,
    admin: new Admin(options.admin, now),
    policy,
    ...(options.resourcePlugin ? { resources: new ResourcePlugin(storage) } : {}),
    metrics,
    audit: auditLog(options.audit, now),
    log,
  });
  return { kbs, metrics, sessions, service, referenceValues };
}

/** Kinds of evidence that are verified; all others are refused. */
function verifiers(options: AttestationOptions, now: () => number): ReadonlyMap<Tee, Verifier> {
  const map = new Map<Tee, Verifier>([
    ["sample", sampleVerifier],
    ["sampledevice", sampleDeviceVerifier],
    ["snp", new SnpVerifier(options.vcekSources)],
    ["tpm", tpmVerifierOf(options.tpmKeys)],
    ["az-snp-vtpm", new AzSnpVerifier()],
  ]);
  if (options.collateral !== undefined) map.set("tdx", new TdxVerifier({ now, collateral: options.collateral }));
  return map;
}
