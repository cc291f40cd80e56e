#!/bin/bash
# Installs the Debian packages that the build, the demo and the tests use, and only those that are missing.
# With `bench`, also the peers that only `make bench` measures against; with `arm64`, what `make test-arm64` needs.
set -euo pipefail

packages=(
  attr             # getfattr, the independent reader of unpacked attributes
  apache2-utils    # htpasswd, for the registry with a password
  binutils         # strips the guest's Node
  busybox-static   # the image that demo and tests run
  ca-certificates
  cpio             # the independent reader of the initramfs
  crun             # the second OCI runtime
  cryptsetup-bin   # veritysetup: the image's hash tree
  curl
  docker-registry  # the registry
  erofs-utils      # the image's root
  fdisk            # sfdisk, the independent reader of the disk
  gcc libc6-dev    # the pause binary; layouts of the C library's structures
  git
  golang-go        # the Go ttRPC peer
  gnupg            # signs images
  iproute2         # the guest's network
  kmod
  libcap2-bin      # getcap, the independent reader of file capabilities
  ovmf swtpm       # firmware and TPM of a measured boot
  openssl          # certificates of the TLS registry
  postgresql redis-server  # the key broker's storages
  procps
  python3-jwcrypto # the independent reader and maker of sealed secrets
  qemu-system-x86  # QEMU guests
  runc             # runs the containers in the guest
  skopeo umoci     # independent makers of images
  strace           # what the launcher asks of the kernel
  systemd          # systemd-analyze, which reads the units of make install
  tinyproxy-bin    # the proxy between a guest and its broker
  tpm2-tools       # tpm2_checkquote, the independent verifier of quotes
  util-linux       # unshare, nsenter
)
# Builds their vsock device; Debian 12's `cargo` is too old for it.
if [ "${1:-}" = vsock ] && [ ! -e build/tools/vhost-device-vsock ]; then packages+=(cargo-web rustc-web); fi
if [ "${1:-}" = arm64 ]; then packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm); fi
if [ "${1:-}" = bench ]; then packages+=(containerd); fi

missing=()
for package in "${packages[@]}"; do
  if ! dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
    missing+=("$package")
  fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" != 0 ]; then
  echo "These Debian packages are missing; install them as root: ${missing[*]}" >&2
  exit 1
fi
# Debian's docker-registry and containerd start as services where there is an init system; nothing here wants them.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
# The lists of a machine that was never updated are missing or old; one try decides.
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
echo "installed: ${missing[*]}"
