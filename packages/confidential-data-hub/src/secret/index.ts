export { MAX_SEALED, parseJws, parseVerificationKey, SEALED, signJws, unverifiedPayload, verifyJws } from "./jws.ts";
export {
  type EnvelopeSecret,
  formatSealedSecret,
  parseSealedSecret,
  type SealedSecret,
  SECRET_VERSION,
  type VaultSecret,
} from "./sealed-secret.ts";
export { sealedSecretService } from "./sealed-secret-service.ts";
export { Unsealer, type UnsealerOptions } from "./unsealer.ts";
export { VerificationKeys } from "./verification-keys.ts";
