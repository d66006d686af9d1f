#!/usr/bin/env bash
# Other targets: the tests where they can be run, `cargo check` where not.
# Alone: [ONLY='TEST...'] bash ci/targets.sh [aarch64|i686|windows|portable|check]...     all of them without arguments; a quarter of an hour each
#
# - aarch64, i686: Linux, under qemu's user mode. What that shows: the code compiles, links and behaves there. On an x86 machine it
#   keeps x86's memory order, so it does not show that the fences of the Arm build are enough: loom's models do.
# - windows: x86_64, under wine: FlushProcessWriteBuffers, WaitOnAddress. In wine 8 the former does nothing, so that a reader's store
#   may come late and the torture test fail: ci/wine_barrier.c puts membarrier in its place.
# - portable: this machine with what systems get that are neither Linux nor Windows: fences, and a condition variable to sleep on.
# - check: targets for which there is nothing to run here.
#
# Needs nightly with rust-src (installed through rustup), which builds std for each of them; for the others a cross compiler and
# the emulator (installed with apt-get where that can be).
#
# Left out, everywhere: compile_fail, layering, docs and explorer, which test the compiler, the sources and a model, and
# refused_barrier: there is no seccomp under qemu and wine, and with `portable` nothing that it could refuse. Under qemu fork
# too: qemu 7.2 itself fails when the child of a fork starts a thread. On windows there is no fork and no /proc, so
# that fork and idle are empty.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tools.sh

# Emulated, one thread after another gets on: more tests at once would only wait for each other.
threads=${TEST_THREADS:-2}

build_std() {
    need_nightly rust-src
    export RUSTUP_TOOLCHAIN=nightly
    export CARGO_UNSTABLE_BUILD_STD=std,panic_abort
    own_target targets
}

elsewhere=(compile_fail layering docs explorer refused_barrier)

# under TARGET RUNNER [TEST]...: the tests of one target, but these.
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
    # Tests that start themselves as another process need to know how.
    ASYNC_RCU_TEST_RUNNER="$qemu -L $root" under "$arch-unknown-linux-gnu" "$qemu -L $root" fork
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
    # std takes its random numbers from a library that wine has had only since version 9.
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
    x86_64-w64-mingw32-gcc -O1 -shared -o "$made/bcryptprimitives.dll" "$made/bcryptprimitives.c" -ladvapi32
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
    # Given to this crate only: the dependencies are those of the usual builds.
    printf '#!/bin/sh\nexec "$@" --cfg rcu_portable\n' >"$folder/rustc"
    chmod +x "$folder/rustc"
    mapfile -t tests < <(tests_but "${elsewhere[@]}")
    RUSTC_WORKSPACE_WRAPPER=$folder/rustc tested cargo test "${tests[@]}" --no-fail-fast
}

# Run by node: where there are no threads, `Builder::build` says so, and does not panic.
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
    matches!(threads, Err(async_rcu::BuildError::Thread(error)) if error.kind() == std::io::ErrorKind::Unsupported)
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

# What compiles, and what says why it does not.
check() {
    local target status=0 table='' out
    build_std
    for target in x86_64-apple-darwin aarch64-apple-darwin x86_64-unknown-freebsd aarch64-linux-android \
        x86_64-pc-windows-msvc wasm32-unknown-unknown wasm32-wasip1; do
        echo "targets: check $target"
        if cargo check --lib --all-features --target "$target" && cargo check --lib --no-default-features --target "$target"; then
            table+="$target: compiles"$'\n'
        else
            table+="$target: FAILED"$'\n'
            status=1
        fi
        rm -rf "${CARGO_TARGET_DIR:?}/$target"
    done
    for target in powerpc-unknown-linux-gnu armv5te-unknown-linux-gnueabi; do
        echo "targets: check $target"
        out=$(cargo check --lib --target "$target" --color never 2>&1) && out=compiles
        if grep -q '^error: async-rcu needs 64-bit atomics' <<<"$out"; then
            table+="$target: says that it needs 64-bit atomics"$'\n'
        else
            printf '%s\n' "$out" >&2
            table+="$target: FAILED, does not say that it needs 64-bit atomics"$'\n'
            status=1
        fi
        rm -rf "${CARGO_TARGET_DIR:?}/$target"
    done
    if without_threads; then
        table+="wasm32-unknown-unknown: build gives BuildError"$'\n'
    else
        table+="wasm32-unknown-unknown: FAILED, build does not give BuildError"$'\n'
        status=1
    fi
    printf '\n%s\n' "$table"
    return "$status"
}

[ $# -gt 0 ] || set -- portable aarch64 i686 windows check
for part in "$@"; do
    case $part in
    aarch64 | i686 | windows | portable | check) ;;
    *) fail "no such target: $part (there are aarch64, i686, windows, portable, check)" ;;
    esac
done
if [ $# -eq 1 ]; then
    "$1"
    exit
fi
status=0
for part in "$@"; do
    bash ci/targets.sh "$part" || status=1
done
exit "$status"
