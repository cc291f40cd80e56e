export { readDocuments, type Documents, type ManifestFile } from "./documents.ts";
export { GenPolicyError, type GenPolicyErrorCode } from "./error.ts";
export type { ImageFacts, ImageSource } from "./images.ts";
export { type Pod, type PodOptions, readPod } from "./pod.ts";
export type { PodContainer } from "./container.ts";
export { podPolicy, type PolicyOptions } from "./policy.ts";
export type { PolicyContainer, PolicyData } from "./policy-data.ts";
export { policyText } from "./policy-text.ts";
export { CONTAINER_MOUNTS, MASKED_PATHS, READONLY_PATHS, SHM_SIZE, SHM_STORAGE } from "./standard.ts";
export { podLifetime, type PodQuestion, type PulledImage } from "./host/lifetime.ts";
export { type PodHost, podHost } from "./host/pod-host.ts";
export {
  type ContainerRequests,
  containerRequests,
  execRequest,
  grpcMount,
  pauseRequests,
  sandboxRequest,
} from "./host/requests.ts";
