export { TRUST_CLAIMS, tierOf, type TrustTier } from "./attestation/appraisal.ts";
export { AttestationService, type Finding, type VerificationRequest } from "./attestation/attestation-service.ts";
export { EarSigner } from "./attestation/ear.ts";
export {
  emptyServiceConfig,
  parseConfig,
  readConfig,
  readServiceConfig,
  type ServiceConfig,
  type TrusteeConfig,
} from "./config.ts";
export { errorText, TrusteeError, type TrusteeErrorCode } from "./error.ts";
export { fetchBytes } from "./fetch-bytes.ts";
export { adminToken, FreshFile, type FreshOptions, freshTrustee } from "./fresh.ts";
export { openConfig, openServiceConfig } from "./open-config.ts";
export { ReferenceValues } from "./rvps/reference-values.ts";
export { LocalFsStorage } from "./storage/local-fs.ts";
export { MemoryStorage } from "./storage/memory.ts";
export { serveAttestation, serveReferenceValues, type ServiceOptions } from "./services.ts";
export { PostgresStorage, type PostgresOptions } from "./storage/postgres.ts";
export { RedisStorage, type RedisOptions } from "./storage/redis.ts";
export { SqliteStorage } from "./storage/sqlite.ts";
export { Namespace, type Storage } from "./storage/storage.ts";
export { type TokenTrust, TokenVerifier } from "./kbs/token-verifier.ts";
export { parseMessage } from "./rvps/message.ts";
export {
  type AttestationOptions,
  loadRegorus,
  makeAttestationService,
  startTrustee,
  type Trustee,
  type TrusteeOptions,
} from "./trustee.ts";
export { parsePemChain } from "./verifier/certificate.ts";
export { type MeasuredEvent, parseEventLog } from "./verifier/event-log/event-log.ts";
export { AzSnpVerifier } from "./verifier/azure/az-snp-verifier.ts";
export { sampleDeviceVerifier, sampleVerifier } from "./verifier/sample.ts";
export { type FetchBytes, keyDistributionService } from "./verifier/snp/kds.ts";
export { offlineStore } from "./verifier/snp/offline-store.ts";
export { SnpVerifier, type VcekSource } from "./verifier/snp/snp-verifier.ts";
export { type CollateralSource, type TdxCollateral } from "./verifier/tdx/collateral.ts";
export { TdxVerifier, type TdxVerifierOptions } from "./verifier/tdx/tdx-verifier.ts";
export { tpmVerifier, tpmVerifierOf } from "./verifier/tpm/tpm-verifier.ts";
export type { Expected, TeeClass, VerifiedClaims, Verifier } from "./verifier/verifier.ts";
