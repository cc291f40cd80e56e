// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** `api.GetResourceRequest` */
export interface GetResourceRequest {
  ResourcePath: string;
}

/** `api.GetResourceResponse` */
export interface GetResourceResponse {
  Resource: Uint8Array;
}

/** `api.ImagePullRequest` */
export interface ImagePullRequest {
  image_url: string;
  bundle_path: string;
}

/** `api.ImagePullResponse` */
export interface ImagePullResponse {
  manifest_digest: string;
  index_digest: string | null;
  config_digest: string | null;
  diff_ids: string[];
}

/** `api.SecureMountRequest` */
export interface SecureMountRequest {
  volume_type: string;
  options: Record<string, string>;
  flags: string[];
  mount_point: string;
}

/** `api.SecureMountResponse` */
export interface SecureMountResponse {
}

/** `api.UnsealSecretInput` */
export interface UnsealSecretInput {
  secret: Uint8Array;
}

/** `api.UnsealSecretOutput` */
export interface UnsealSecretOutput {
  plaintext: Uint8Array;
}
