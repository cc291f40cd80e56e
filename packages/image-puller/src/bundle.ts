import type { ImageConfig } from "oci-client";

/**
 * The `config.json` of a bundle, as image-rs makes it: enough to say how the image wants to be run. The Kata agent
 * replaces it by the host's specification once the policy has allowed that.
 */
export function bundleConfig(image: ImageConfig): Record<string, unknown> {
  return {
    ociVersion: "1.0.2-dev",
    root: { path: "rootfs", readonly: false },
    process: {
      user: { uid: 0, gid: 0 },
      args: [...image.entrypoint, ...image.cmd],
      env: [...image.env],
      cwd: image.workingDir === "" ? "/" : image.workingDir,
    },
    hostname: "image-rs",
    mounts: image.volumes.map((destination) => ({
      destination,
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "noexec", "nodev", "relatime", "rw"],
    })),
    annotations: annotations(image),
  };
}

function annotations(image: ImageConfig): Record<string, string> {
  const standard: Record<string, string | undefined> = {
    "org.opencontainers.image.os": image.os,
    "org.opencontainers.image.os.version": image.osVersion,
    "org.opencontainers.image.os.features": image.osFeatures.length > 0 ? JSON.stringify(image.osFeatures) : undefined,
    "org.opencontainers.image.architecture": image.architecture,
    "org.opencontainers.image.variant": image.variant,
    "org.opencontainers.image.author": image.author,
    "org.opencontainers.image.created": image.created,
    "org.opencontainers.image.stopSignal": image.stopSignal,
  };
  const ports = image.exposedPorts.join(",");
  const known = Object.entries(standard).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return {
    ...Object.fromEntries(known),
    ...image.labels,
    ...(ports === "" ? {} : { "org.opencontainers.image.exposedPorts": ports }),
  };
}
