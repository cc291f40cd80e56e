export { abortable } from "./abortable.ts";
export { canonicalJson } from "./canonical-json.ts";
export { KbsProtocolError, type KbsProtocolErrorCode } from "./error.ts";
export { decodeInitdataAnnotation, encodeInitdataAnnotation, INITDATA_ANNOTATION } from "./initdata/annotation.ts";
export {
  fitDigest,
  formatInitdata,
  INITDATA_ALGORITHMS,
  INITDATA_VERSION,
  type Initdata,
  type InitdataAlgorithm,
  initdataDigest,
  InitdataKey,
  MAX_DOCUMENT,
  parseInitdata,
} from "./initdata/document.ts";
export {
  IMAGE_HEADER,
  MAX_COMPRESSED,
  parseImageHeader,
  readInitdataImage,
  writeInitdataImage,
} from "./initdata/image.ts";
export { concatKdf } from "./jwe/concat-kdf.ts";
export { decryptReply } from "./jwe/decrypt.ts";
export { encryptReply } from "./jwe/encrypt.ts";
export { type FlattenedJwe, MAX_REPLY, parseFlattenedJwe } from "./jwe/flattened.ts";
export { type AgentToken, formatAgentToken, parseAgentToken } from "./rcar/agent-token.ts";
export { Cookies } from "./rcar/cookies.ts";
export {
  failureReason,
  FAILURE_REASONS,
  type FailureReason,
  isFailureReason,
  REASON_DOMAIN,
} from "./failure-reason.ts";
export type * from "./rcar/evidence.ts";
export { getResource, type ResourceOptions } from "./rcar/get-resource.ts";
export { type Attested, handshake, type HandshakeOptions, USER_AGENT } from "./rcar/handshake.ts";
export type { EvidenceSource, KbsClock, KbsHttp, KbsReply, KbsRequest } from "./rcar/ports.ts";
export { MAX_TRIES, withRetries } from "./rcar/retry.ts";
export {
  attest,
  type AttestedToken,
  type AttestOptions,
  bearerSessions,
  cookieSessions,
  type KbsSession,
  type SessionSource,
} from "./rcar/sessions.ts";
export { TokenCache, type TokenCacheOptions } from "./rcar/token-cache.ts";
export { tokenLifetime } from "./rcar/token-lifetime.ts";
export {
  formatKbsError,
  KBS_ERROR_TYPE,
  KBS_ERRORS,
  type KbsErrorBody,
  type KbsErrorVariant,
  parseKbsError,
} from "./rcar/kbs-error.ts";
export {
  type AttestRequest,
  type AuthRequest,
  type Challenge,
  formatAdditionalEvidence,
  formatAttestRequest,
  formatAuthRequest,
  KBS_PREFIX,
  MAX_CHALLENGE,
  MAX_TOKEN_REPLY,
  parseAttestRequest,
  parseAuthRequest,
  parseChallenge,
  parseTokenReply,
  RCAR_VERSION,
  type RequestInitdata,
  selectedHash,
  SESSION_COOKIE,
  type TeeEvidence,
} from "./rcar/messages.ts";
export {
  DEFAULT_REPORT_HASH,
  deviceRuntimeData,
  primaryRuntimeData,
  REPORT_HASHES,
  reportData,
  type ReportHash,
  type RuntimeData,
} from "./rcar/report-data.ts";
export { parseTee, type Tee, TEES } from "./rcar/tee.ts";
export { TEE_KEY_ALGORITHMS, TeeKey, type TeeKeyAlgorithm } from "./rcar/tee-key.ts";
export {
  type AkpPublicKey,
  CURVES,
  ECDH_ES_A256KW,
  type EcPublicKey,
  importTeePublicKey,
  parseTeePublicKey,
  RSA_OAEP_256,
  type RsaPublicKey,
  type TeePublicKey,
} from "./rcar/tee-public-key.ts";
export { formatResourceUri, parseResourceUri, resourcePath, type ResourceUri } from "./resource-uri.ts";
export { parseStrictJson } from "./strict-json.ts";
