#!/usr/bin/env bash
# The checks that are one or a few cargo commands. Usage: bash ci/check.sh NAME [ARGUMENT...]
#
#   fmt       fails if `cargo fmt` would change a file, of any package of the repository
#   layering  the house rules that tests/layering.rs reads off the sources of src/
#   explorer [PROGRAM]
#             the protocol's programs in every order that x86 and an AArch64-like processor allow,
#             with their seeded faults; tests/explorer.rs says what is searched.
#             EXPLORER_VERBOSE=1 also prints states, times and a trace of each fault
#   clippy    clippy in all targets with all features; a warning is an error
#   features  clippy in the library, for each subset of its features
#   doc       rustdoc with all features; a warning, such as a broken link, is an error
#   test      `cargo test`: unit and integration tests, examples, the documentation's code
#   fence     unit and integration tests with fences in place of the process-wide barrier
#   msrv      the library compiles with the `rust-version` of Cargo.toml; rustup installs this
#             toolchain
#   minimal_versions
#             the library with the oldest versions of its dependencies that Cargo.toml allows
#
# Needs cargo; fmt needs rustfmt, and clippy and features need clippy.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

check_fmt() {
    local manifest
    for manifest in Cargo.toml ci/api/Cargo.toml fuzz/Cargo.toml benches/peers/Cargo.toml \
        examples/cluster/Cargo.toml; do
        cargo fmt --check --manifest-path "$manifest"
    done
}

# built_alone NAME FLAG...: compiles tests/NAME.rs, which needs std only, by rustc directly. The
# answer comes within seconds, also while the library does not compile. Sets `program`.
built_alone() {
    local name=$1
    shift
    program=$(target_folder "$name")/$name
    CARGO_MANIFEST_DIR=$PWD "${RUSTC:-rustc}" --edition 2024 "$@" --test "tests/$name.rs" \
        -o "$program"
}

check_layering() {
    built_alone layering
    "$program"
}

check_explorer() {
    local arguments=() all
    built_alone explorer -O
    if [ -n "${EXPLORER_VERBOSE:-}" ]; then
        arguments+=(--nocapture --test-threads=1)
    fi
    if [ $# -ne 0 ]; then
        # The test harness succeeds if a filter matches no test. This check must not.
        all=$("$program" --list)
        grep -qx "$1: test" <<<"$all" ||
            fail "no program \"$1\". The programs are:"$'\n'"$(sed -n 's/: test$//p' <<<"$all")"
        arguments+=(--exact "$1")
    fi
    "$program" ${arguments[@]+"${arguments[@]}"}
}

# `incompatible_msrv`, on by default, also finds items of std that are younger than `rust-version`.
# `-D warnings` stands after `--`, so that it reaches this crate only. In RUSTFLAGS it would become
# part of each dependency's fingerprint, and cargo would build all of them again.
check_clippy() {
    cargo clippy --all-targets --all-features -- -D warnings
}

# As `cargo hack --feature-powerset` does. cargo-hack takes minutes to install, and the loop below
# is no longer while the crate has few features. The names come from `cargo metadata`, which knows
# optional dependencies too. The package's features are the only object of this name in its output,
# and hold no braces, so that grep can read them. `default` is a name for one of the subsets.
# `--lib` keeps the dev-dependencies, which turn on all features of tokio, out of the build.
check_features() {
    local metadata object name names=() subset bit chosen
    metadata=$(cargo metadata --no-deps --format-version 1)
    object=$(grep -o '"features":{[^}]*}' <<<"$metadata") ||
        fail "cargo metadata names no features object"
    [ "$(wc -l <<<"$object")" -eq 1 ] || fail "more than one package here; this check knows one"
    while IFS= read -r name; do
        [ "$name" = default ] || names+=("$name")
    done < <(grep -o '"[^"]*":\[' <<<"$object" | sed 's/^"//; s/":\[$//')

    for ((subset = 0; subset < 1 << ${#names[@]}; subset++)); do
        chosen=
        for ((bit = 0; bit < ${#names[@]}; bit++)); do
            if ((subset >> bit & 1)); then
                chosen+=${chosen:+,}${names[bit]}
            fi
        done
        echo "features: [$chosen]"
        cargo clippy --lib --no-default-features --features "$chosen" -- -D warnings
    done

    # The only test that needs a feature which is off by default.
    cargo test --features metrics --test metrics
}

check_doc() {
    RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --no-deps --all-features
}

# The tests use the barrier that the system offers: membarrier on Linux, FlushProcessWriteBuffers on
# Windows, fences elsewhere.
check_test() {
    cargo test
}

# Fences are used if the system refuses membarrier (seccomp, old kernels), and on systems without a
# process-wide barrier. The library reads the variable when it first needs a barrier, so that
# nothing is built again after the check `test`.
check_fence() {
    ASYNC_RCU_BARRIER=fence cargo test --lib --tests
}

# The library only: tests, examples and their dependencies may need a newer compiler.
check_msrv() {
    local version
    version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    [ -n "$version" ] || fail "no rust-version in Cargo.toml"
    rustup toolchain install "$version" --profile minimal --no-self-update
    CARGO_TARGET_DIR=$(target_folder msrv)
    export CARGO_TARGET_DIR
    cargo "+$version" check --lib
    cargo "+$version" check --lib --no-default-features
}

# A bound in Cargo.toml that is too low compiles with today's lock file, and not with a user's older
# one. Only direct dependencies are set to their oldest versions. The check works on a copy, which
# gets a lock file of its own. RUSTC_BOOTSTRAP lets the stable cargo take the unstable option.
check_minimal_versions() {
    local features
    slow_tests
    own_target minimal
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R Cargo.toml README.md src tests examples benches "$copy"
    cd "$copy"
    rm -rf benches/*/target examples/*/target

    RUSTC_BOOTSTRAP=1 cargo update -q -Z direct-minimal-versions
    cargo tree --depth 1 --edges normal --all-features
    for features in --no-default-features '' --all-features; do
        echo "minimal_versions: check --lib $features"
        # shellcheck disable=SC2086 # none or one
        cargo check --lib $features
    done
    tested cargo test --lib --all-features
}

if ! declare -F "check_${1:-}" >/dev/null; then
    echo "usage: bash ci/check.sh NAME [ARGUMENT...]; the names are:" \
        "$(declare -F | sed -n 's/^declare -f check_//p' | tr '\n' ' ')" >&2
    exit 2
fi
tool=$1
"check_$1" "${@:2}"
