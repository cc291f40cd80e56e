export { bundleConfig } from "./bundle.ts";
export { describeError, PullError, type PullErrorCode } from "./error.ts";
export { type BlobSource, type ImageLayers, readImageFiles } from "./image-files.ts";
export {
  DEFAULT_CONCURRENT_DOWNLOADS,
  ImagePuller,
  type ImagePullerOptions,
  type PulledImage,
  type SignatureGate,
  type Unpacking,
} from "./image-puller.ts";
export { NodeHttp, type NodeHttpOptions, type ProxySettings, systemClock } from "./node-http.ts";
export type { FoundImage, SignatureVerdict } from "./signature/verdict.ts";
export type { OpenSignatureGate, SignatureSettings } from "./signature/gate.ts";
export type { LayerPlan, UnpackedLayer } from "./unpack/layer-unpack.ts";
export { rehearsePull } from "./rehearsal.ts";
export { WorkerPool, type WorkerPoolOptions } from "./unpack/worker-pool.ts";
