#!/usr/bin/env bash
# The public API: what it is, that it has not changed unnoticed, and that an example stands at every item.
# Alone: bash ci/api.sh            compares with ci/api.txt
#        bash ci/api.sh --record   writes that anew, for a change that is meant
#
# Names and signatures as rustdoc sees them with all features, on Linux. rustdoc's JSON, which this reads, is not stable:
# RUSTC_BOOTSTRAP=1 has the stable compiler write it, and with one that writes another format than the reader knows (ci/api/src)
# the check says so and lets it pass. No other toolchain is needed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}/api
RUSTC_BOOTSTRAP=1 cargo rustdoc --quiet --lib --all-features --target-dir "$target" -- -Zunstable-options --output-format json
json=$target/doc/async_rcu.json
cargo build --quiet --locked --manifest-path ci/api/Cargo.toml --target-dir "$target"
reader=$target/debug/api-listing

status=0
"$reader" format "$json" || status=$?
if [ "$status" -eq 3 ]; then
    echo "api: NOT CHECKED: $(rustc --version) writes a JSON that is not known here; see FORMATS in ci/api/src/main.rs" >&2
    exit 0
fi
[ "$status" -eq 0 ] || exit "$status"

"$reader" examples "$json"
if [ "${1:-}" = --record ]; then
    "$reader" list "$json" >ci/api.txt
    echo "api: recorded $(wc -l <ci/api.txt) lines"
    exit 0
fi
"$reader" list "$json" | diff --unified=0 ci/api.txt - || {
    echo "api: the public API is not what ci/api.txt says. Where that is meant: bash ci/api.sh --record" >&2
    exit 1
}
echo "api: as recorded, $(wc -l <ci/api.txt) lines"
