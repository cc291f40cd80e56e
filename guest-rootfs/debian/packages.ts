/**
 * Debian packages of which the image holds files: those that the manifest names, then those that bring the libraries of
 * its programs. The build says so when a library is in none of them.
 */
export const KERNEL_PACKAGE = "linux-image-cloud-amd64";

export const IMAGE_PACKAGES: readonly string[] = [
  "ca-certificates",
  "crun",

  "libc6",
  "libcap2",
  "libgcc-s1",
  "libgcrypt20",
  "libgpg-error0",
  "liblz4-1",
  "liblzma5",
  "libseccomp2",
  "libstdc++6",
  "libsystemd0",
  "libyajl2",
  "libzstd1",
];
