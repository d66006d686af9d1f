#!/usr/bin/env bash
# Other targets: their tests, if they can run here, and `cargo check` if not.
# Usage: [ONLY='TEST...'] bash ci/targets.sh [PART...]   all parts without arguments
#
#   aarch64, i686  Linux, under qemu's user mode: the code compiles, links and behaves there. On an
#                  x86 machine qemu keeps x86's memory order, so this does not show that the fences
#                  of the Arm build are enough. loom's models do
#   windows        x86_64, under wine: FlushProcessWriteBuffers and WaitOnAddress. In wine 8 the
#                  former does nothing, so that a reader's store may come late and the torture test
#                  fail. ci/wine_barrier.c puts membarrier in its place
#   portable       this machine, with the parts for systems other than Linux and Windows: fences,
#                  and a condition variable to sleep on
#   check          targets whose tests cannot run here; and what the library does where it has no
#                  64-bit atomics or no threads
#
# A part takes a quarter of an hour. Installs what is missing: nightly with rust-src through rustup,
# which builds std for each target; cross compilers, qemu, wine and node with apt-get.
#
# Left out everywhere: compile_fail, layering, docs and explorer, which test the compiler, the
# sources and a model; and refused_barrier, because qemu and wine have no seccomp, and because
# `portable` has no barrier that could be refused. Left out under qemu: fork, because
# qemu 7.2 itself fails if a forked child starts a thread. Windows has no fork and no /proc, so that
# fork and idle are empty.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

# An emulator runs one thread at a time: more tests at once would only wait for each other.
threads=${TEST_THREADS:-2}

build_std() {
    need_nightly rust-src
    export RUSTUP_TOOLCHAIN=nightly
    export CARGO_UNSTABLE_BUILD_STD=std,panic_abort
    own_target targets
}

elsewhere=(compile_fail layering docs explorer refused_barrier)

# under TARGET RUNNER [TEST...]: the tests of a target, except the named ones.
under() {
    local target=$1 runner=$2 variable tests
    shift 2
    variable=$(tr 'a-z-' 'A-Z_' <<<"$target")
    declare -x "CARGO_TARGET_${variable}_RUNNER=$runner"
    mapfile -t tests < <(tests_but "${elsewhere[@]}" "$@")
    tested cargo test --target "$target" "${tests[@]}" --no-fail-fast -- --test-threads="$threads"
}

linux() {
    local arch=$1 debian=$2 libc=$3
    local qemu=qemu-$arch root=/usr/$debian
    if [ "$arch" = i686 ]; then
        qemu=qemu-i386
    fi
    build_std
    need "$qemu" qemu-user
    need "$debian-gcc" "gcc-$debian"
    need "$root/lib/libc.so.6" "$libc"
    declare -x "CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$arch-unknown-linux-gnu")_LINKER=$debian-gcc"
    # Some tests start themselves as another process, by this command.
    export ASYNC_RCU_TEST_RUNNER="$qemu -L $root"
    under "$arch-unknown-linux-gnu" "$qemu -L $root" fork
}

aarch64() { linux aarch64 aarch64-linux-gnu libc6-dev-arm64-cross; }
i686() { linux i686 i686-linux-gnu libc6-dev-i386-cross; }

windows() {
    local status=0 made
    build_std
    made=$CARGO_TARGET_DIR/wine
    need wine wine wine64
    need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64
    mkdir -p "$made"
    # std takes its random numbers from a library that wine has since version 9 only.
    cat >"$made/bcryptprimitives.c" <<'END'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom */
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
    for (SIZE_T done = 0; done < length; done += 4096) {
        SIZE_T left = length - done;
        if (!SystemFunction036(data + done, (ULONG)(left < 4096 ? left : 4096)))
            return FALSE;
    }
    return TRUE;
}
END
    x86_64-w64-mingw32-gcc -O1 -shared -o "$made/bcryptprimitives.dll" \
        "$made/bcryptprimitives.c" -ladvapi32
    cc -O1 -Wall -Wextra -shared -fPIC -o "$made/wine_barrier.so" ci/wine_barrier.c -ldl
    export WINEPATH=$made WINEPREFIX=$made/prefix WINEDEBUG=-all DISPLAY=
    export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
    wineboot --init >"$made/boot.log" 2>&1 || true
    under x86_64-pc-windows-gnu "env LD_PRELOAD=$made/wine_barrier.so wine" || status=1
    wineserver -k || true
    return "$status"
}

