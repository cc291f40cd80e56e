export { readAll } from "./body.ts";
export { type RegistryClientOptions, RepositoryClient, type ResolvedImage } from "./client.ts";
export { type Credentials, CredentialStore, parseUserPassword } from "./credentials.ts";
export {
  canonicalDigest,
  type Digest,
  digestOf,
  DigestVerifier,
  formatDigest,
  parseDigest,
  verifyDigest,
} from "./digest.ts";
export { OciError, type OciErrorCode, type OciErrorOptions } from "./error.ts";
export { fetchFile } from "./file.ts";
export type { Clock, Http, HttpRequest, HttpResponse } from "./http.ts";
export { type ImageConfig, MAX_CONFIG, parseImageConfig } from "./image-config.ts";
export {
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
  MAX_LAYERS,
  MAX_MANIFEST,
  parseManifest,
  type Platform,
  selectPlatform,
} from "./manifest.ts";
export { type Compression, type LayerEncoding, layerEncoding } from "./media-types.ts";
export { formatReference, networkHost, parseReference, type Reference } from "./reference.ts";
export {
  DEFAULT_REGISTRIES,
  expandReference,
  parseRegistryConfig,
  type PullSource,
  type RegistryConfig,
  type RegistryRule,
} from "./registries.ts";
export { Attempts, DEFAULT_RETRY, type RetryPolicy } from "./retry.ts";
