# What the slow checks share. To be sourced by them: does nothing by itself.
# shellcheck shell=bash

# Tests are slower under a checker or an emulator: what they take for lost is waited for so many times as long. Read when the
# tests are built (tests/common/patience.rs).
export ASYNC_RCU_TEST_PATIENCE=${ASYNC_RCU_TEST_PATIENCE:-20}
export CARGO_INCREMENTAL=0
# Some tests panic many thousand times, and what is printed of the stack takes most of the time under a checker.
export RUST_BACKTRACE=0

tool=$(basename "$0" .sh)

fail() {
    echo "$tool: $*" >&2
    exit 1
}

is_there() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# need WHAT PACKAGE...: WHAT is a command, or the path of a file. Where it is missing, the Debian packages that bring it are
# installed; where that cannot be, they are named.
need() {
    local what=$1
    shift
    is_there "$what" && return
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "$tool: installing $*"
        apt-get -q -o DPkg::Lock::Timeout=600 update >&2 || true
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "$@" >&2 || true
    fi
    is_there "$what" || fail "$what is missing; as root on Debian: apt-get install --no-install-recommends $*"
}

# need_nightly COMPONENT...: a nightly toolchain with these components. One that is there is taken as it is, so that no
# network is needed twice.
need_nightly() {
    local component installed
    command -v rustup >/dev/null || fail "rustup is missing: https://rustup.rs"
    installed=$(rustup component list --toolchain nightly --installed 2>/dev/null || true)
    for component in rustc "$@"; do
        if ! grep -q "^$component\(-\|\$\)" <<<"$installed"; then
            rustup toolchain install nightly --profile minimal --component "$(IFS=, && echo "$*")" --no-self-update
            return
        fi
    done
}

# own_target NAME: what is built goes into a folder of its own, beside that of the usual builds, and takes less room.
own_target() {
    mkdir -p "${CARGO_TARGET_DIR:-target}/$1"
    CARGO_TARGET_DIR=$(cd "${CARGO_TARGET_DIR:-target}/$1" && pwd)
    export CARGO_TARGET_DIR
    export CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-line-tables-only}
}

# tests_but NAME...: `--lib`, and `--test` for every integration test but these. With ONLY='NAME...' in the
# environment, those alone (`lib` is one).
tests_but() {
    local file name
    if [ -n "${ONLY:-}" ]; then
        for name in $ONLY; do
            if [ "$name" = lib ]; then
                echo --lib
            else
                echo "--test=$name"
            fi
        done
        return
    fi
    echo --lib
    for file in tests/*.rs; do
        name=$(basename "$file" .rs)
        case " $* " in
        *" $name "*) ;;
        *) echo "--test=$name" ;;
        esac
    done
}

# tested COMMAND...: runs it, a `cargo test`, and prints a table of what came out. Fails where it does, or where nothing ran.
# With REPORT, lines that match it are counted for each program too.
tested() {
    local log status=0
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || status=$?
    printf '\n%s\n' "$tool: $*"
    awk -v pattern="${REPORT:-}" '
        function row() {
            if (name == "") return
            if (!ended) note = "DIED"
            else if (failed > 0 || bad) note = "FAILED"
            else note = ""
            printf "%-30s %7s %7s %8s %8d %8s  %s\n", name, passed, failed, ignored, reports, seconds, note
        }
        BEGIN {
            printf "%-30s %7s %7s %8s %8s %8s\n", "", "passed", "failed", "left out", "reports", "seconds"
        }
        /^ +Running / {
            row()
            name = $2 == "unittests" ? $3 : $2
            passed = failed = ignored = seconds = "-"
            ended = bad = reports = 0
        }
        /^test result: / {
            all += $4
            passed = $4
            failed = $6
            ignored = $8 + $12
            seconds = $NF
            sub(/s$/, "", seconds)
            ended = 1
        }
        /^error: test failed, to rerun/ { bad = 1 }
        pattern != "" && $0 ~ pattern { reports++; found++ }
        END {
            row()
            printf "%-30s %7d %7s %8s %8d\n", "all", all, "", "", found
            exit !all
        }' "$log" || status=1
    rm -f "$log"
    return "$status"
}
