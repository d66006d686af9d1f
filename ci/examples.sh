#!/usr/bin/env bash
# Examples as smoke tests: each ends by itself, in time, with success.
# Alone: bash ci/examples.sh
#
# The first ones are left built by ci/test.sh. Those that check what they do fail where it is wrong: iohandlers, ram_list and
# registry by their counts; backpressure where a callback is lost; streaming where a client gets what it should not, or
# memory grows though those who hold it let go when asked. rcutorture checks its readers while it runs (its must-be-zero
# error count is its exit status); it needs the release profile to be worth its seconds, and runs in both barrier modes.
# TORTURE_SECONDS lengthens it: TORTURE_SECONDS=600 bash ci/examples.sh. ci/rcutorture.sh does more of it.
#
# Under a checker that makes everything slow (ci/asan.sh): EXAMPLES_PROFILE names another profile than release, and
# ASYNC_RCU_TEST_PATIENCE so many times the limits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

seconds=${TORTURE_SECONDS:-5}
profile=${EXAMPLES_PROFILE:-release}

# Built first: compiling must not count against the limits.
for example in quickstart global_lock iohandlers backpressure streaming; do
    cargo build --example "$example"
    within 60 cargo run --quiet --example "$example"
done

cargo build --profile "$profile" --example rcutorture --example ram_list --example registry
within 60 cargo run --quiet --profile "$profile" --example ram_list
within 60 cargo run --quiet --profile "$profile" --example registry

for barrier in auto fence; do
    within $((seconds + 60)) cargo run --quiet --profile "$profile" --example rcutorture -- \
        3 stress "$seconds" --barrier "$barrier" --every 0
done

bash ci/route_server_smoke.sh
