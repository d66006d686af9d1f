#!/usr/bin/env bash
# The examples as smoke tests: each ends by itself, in time, with success.
# Usage: bash ci/examples.sh small|programs
#
# small     the small examples, rcutorture and route_server. They check themselves: iohandlers,
#           ram_list and registry by their counts; backpressure fails if a callback is lost;
#           streaming fails if a client receives a wrong message, or if memory grows although the
#           holders leave when they are asked to; rcutorture fails if a reader sees an error (five
#           seconds in each barrier mode; ci/torture.sh does more); route_server is asked with curl
#           (ci/route_server.sh). EXAMPLES_PROFILE names a cargo profile other than release, for a
#           checker that makes everything slow.
# programs  the larger examples, with little to do. Some also run with a planted fault, which they
#           must notice. anywhere fails if two executors give different results, or if a thread of
#           an idle domain wakes up (Linux); broadcast fails if a client misses a message, or if
#           memory grows although the holders leave when they are asked to; upstream_pool fails if
#           a request fails while backends come and go, or if a backend is closed with a request
#           in it.
#
# Needs cargo, and curl for route_server. Uses no network but the loopback.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

# Each example is built before it runs, so that compiling does not count against its limit.
small() {
    local profile=${EXAMPLES_PROFILE:-release} example barrier
    for example in quickstart global_lock iohandlers backpressure streaming; do
        cargo build --example "$example"
        within 60 cargo run --quiet --example "$example"
    done

    cargo build --profile "$profile" --example rcutorture --example ram_list --example registry
    within 60 cargo run --quiet --profile "$profile" --example ram_list
    within 60 cargo run --quiet --profile "$profile" --example registry

    for barrier in auto fence; do
        within 65 cargo run --quiet --profile "$profile" --example rcutorture -- \
            3 stress 5 --barrier "$barrier" --every 0
    done

    bash ci/route_server.sh curl
}

programs() {
    local run=(cargo run --quiet --release --example)
    cargo build --release --example anywhere --example upstream_pool --example broadcast

    within 60 "${run[@]}" anywhere
    refuses 1 60 "${run[@]}" anywhere -- --fault differ
    if [ "$(uname)" = Linux ]; then
        refuses 1 60 "${run[@]}" anywhere -- --fault busy
    fi

    within 120 "${run[@]}" upstream_pool -- --store all --seconds 2 --changes 1000 --clients 16
    refuses 1 60 "${run[@]}" upstream_pool -- \
        --fault early-close --seconds 2 --changes 400 --clients 16

    within 120 "${run[@]}" broadcast -- --connections 400 --seconds 2
}

case ${1:-} in
small | programs) "$1" ;;
*)
    echo "usage: bash ci/examples.sh small|programs" >&2
    exit 2
    ;;
esac
