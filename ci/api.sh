#!/usr/bin/env bash
# The public API: its listing has not changed unnoticed, and every public item has an example.
# Usage: bash ci/api.sh            compares the listing with ci/api.txt
#        bash ci/api.sh --record   writes ci/api.txt again, after an intended change
#
# The listing has names and signatures as rustdoc sees them with all features, on Linux. It comes
# from rustdoc's JSON, which is not stable: RUSTC_BOOTSTRAP=1 lets the stable compiler write it. If
# the compiler writes a format that the reader (ci/api/src) does not know, the check says so and
# succeeds. Needs cargo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

target=$(target_folder api)
RUSTC_BOOTSTRAP=1 cargo rustdoc --quiet --lib --all-features --target-dir "$target" -- \
    -Zunstable-options --output-format json
json=$target/doc/async_rcu.json
cargo build --quiet --locked --manifest-path ci/api/Cargo.toml --target-dir "$target"
reader=$target/debug/api-listing

status=0
"$reader" format "$json" || status=$?
if [ "$status" -eq 3 ]; then
    echo "api: NOT CHECKED: $(rustc --version) writes JSON in a format that FORMATS in" \
        "ci/api/src/main.rs does not have" >&2
    exit 0
fi
[ "$status" -eq 0 ] || exit "$status"

"$reader" examples "$json"
if [ "${1:-}" = --record ]; then
    "$reader" list "$json" >ci/api.txt
    echo "api: recorded $(wc -l <ci/api.txt) lines"
    exit 0
fi
"$reader" list "$json" | diff --unified=0 ci/api.txt - ||
    fail "the public API differs from ci/api.txt. If this is intended: bash ci/api.sh --record"
echo "api: as recorded, $(wc -l <ci/api.txt) lines"
