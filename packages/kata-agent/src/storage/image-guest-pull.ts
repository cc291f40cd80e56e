import type { Syscalls } from "@nacre/kata-sys-util";

import { makeBundle, removeBundle } from "../bundle.ts";
import type { DataHub } from "../cdh.ts";
import { agreeOnImage, agreeOnSandbox } from "../container-type.ts";
import { internalError } from "../error.ts";
import { copyPauseImage } from "../pause-image.ts";
import { bundlePath } from "../paths.ts";
import { type PulledImage, pulledImage } from "../pulled-image.ts";
import type { StorageContext, StorageDriver, StorageMessage, Undo } from "./storage.ts";

/** The driver option that holds the metadata. */
const OPTION = "image_guest_pull=";

/** The metadata is a copy of the annotations; their size is bounded by the frame, their number here. */
const MAX_METADATA_ENTRIES = 1024;

/** Asks the policy about what was pulled. Throws where it says no; what was pulled is then removed. */
export type ApproveImage = (pulled: PulledImage, signal: AbortSignal) => Promise<void>;

/** `image_guest_pull`: the container's root from an image that the guest pulls itself (section 3.5). */
export class ImageGuestPullDriver implements StorageDriver {
  readonly name = "image_guest_pull";
  readonly shareable = false;
  readonly #syscalls: Syscalls;
  readonly #hub: DataHub;
  readonly #approve: ApproveImage;

  constructor(syscalls: Syscalls, hub: DataHub, approve: ApproveImage) {
    this.#syscalls = syscalls;
    this.#hub = hub;
    this.#approve = approve;
  }

  check(storage: StorageMessage, context: StorageContext): void {
    const metadata = parsePullMetadata(storage.driver_options);
    const expected = context.containerId === undefined ? "" : `${bundlePath(context.containerId)}/rootfs`;
    if (storage.mount_point !== expected) {
      throw internalError(
        context.containerId === undefined
          ? "an image is pulled for a container, not for the sandbox"
          : `image_guest_pull: expected mount point ${expected}, got ${storage.mount_point}`,
      );
    }
    if (!agreeOnSandbox(metadata, context.annotations)) agreeOnImage(storage.source, metadata, context.annotations);
  }

  async add(storage: StorageMessage, context: StorageContext): Promise<Undo> {
    const { containerId = "" } = context;
    const bundle = bundlePath(containerId);
    const undo = (): Promise<void> => removeBundle(this.#syscalls, bundle);
    try {
      if (agreeOnSandbox(parsePullMetadata(storage.driver_options), context.annotations)) {
        await makeBundle(bundle);
        await copyPauseImage(bundle);
      } else {
        const reply = await this.#hub.pullImage(storage.source, bundle, context.signal);
        await this.#approve(pulledImage(containerId, storage.source, reply), context.signal);
      }
    } catch (error) {
      await undo();
      throw error;
    }
    return undo;
  }
}

/** The metadata in `image_guest_pull={"metadata":{…}}`. Throws INTERNAL when it is missing or malformed. */
export function parsePullMetadata(driverOptions: readonly string[]): Record<string, string> {
  const option = driverOptions.find((text) => text.startsWith(OPTION));
  if (option === undefined) throw internalError("missing Image information for ImagePull volume");
  let parsed: unknown;
  try {
    parsed = JSON.parse(option.slice(OPTION.length));
  } catch {
    throw internalError("image_guest_pull: expected JSON");
  }
  const metadata =
    typeof parsed === "object" && parsed !== null ? (parsed as { metadata?: unknown }).metadata : undefined;
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw internalError("image_guest_pull: expected an object with metadata");
  }
  const entries = Object.entries(metadata);
  if (entries.length > MAX_METADATA_ENTRIES) throw internalError("image_guest_pull: too many entries of metadata");
  const result: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [key, value] of entries) {
    if (typeof value !== "string") throw internalError(`image_guest_pull: expected text for ${key}`);
    result[key] = value;
  }
  return result;
}
