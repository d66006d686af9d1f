# shellcheck shell=bash
# What scripts of ci/ share; sourced, not run.

# within SECONDS COMMAND...: a hang is a failure here, not a job that the CI service kills an hour later.
within() {
    local limit=$(($1 * ${ASYNC_RCU_TEST_PATIENCE:-1})) status=0 name
    name=$(basename "$0" .sh)
    shift
    echo "$name: $*"
    if ! command -v timeout >/dev/null; then
        "$@"
        return
    fi
    timeout --kill-after=10 "$limit" "$@" || status=$?
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        echo "$name: not done after $limit s: $*" >&2
    fi
    return "$status"
}

# refuses STATUS SECONDS COMMAND...: the command ends in time, with this exit status.
refuses() {
    local expected=$1 status=0
    shift
    within "$@" || status=$?
    if [ "$status" -ne "$expected" ]; then
        echo "$(basename "$0" .sh): exit status $status instead of $expected: ${*:2}" >&2
        return 1
    fi
}
