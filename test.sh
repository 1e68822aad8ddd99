#!/usr/bin/env bash
# Passes every test on a fresh Debian with Rust, installing what it lacks.
set -euo pipefail
cd "$(dirname "$0")"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
need() { # command, then the Debian packages that bring it
  command -v "$1" >/dev/null 2>&1 || missing+=("${@:2}")
}
need cc gcc libc6-dev
need curl curl
need node nodejs
need npm npm
need python3 python3
need flock util-linux
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
python3 -c 'import yaml' 2>/dev/null || missing+=(python3-yaml)
command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
need openssl openssl
need chromium chromium
need chromedriver chromium-driver
command -v haproxy >/dev/null 2>&1 || [ -x /usr/sbin/haproxy ] || missing+=(haproxy)
command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
if [ "${#missing[@]}" -gt 0 ]; then
  echo "installing ${missing[*]}"
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

./tests/it/sdk/install.sh
cargo fmt --all --check
# A workspace of its own, which is not built here.
cargo fmt --manifest-path benches/peers/Cargo.toml --check
# What a newcomer builds has no optional feature.
cargo clippy --locked -- -D warnings
cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features --locked
if command -v cargo-deny >/dev/null 2>&1; then
  cargo deny check bans licenses sources
fi
cargo test --workspace --all-features --locked --no-run
# They take a quarter of an hour; one that hangs fails them all, and they have told which runs long.
timeout --foreground 50m cargo test --workspace --all-features --locked
