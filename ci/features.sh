#!/usr/bin/env bash
# Features: the library alone, without tests, compiles free of warnings in every subset of its features.
# Alone: bash ci/features.sh
#
# This is what `cargo hack --feature-powerset check --lib` does. cargo-hack takes minutes to install and is no
# shorter than the loop below while there are few features: 2^n runs, each of this one crate only.
# The list comes from `cargo metadata`, which knows the implicit features of optional dependencies too. In its output the
# package's features are the only object of that name (a dependency's are an array), and hold no braces, so that
# grep can read it where neither jq nor python is installed. `default` is a name for one of the subsets.
# Clippy stands for `check`: it takes `-D warnings` for this crate alone, and reuses the dependencies of ci/clippy.sh.
# `--lib` keeps the dev-dependencies, which turn on every feature of tokio, out of the build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

metadata=$(cargo metadata --no-deps --format-version 1)
object=$(grep -o '"features":{[^}]*}' <<<"$metadata") || {
    echo "features: cargo metadata names no features object" >&2
    exit 1
}
if [ "$(wc -l <<<"$object")" -ne 1 ]; then
    echo "features: more than one package here; this script knows one" >&2
    exit 1
fi
features=()
while IFS= read -r name; do
    [ "$name" = default ] || features+=("$name")
done < <(grep -o '"[^"]*":\[' <<<"$object" | sed 's/^"//; s/":\[$//')

for ((subset = 0; subset < 1 << ${#features[@]}; subset++)); do
    chosen=
    for ((bit = 0; bit < ${#features[@]}; bit++)); do
        if ((subset >> bit & 1)); then
            chosen+=${chosen:+,}${features[bit]}
        fi
    done
    echo "features: [$chosen]"
    cargo clippy --lib --no-default-features --features "$chosen" -- -D warnings
done

# The one test that needs a feature which is not on by default.
cargo test --features metrics --test metrics
