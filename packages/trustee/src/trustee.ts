import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import type { Tee } from "@nacre/kbs-protocol";

import { type Appraising, AttestationService } from "./attestation/attestation-service.ts";
import { EarSigner, type EarOptions } from "./attestation/ear.ts";
import { errorText } from "./error.ts";
import { RemoteAttestationService, RemoteChannel, type RemoteOptions, RemoteReferenceValues } from "./grpc/remote.ts";
import { Admin, type AdminOptions } from "./kbs/admin.ts";
import { auditLog } from "./kbs/audit.ts";
import { type HttpOptions, type RunningServer, serveKbs } from "./kbs/http-server.ts";
import { Kbs } from "./kbs/kbs.ts";
import { Metrics } from "./kbs/metrics.ts";
import { ResourcePlugin } from "./kbs/resource-plugin.ts";
import { ResourcePolicy } from "./kbs/resource-policy.ts";
import { Sessions } from "./kbs/session.ts";
import { type TokenTrust, TokenVerifier } from "./kbs/token-verifier.ts";
import { compileRegorus, type RegorusModule } from "./policy/rego.ts";
import { ReferenceValues, type ReferenceValueStore } from "./rvps/reference-values.ts";
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
  /** A service of its own, or where another is. Absent: no handshakes, only tokens of another service. */
  readonly attestation?: AttestationOptions | RemoteOptions;
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
  /** Where reference values are; absent: in its own storage. */
  readonly remoteReferenceValues?: RemoteOptions;
}

export interface Trustee {
  /** Where it listens, in the order of `listen`. */
  readonly servers: readonly RunningServer[];
  readonly attestation: Appraising | undefined;
  readonly referenceValues: ReferenceValueStore;
  close(): Promise<void>;
}

/** Puts a broker together and serves it. Rejects with `config` or `storage`; nothing is left open then. */
export async function startTrustee(options: TrusteeOptions): Promise<Trustee> {
  const { storage, sessionStorage = storage, listen } = options;
  const servers: RunningServer[] = [];
  let sessions: Sessions | undefined;
  const channels: RemoteChannel[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()));
    sessions?.close();
    for (const channel of channels) channel.close();
    await storage.close();
    if (sessionStorage !== storage) await sessionStorage.close();
  };
  try {
    const { kbs, metrics, ...parts } = await makeKbs(options, sessionStorage, channels);
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
  readonly service: Appraising | undefined;
  readonly referenceValues: ReferenceValueStore;
}

/** An attestation service and its reference values, here or elsewhere. */
interface Service {
  readonly service: Appraising;
  readonly referenceValues: ReferenceValueStore;
  /** Of the tokens that are made here. */
  readonly ownKey?: KeyObject;
}

async function makeService(
  options: TrusteeOptions,
  module: RegorusModule,
  now: () => number,
  channels: RemoteChannel[],
): Promise<Service | undefined> {
  const { attestation } = options;
  if (attestation === undefined) return undefined;
  if ("address" in attestation) {
    const channel = new RemoteChannel(attestation);
    channels.push(channel);
    return { service: new RemoteAttestationService(channel), referenceValues: new RemoteReferenceValues(channel) };
  }
  const own = await makeAttestationService({ ...attestation, storage: options.storage, module, now }, channels);
  return { ...own, ownKey: own.service.signer.publicKey };
}

/** An attestation service over its storage; channels to others are added to the list, for their end. */
export async function makeAttestationService(
  options: AttestationOptions & {
    readonly storage: Storage;
    readonly module: RegorusModule;
    readonly now: () => number;
  },
  channels: RemoteChannel[],
): Promise<{ readonly service: AttestationService; readonly referenceValues: ReferenceValueStore }> {
  const { storage, module, now, remoteReferenceValues, signer, verboseToken } = options;
  let referenceValues: ReferenceValueStore = new ReferenceValues(storage, now);
  if (remoteReferenceValues !== undefined) {
    const channel = new RemoteChannel(remoteReferenceValues);
    channels.push(channel);
    referenceValues = new RemoteReferenceValues(channel);
  }
  const service = await AttestationService.open({
    storage,
    module,
    referenceValues,
    verifiers: verifiers(options, now),
    signer: new EarSigner(signer),
    verboseToken,
    now,
  });
  return { service, referenceValues };
}

export async function loadRegorus(): Promise<RegorusModule> {
  return await compileRegorus(await readFile(fileURLToPath(import.meta.resolve("regorus-wasm/regorus.wasm"))));
}

async function makeKbs(options: TrusteeOptions, sessionStorage: Storage, channels: RemoteChannel[]): Promise<Made> {
  const now = options.now ?? Date.now;
  const { storage, log } = options;
  const module = await loadRegorus();
  const made = await makeService(options, module, now, channels);
  const metrics = new Metrics(VERSION);
  const own = made?.ownKey === undefined ? {} : { ownKey: made.ownKey };
  const tokens = new TokenVerifier({ ...options.tokens, ...own }, now);
  const policy = await ResourcePolicy.open(storage, module);
  const sessions = await Sessions.open(sessionStorage, options.sessionMinutes * 60_000, now, (error) =>
    log(`sessions: ${errorText(error)}`),
  );
  const kbs = new Kbs({
    ...(made === undefined ? {} : { attestation: { ...made, own: made.ownKey !== undefined } }),
    sessions,
    tokens,
    admin: new Admin(options.admin, now),
    policy,
    ...(options.resourcePlugin ? { resources: new ResourcePlugin(storage) } : {}),
    metrics,
    audit: auditLog(options.audit, now),
    log,
  });
  const referenceValues = made?.referenceValues ?? new ReferenceValues(storage, now);
  return { kbs, metrics, sessions, service: made?.service, referenceValues };
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
