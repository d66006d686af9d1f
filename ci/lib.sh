# shellcheck shell=bash
# Functions that the scripts of ci/ share. A script sources this file after it has changed into the
# root of the repository. Sourcing it runs nothing.

tool=$(basename "$0" .sh)

# fail WORDS...: prints the words and ends the script with status 1.
fail() {
    echo "$tool: $*" >&2
    exit 1
}

# is_there WHAT: succeeds if WHAT exists. WHAT is a command or an absolute path (a glob is allowed).
is_there() {
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# need WHAT PACKAGE...: makes sure that WHAT exists. If WHAT is missing, root on a Debian system
# installs the packages; anyone else is told their names, and the script ends with status 1.
need() {
    local what=$1
    shift
    is_there "$what" && return
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "$tool: installing $*"
        apt-get -q -o DPkg::Lock::Timeout=600 update >&2 || true
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
            install --no-install-recommends "$@" >&2 || true
    fi
    is_there "$what" || fail "$what is missing. Install it;" \
        "on Debian, as root: apt-get install --no-install-recommends $*"
}

# need_cargo PROGRAM: makes sure that the cargo subcommand PROGRAM (cargo-fuzz, ...) is installed.
need_cargo() {
    command -v "$1" >/dev/null || cargo install --locked "$1"
}

# need_nightly COMPONENT...: makes sure that a nightly toolchain with these components is installed.
# If there is one, it is not updated, so that the network is used once only.
need_nightly() {
    local component installed
    command -v rustup >/dev/null || fail "rustup is missing. Install it from https://rustup.rs"
    rustup toolchain list | grep -q '^nightly-' ||
        rustup toolchain install nightly --profile minimal --no-self-update
    installed=$(rustup component list --toolchain nightly --installed)
    for component in "$@"; do
        grep -q "^$component\(-\|\$\)" <<<"$installed" ||
            rustup component add "$component" --toolchain nightly ||
            fail "this nightly has no $component. Update it:" \
                "rustup toolchain install nightly --component $component"
    done
}

# host: prints the target triple of this machine.
host() {
    rustc -vV | sed -n 's/^host: //p'
}

# executable NAME: reads cargo's JSON messages from stdin and prints the path of the program NAME.
executable() {
    sed -n 's/.*"name":"'"$1"'".*"executable":"\([^"]*\)".*/\1/p'
}

# target_folder [NAME]: creates cargo's target directory, or a folder in it, and prints its absolute
# path.
target_folder() {
    mkdir -p "${CARGO_TARGET_DIR:-target}/${1:-}"
    (cd "${CARGO_TARGET_DIR:-target}/${1:-}" && pwd)
}

# own_target NAME: from now on cargo builds into the folder NAME of its target directory, so that
# other flags do not replace the usual builds. The builds have little debug information, to save
# room.
own_target() {
    CARGO_TARGET_DIR=$(target_folder "$1")
    export CARGO_TARGET_DIR
    export CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-line-tables-only}
}

# slow_tests: prepares for a checker or an emulator, under which the tests are many times slower.
slow_tests() {
    # The tests multiply the time after which they report a hang by this number. The compiler puts
    # it into the tests (tests/common/patience.rs).
    export ASYNC_RCU_TEST_PATIENCE=${ASYNC_RCU_TEST_PATIENCE:-20}
    export CARGO_INCREMENTAL=0
    # Some tests panic many thousand times. Under a checker, printing the backtraces takes longer
    # than all else.
    export RUST_BACKTRACE=0
}

# tests_but NAME...: prints `--lib`, and `--test=...` for every integration test except the named
# ones. If ONLY='NAME...' is set, prints these tests only (`lib` stands for the unit tests).
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

# tested COMMAND...: runs the command, a `cargo test`, and prints a table of its results. Fails if
# the command fails, or if no test ran. If REPORT is set, the table also counts, for each test
# program, the lines that match this pattern.
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
            printf "%-30s %7s %7s %8s %8d %8s  %s\n", name, passed, failed, ignored, reports, \
                seconds, note
        }
        BEGIN {
            printf "%-30s %7s %7s %8s %8s %8s\n", "", "passed", "failed", "left out", "reports", \
                "seconds"
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

# within SECONDS COMMAND...: runs the command, and ends it with an error if it runs for longer.
within() {
    local limit=$(($1 * ${ASYNC_RCU_TEST_PATIENCE:-1})) status=0
    shift
    echo "$tool: $*"
    if ! command -v timeout >/dev/null; then
        "$@"
        return
    fi
    timeout --kill-after=10 "$limit" "$@" || status=$?
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        echo "$tool: has not ended after $limit s: $*" >&2
    fi
    return "$status"
}

# refuses STATUS SECONDS COMMAND...: fails unless the command ends in time with this exit status.
refuses() {
    local expected=$1 status=0
    shift
    within "$@" || status=$?
    if [ "$status" -ne "$expected" ]; then
        echo "$tool: exit status $status instead of $expected: ${*:2}" >&2
        return 1
    fi
}