portable() {
    local tests folder
    folder=$(mktemp -d)
    # Only this crate has the cfg: the dependencies are those of the usual builds.
    printf '#!/bin/sh\nexec "$@" --cfg rcu_portable\n' >"$folder/rustc"
    chmod +x "$folder/rustc"
    mapfile -t tests < <(tests_but "${elsewhere[@]}")
    RUSTC_WORKSPACE_WRAPPER=$folder/rustc tested cargo test "${tests[@]}" --no-fail-fast
}

# Run by node: on a target without threads `Builder::build` returns an error, and does not panic.
without_threads() {
    local folder=$CARGO_TARGET_DIR/wasm
    need node nodejs
    mkdir -p "$folder/src"
    cp Cargo.lock "$folder/Cargo.lock"
    cat >"$folder/Cargo.toml" <<END
[package]
name = "without_threads"
version = "0.0.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[dependencies]
async-rcu = { path = "$PWD" }

[workspace]
END
    cat >"$folder/src/lib.rs" <<'END'
#[unsafe(no_mangle)]
pub extern "C" fn is_refused() -> bool {
    let threads = async_rcu::Rcu::builder().build();
    let unsupported = std::io::ErrorKind::Unsupported;
    matches!(threads, Err(async_rcu::BuildError::Thread(error)) if error.kind() == unsupported)
}
END
    cat >"$folder/run.mjs" <<'END'
import { readFileSync } from "node:fs";
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), {});
process.exit(instance.exports.is_refused() ? 0 : 1);
END
    cargo build --manifest-path "$folder/Cargo.toml" --target wasm32-unknown-unknown &&
        node "$folder/run.mjs" "$CARGO_TARGET_DIR/wasm32-unknown-unknown/debug/without_threads.wasm"
}

# row TARGET WORDS...: adds a line to the table of `check`.
row() {
    table+="$1: ${*:2}"$'\n'
}

check() {
    local target status=0 table='' out
    build_std
    for target in x86_64-apple-darwin aarch64-apple-darwin x86_64-unknown-freebsd \
        aarch64-linux-android x86_64-pc-windows-msvc wasm32-unknown-unknown wasm32-wasip1; do
        echo "targets: check $target"
        if cargo check --lib --all-features --target "$target" &&
            cargo check --lib --no-default-features --target "$target"; then
            row "$target" compiles
        else
            row "$target" FAILED
            status=1
        fi
        rm -rf "${CARGO_TARGET_DIR:?}/$target"
    done
    for target in powerpc-unknown-linux-gnu armv5te-unknown-linux-gnueabi; do
        echo "targets: check $target"
        out=$(cargo check --lib --target "$target" --color never 2>&1) && out=compiles
        if grep -q '^error: async-rcu needs 64-bit atomics' <<<"$out"; then
            row "$target" says that it needs 64-bit atomics
        else
            printf '%s\n' "$out" >&2
            row "$target" FAILED, does not say that it needs 64-bit atomics
            status=1
        fi
        rm -rf "${CARGO_TARGET_DIR:?}/$target"
    done
    if without_threads; then
        row wasm32-unknown-unknown build returns BuildError
    else
        row wasm32-unknown-unknown FAILED, build does not return BuildError
        status=1
    fi
    printf '\n%s\n' "$table"
    return "$status"
}

[ $# -gt 0 ] || set -- portable aarch64 i686 windows check
for part in "$@"; do
    case $part in
    aarch64 | i686 | windows | portable | check) ;;
    *) fail "no part is called $part. The parts are aarch64, i686, windows, portable, check" ;;
    esac
done
slow_tests
if [ $# -eq 1 ]; then
    "$1"
    exit
fi
status=0
for part in "$@"; do
    bash ci/targets.sh "$part" || status=1
done
exit "$status"
