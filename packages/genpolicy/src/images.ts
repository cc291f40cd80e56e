/** What is known of an image: by its registry, at the time that the policy is made. */
export interface ImageFacts {
  /** All names under which a host may ask for it, the first being the one that it will most likely use. */
  readonly names: readonly string[];
  /** Digests of the manifests that may turn out to be meant, `sha256:…`. */
  readonly manifestDigests: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=value` */
  readonly env: readonly string[];
  readonly workingDir: string;
  /** As the image has it: a name or number, perhaps with a group. */
  readonly user: string;
  readonly stopSignal: string | undefined;
  readonly volumes: readonly string[];
  /** /etc/passwd and /etc/group; undefined where the image has none. */
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

/** Tells of an image by the reference in the manifest. */
export type ImageSource = (reference: string) => Promise<ImageFacts>;
