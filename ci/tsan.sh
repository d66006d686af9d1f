#!/usr/bin/env bash
# ThreadSanitizer: unit and integration tests, std included, built to notice two accesses to the same memory that nothing orders.
# Alone: [ONLY='TEST...'] bash ci/tsan.sh [ARGUMENT OF cargo test]...
# Needs nightly with rust-src (installed through rustup). x86_64 or aarch64 Linux; some fifteen minutes.
#
# In fence mode: a process-wide barrier is nothing that it could see. It does not know fences either: what only a fence orders
# it reports. What it reports and is right all the same has its line, with the pairing that makes it so, in ci/tsan.supp. So it
# checks the acquire and release part of the protocols; loom's models check the fences.
#
# Left out:
# - fork: the sanitizer has threads and locks of its own, which do not survive a fork.
# - refused_barrier: it filters system calls, the sanitizer's too.
# - compile_fail, layering, docs, explorer: nothing of the library runs there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tools.sh

need_nightly rust-src

export RUSTUP_TOOLCHAIN=nightly
CARGO_BUILD_TARGET=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_BUILD_TARGET
own_target tsan
export CARGO_UNSTABLE_BUILD_STD=std
export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=thread"
export ASYNC_RCU_BARRIER=fence
export TSAN_OPTIONS="suppressions=$PWD/ci/tsan.supp${TSAN_OPTIONS:+:$TSAN_OPTIONS}"

mapfile -t tests < <(tests_but fork refused_barrier compile_fail layering docs explorer)
REPORT='WARNING: ThreadSanitizer|ERROR: ThreadSanitizer' tested cargo test --all-features "${tests[@]}" --no-fail-fast "$@"
