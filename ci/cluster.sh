#!/usr/bin/env bash
# examples/cluster, a package of its own: formatting, clippy with warnings as errors, and its tests; the demonstration has to
# end well. Without more, with the store within the process alone, which needs nothing but cargo.
# Alone: bash ci/cluster.sh
#
# With --stores also with etcd and Postgres, and with real processes that are killed, stopped, cut off and restarted. It
# installs what that needs where it is not there (Debian, as root): etcd, Postgres, protoc, iproute2. Then nothing is
# skipped: a store that is not there, or a network namespace that cannot be made, is a failure.
# Alone: bash ci/cluster.sh --stores
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../examples/cluster"

features=()
case "${1:-}" in
'') ;;
--stores) features=(--all-features) ;;
*)
    echo "usage: bash ci/cluster.sh [--stores]" >&2
    exit 2
    ;;
esac

# found PROGRAM: in PATH, or where Debian keeps Postgres.
found() {
    command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

if [ "${#features[@]}" -gt 0 ]; then
    packages=()
    found etcd || packages+=(etcd-server)
    found etcdctl || packages+=(etcd-client)
    found postgres || packages+=(postgresql)
    found ip || packages+=(iproute2)
    found protoc || packages+=(protobuf-compiler)
    [ -e /usr/include/google/protobuf/empty.proto ] || packages+=(libprotobuf-dev)
    if [ "${#packages[@]}" -gt 0 ]; then
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
            echo "cluster: not there, and only root can install it: ${packages[*]}" >&2
            exit 1
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${packages[@]}"
    fi
    export CLUSTER_REQUIRE_STORES=1
fi

cargo fmt --check
cargo clippy --locked --all-targets "${features[@]}" -- -D warnings
cargo test --locked "${features[@]}"
cargo run --locked --quiet "${features[@]}" -- demo >/dev/null
