import { internalError } from "./error.ts";

/** Annotations that say whether a container is the pod's sandbox container; containerd's and CRI-O's (section 3.5). */
const TYPE_KEYS = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"] as const;

/** Annotations with the image's reference. */
const IMAGE_KEYS = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"] as const;

type Annotations = Readonly<Record<string, string>>;

/** Whether the annotations call the container a sandbox; undefined when they say nothing. */
export function isSandbox(annotations: Annotations): boolean | undefined {
  const types = TYPE_KEYS.map((key) => annotations[key]).filter((type) => type !== undefined);
  if (types.length === 0) return undefined;
  return types.includes("sandbox");
}

/**
 * The container's type is said twice by the host, in the storage's metadata and in the OCI annotations. Upstream pulls
 * by one and chooses the process by the other; two that disagree are refused here (design decision 3). Silence in one
 * of them is no disagreement with "container". Throws INTERNAL.
 */
export function agreeOnSandbox(metadata: Annotations, annotations: Annotations): boolean {
  const inMetadata = isSandbox(metadata) ?? false;
  const inAnnotations = isSandbox(annotations) ?? false;
  if (inMetadata !== inAnnotations) {
    const name = (sandbox: boolean): string => (sandbox ? "sandbox" : "container");
    throw internalError(
      `container type: the storage says ${name(inMetadata)}, the annotations say ${name(inAnnotations)}`,
    );
  }
  return inMetadata;
}

/** The reference to pull is the storage's source; an annotation that names another image is refused. Throws INTERNAL. */
export function agreeOnImage(source: string, ...sources: readonly Annotations[]): void {
  for (const annotations of sources) {
    for (const key of IMAGE_KEYS) {
      const named = annotations[key];
      if (named !== undefined && named !== source) {
        throw internalError(`image: the storage says ${source}, ${key} says ${named}`);
      }
    }
  }
}
