#!/usr/bin/env bash
# Builds rollcall for a deployment: a benchmark tells the compiler which code runs, and how often (profile-guided
# optimisation). Two builds with `--profile dist` and the benchmark between them, about twenty minutes on two cores.
#
#   PROFILE_DATABASE=postgres://user@host/empty deploy/build.sh [--features kurrentdb,vault-transit,otel]
#
# The program is target/profiled/rollcall. What the benchmark does not run is optimised for size: without PROFILE_DATABASE, the
# address of an empty PostgreSQL database, that is what serves from PostgreSQL.
# The profile is kept as target/profiled/rollcall.profdata. With PROFILE=FILE nothing is measured: that profile is used as it is.
# Needs llvm-profdata: `rustup component add llvm-tools`, or Debian's llvm-19.
set -euo pipefail
profile=${PROFILE:+$(realpath -e "$PROFILE")}
cd "$(dirname "$0")/.."

out=$PWD/target/profiled
host=$(rustc -vV | sed -n 's/^host: //p')

# With --target, the flags are for what is built and not for what builds it.
build() { # which build, flags of the compiler, options of cargo
  RUSTFLAGS="${RUSTFLAGS:-} $2" cargo build --profile dist --locked --target "$host" --target-dir "$out/$1" "${@:3}"
}

if [ -z "$profile" ]; then
  profile=$out/rollcall.profdata
  merge=
  for program in "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" llvm-profdata-{29..19} llvm-profdata; do
    if command -v "$program" >/dev/null 2>&1; then
      merge=$program
      break
    fi
  done
  [ -n "$merge" ] || { echo "llvm-profdata is missing: rustup component add llvm-tools" >&2; exit 1; }
  mkdir -p "$out"
  scratch=$(mktemp -d -p "$out")
  trap 'rm -rf "$scratch"' EXIT
  build instrumented "-Cprofile-generate=$scratch/counts" "$@"
  bench() { "$out/instrumented/$host/dist/rollcall" bench --dir "$scratch/bench" "$@" && rm -rf "$scratch/bench"; }
  bench --short
  bench --live 2000
  [ -z "${PROFILE_DATABASE:-}" ] || bench --short --database "$PROFILE_DATABASE"
  "$merge" merge -o "$profile" "$scratch"/counts/*.profraw
fi
build optimised "-Cprofile-use=$profile" "$@"
install -m 755 "$out/optimised/$host/dist/rollcall" "$out/rollcall"
echo "$out/rollcall"
