import { type Arch, DEBIAN_ARCH } from "../arch.ts";

/**
 * Debian packages of which the image's root holds files: those that the manifest names, then those that bring the libraries of
 * its programs. The build says so when a library is in none of them.
 */
export const kernelPackage = (arch: Arch): string => `linux-image-cloud-${DEBIAN_ARCH[arch]}`;

/** systemd's EFI stub, in front of a unified kernel image. */
export const STUB_PACKAGE = "systemd-boot-efi";

export const IMAGE_PACKAGES: readonly string[] = [
  "busybox-static",
  "ca-certificates",
  "crun",
  "cryptsetup-bin",
  "kmod",
  "libc-bin",

  "libargon2-1",
  "libblkid1",
  "libc6",
  "libcap2",
  "libcryptsetup12",
  "libdevmapper1.02.1",
  "libgcc-s1",
  "libgcrypt20",
  "libgpg-error0",
  "libjson-c5",
  "liblz4-1",
  "liblzma5",
  "libpcre2-8-0",
  "libpopt0",
  "libseccomp2",
  "libselinux1",
  "libssl3",
  "libstdc++6",
  "libsystemd0",
  "libudev1",
  "libuuid1",
  "libyajl2",
  "libzstd1",
];

/** Everything that is locked. */
export const lockedNames = (arch: Arch): readonly string[] => [kernelPackage(arch), STUB_PACKAGE, ...IMAGE_PACKAGES];
