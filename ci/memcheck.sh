#!/usr/bin/env bash
# valgrind's memcheck: the unit tests, without any instrumentation of the compiler's. Finds what was used after it was freed,
# before it was written, and what is definitely lost at the end.
# Alone: bash ci/memcheck.sh [TEST FILTER]
# Needs valgrind (installed with apt-get where that can be). Some ten minutes.
#
# What is lost on purpose is named in ci/memcheck.supp. proptest's many cases are left to the sanitizers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tools.sh

need valgrind valgrind

host=$(rustc -vV | sed -n 's/^host: //p')
runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER
declare -x "$runner=valgrind -q --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite \
--error-exitcode=9 --num-callers=30 --fair-sched=yes --suppressions=$PWD/ci/memcheck.supp"
# It runs one thread at a time: more tests at once would only wait for each other.
REPORT='^==[0-9]+== (Invalid|Conditional jump|Use of uninit|Syscall param|[0-9,]+ .*bytes in .* lost)' \
    tested cargo test --lib -- --test-threads=1 "$@"
