#!/bin/bash
# Builds regorus.wasm from rust/ and compares it with the committed module. `--update` puts the new one in its place.
# The toolchain is Debian's (rustup's have no wasm32 standard library to build along), so the result is the same on
# every Debian 12 of the same package versions, wherever the repository lies.
set -euo pipefail
cd "$(dirname "$0")/../rust"
packages=(rustc-web cargo-web rust-web-src lld)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi
# Symbol hashes, and with them the order of functions, depend on where the sources lie: they are built in one place.
build=/tmp/nacre-regorus-wasm
exec 9>"$build.lock"
flock 9
rm -rf "$build"
mkdir "$build"
trap 'rm -rf "$build" "$build.lock"' EXIT
cp -r Cargo.toml Cargo.lock src meter "$build"
committed=$PWD/../regorus.wasm
cd "$build"
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$build/target
for manifest in Cargo.toml meter/Cargo.toml; do /usr/bin/cargo fetch --locked --quiet --manifest-path "$manifest"; done
# No path of the machine may be in the module: panic messages name sources.
remap="--remap-path-prefix=$build=regorus-wasm --remap-path-prefix=/usr/lib/rustlib/src/rust=rust"
for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do remap+=" --remap-path-prefix=${crates%/}=crates"; done
# 256 MiB: see "Limits" in the README. Stack first, so that an overflow traps instead of running into data.
limits="-Clink-arg=--max-memory=268435456 -Clink-arg=-zstack-size=4194304 -Clink-arg=--stack-first"
CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld RUSTFLAGS="$remap $limits" \
  /usr/bin/cargo build --release --locked --target wasm32-unknown-unknown -Zbuild-std=std,panic_abort
# What makes the module ask now and then whether it may go on is put in when everything else is done.
(cd meter && /usr/bin/cargo build --release --locked --quiet)
built=$build/metered.wasm
target/release/meter target/wasm32-unknown-unknown/release/regorus_wasm.wasm "$built"
/usr/bin/rustc --version
/usr/bin/cargo --version
dpkg-query -W -f '${Package} ${Version}\n' "${packages[@]}"
if cmp -s "$built" "$committed"; then
  echo "equal: regorus.wasm is what these sources build to"
elif [ "${1:-}" = --update ]; then
  install -m 644 "$built" "$committed"
  echo "updated: regorus.wasm, $(stat -c %s "$committed") bytes, sha256 $(sha256sum <"$committed" | cut -d' ' -f1)"
else
  echo "different: regorus.wasm is not what these sources build to here (--update replaces it)"
  exit 1
fi
