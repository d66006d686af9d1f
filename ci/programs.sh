#!/usr/bin/env bash
# The larger examples, small: each ends by itself, in time, with success, and fails where it is made to do something wrong.
# Alone: bash ci/programs.sh. Needs cargo; the loopback is all the network.
#
# anywhere fails where one executor gives other results than another, or where a thread of an idle domain wakes up (Linux).
# broadcast fails where a client missed a message, or memory grew though those who held it let go when asked.
# upstream_pool fails where a request failed while backends came and went, or a backend was closed with a request at it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

# Built first: compiling must not count against the limits.
cargo build --release --example anywhere --example upstream_pool --example broadcast
run=(cargo run --quiet --release --example)

within 60 "${run[@]}" anywhere
refuses 1 60 "${run[@]}" anywhere -- --fault differ
if [ "$(uname)" = Linux ]; then
    refuses 1 60 "${run[@]}" anywhere -- --fault busy
fi

within 120 "${run[@]}" upstream_pool -- --store all --seconds 2 --changes 1000 --clients 16
refuses 1 60 "${run[@]}" upstream_pool -- --fault early-close --seconds 2 --changes 400 --clients 16

within 120 "${run[@]}" broadcast -- --connections 400 --seconds 2
