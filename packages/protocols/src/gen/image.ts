// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

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
