#!/bin/bash
# `make run` and `make test` in a new Debian 12 tree: a package that only this machine has shows here.
#
# The tree is made by debootstrap in a folder of its own, with the package sources of this machine, its settings for
# npm and Go where it has such, a clone of the last commit, and the recorded vectors read-only where they are. It becomes
# the root of private mount and pid namespaces, which take every mount and process with them when they end.
# NACRE_FRESH_TARGETS names other targets than `run test`.
set -euo pipefail
targets=${NACRE_FRESH_TARGETS:-run test}

# Stage two, in the namespaces: enter the tree for good, so that it is no chroot but a machine's root.
if [ "${NACRE_FRESH_TREE:-}" != "" ]; then
  tree=$NACRE_FRESH_TREE
  mount --bind "$tree" "$tree"
  mount -t proc proc "$tree/proc"
  mount --rbind /sys "$tree/sys"
  mount --rbind /dev "$tree/dev"
  mount -t tmpfs -o mode=755 tmpfs "$tree/run"
  if [ -d "$NACRE_VECTORS" ]; then
    mount --bind "$NACRE_VECTORS" "$tree/home/vectors"
    mount -o remount,bind,ro "$tree/home/vectors"
  fi
  cd "$tree"
  pivot_root . mnt
  cd /
  umount -l /mnt
  inside() {
    env -i HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" CI="${CI:-}" DEBIAN_FRONTEND=noninteractive \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
      ${NODE_EXTRA_CA_CERTS:+NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt} \
      NACRE_VECTORS=/home/vectors "$@"
  }
  # What a user needs before `git clone`; not by debootstrap, which cannot order npm's hundreds of dependencies.
  {
    inside apt-get update -qq
    inside apt-get install -y -qq --no-install-recommends git make nodejs npm
  } >/root/apt.log 2>&1 || { tail -n 20 /root/apt.log >&2; exit 1; }
  for target in $targets; do
    echo "== make $target"
    inside make -C /home/nacre "$target"
  done
  exit
fi

cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "make test-fresh needs root" >&2; exit 1; }
if ! command -v debootstrap >/dev/null; then
  apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
fi
tree=$(mktemp -d /var/tmp/nacre-fresh.XXXXXX)
# Whatever was mounted was so in namespaces that have ended.
trap 'rm -rf --one-file-system "$tree" "$tree.log"' EXIT

# One of the two forms is usually absent, which is no failure.
mirror=$({ sed -n 's/^URIs: *\(http[^ ]*\/debian\) *$/\1/p; s/^deb \(\[[^]]*\] \)\?\(http[^ ]*\/debian\) .*/\2/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } | head -n 1)
echo "== debootstrap bookworm from ${mirror:=http://deb.debian.org/debian}"
unshare --mount --propagation private -- \
  debootstrap --variant=minbase --include=ca-certificates bookworm "$tree" "$mirror" >"$tree.log" 2>&1 ||
  { tail -n 20 "$tree.log" >&2; exit 1; }

# How this machine reaches its package archives: proxies, authorities, registries.
copy() { if [ -e "$1" ]; then mkdir -p "$tree$(dirname "$1")" && cp -aL "$1" "$tree$1"; fi; }
# All of a release's suites, as on an installed machine; debootstrap leaves the first alone.
printf 'deb %s %s main\n' "$mirror" bookworm "$mirror" bookworm-updates "${mirror%/debian}/debian-security" bookworm-security \
  >"$tree/etc/apt/sources.list"
copy /etc/resolv.conf
copy /etc/hosts
for file in /etc/apt/apt.conf.d/*; do
  # Docker's image settings delete downloaded packages and are no way to reach anything.
  case $file in *docker*) ;; *) copy "$file" ;; esac
done
copy /usr/local/share/ca-certificates
copy /etc/ssl/certs/ca-certificates.crt
for file in .npmrc .config/go/env .gitconfig; do copy "$HOME/$file"; done
mkdir -p "$tree/home/vectors"
git clone -q "$PWD" "$tree/home/nacre"

NACRE_FRESH_TREE=$tree NACRE_VECTORS=${NACRE_VECTORS:-$(realpath -m "$PWD/../shared/data")} NACRE_FRESH_TARGETS=$targets \
  unshare --mount --pid --fork --kill-child --propagation private -- "$PWD/test/setup/fresh.sh"
