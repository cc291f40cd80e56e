#!/bin/bash
# `make run` and `make test` in a new Debian 12 tree: a package that only this machine has shows here.
#
# The tree is made by debootstrap in a folder of its own, with the package sources of this machine, its settings for
# npm and Go where it has such, a clone of the last commit, and the recorded vectors read-only where they are. It runs
# in private mount and pid namespaces, which take every mount and process with them when they end.
# NACRE_FRESH_TARGETS names other targets than `run test`.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "make test-fresh needs root" >&2; exit 1; }
if ! command -v debootstrap >/dev/null; then
  apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
fi

if [ "${NACRE_FRESH_STAGE:-}" != inside ]; then
  exec env NACRE_FRESH_STAGE=inside unshare --mount --pid --fork --kill-child --mount-proc --propagation private -- "$0" "$@"
fi

repository=$PWD
vectors=${NACRE_VECTORS:-$(realpath -m "$PWD/../shared/data")}
tree=$(mktemp -d /var/tmp/nacre-fresh.XXXXXX)
cleanup() {
  # Everything mounted below goes before anything is removed, or `rm` would reach what is bound there.
  while mount=$(findmnt -rno TARGET | grep -F "$tree/" | tail -n 1) && [ -n "$mount" ]; do
    umount -l "$mount" || break
  done
  umount -l "$tree" 2>/dev/null || true
  if ! findmnt -rno TARGET | grep -qF "$tree"; then rm -rf --one-file-system "$tree"; fi
}
trap cleanup EXIT

# One of the two forms is usually absent, which is no failure.
mirror=$({ sed -n 's/^URIs: *\(http[^ ]*\/debian\) *$/\1/p; s/^deb \(\[[^]]*\] \)\?\(http[^ ]*\/debian\) .*/\2/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } | head -n 1)
echo "== debootstrap bookworm from ${mirror:=http://deb.debian.org/debian}"
debootstrap --variant=minbase --include=ca-certificates bookworm "$tree" "$mirror" \
  > "$tree.log" 2>&1 || { tail -n 20 "$tree.log" >&2; exit 1; }
rm -f "$tree.log"

# How this machine reaches its package archives: proxies, authorities, registries.
copy() { if [ -e "$1" ]; then mkdir -p "$tree$(dirname "$1")" && cp -aL "$1" "$tree$1"; fi; }
copy /etc/resolv.conf
copy /etc/hosts
for file in /etc/apt/apt.conf.d/*; do
  # Docker's image settings delete downloaded packages and are no way to reach anything.
  case $file in *docker*) ;; *) copy "$file" ;; esac
done
copy /usr/local/share/ca-certificates
copy /etc/ssl/certs/ca-certificates.crt
for file in .npmrc .config/go/env .gitconfig; do copy "$HOME/$file"; done

# The root must be a mount point of its own: a guest's pivot_root is refused in a plain folder.
mount --bind "$tree" "$tree"
for dir in proc sys dev; do mkdir -p "$tree/$dir"; done
mount -t proc proc "$tree/proc"
mount --rbind --make-rslave /sys "$tree/sys"
mount --rbind --make-rslave /dev "$tree/dev"
mount -t tmpfs -o mode=755 tmpfs "$tree/run"
mkdir -p "$tree/home/vectors" "$tree/home/nacre"
if [ -d "$vectors" ]; then
  mount --bind "$vectors" "$tree/home/vectors"
  mount -o remount,bind,ro "$tree/home/vectors"
fi
git clone -q "$repository" "$tree/home/nacre"

inside() {
  chroot "$tree" /usr/bin/env -i HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" CI="${CI:-}" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
    ${NODE_EXTRA_CA_CERTS:+NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt} \
    NACRE_VECTORS=/home/vectors "$@"
}
inside apt-get update -qq
# What a user needs before `git clone`; not by debootstrap, which cannot order npm's hundreds of dependencies.
inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends git make nodejs npm >"$tree/root/apt.log" 2>&1 ||
  { tail -n 20 "$tree/root/apt.log" >&2; exit 1; }
for target in ${NACRE_FRESH_TARGETS:-run test}; do
  echo "== make $target"
  inside make -C /home/nacre "$target"
done
