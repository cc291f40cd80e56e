import type { Fields } from "@nacre/ocicrypt";

/** What decrypts and keeps secrets for their owner. Results are the caller's to zero. */
export interface Kms {
  /** What was encrypted with one of its keys. Rejects with HubError. */
  decrypt(ciphertext: Uint8Array, keyId: string, annotations: Fields, signal: AbortSignal): Promise<Buffer>;
  /** A secret that it has under a name. Rejects with HubError, or what the broker rejects with. */
  secret(name: string, annotations: Fields, signal: AbortSignal): Promise<Buffer>;
}

/** What a service encrypted, and the annotations that it has to see again to decrypt that. */
export interface Encrypted {
  readonly ciphertext: Buffer;
  readonly annotations: Fields;
}

/** A service that encrypts for who seals secrets. Rejects with HubError. */
export interface EncryptingKms extends Kms {
  encrypt(plaintext: Uint8Array, keyId: string, signal: AbortSignal): Promise<Encrypted>;
}

/** Finds the service that a sealed text names, with its settings. Rejects with HubError. */
export type OpenKms = (provider: string, settings: Fields, signal: AbortSignal) => Promise<Kms>;
