#!/usr/bin/env bash
# examples/cluster, a package of its own: formatting, clippy with warnings as errors, the tests, and
# the demonstration, which must end with success.
# Usage: bash ci/cluster.sh            with the store inside the process; needs cargo
#        bash ci/cluster.sh --stores   with etcd and Postgres too
#
# --stores uses real processes, which the tests kill, stop, cut off and restart. It needs root, for
# network namespaces, and installs what is missing with apt-get: etcd, Postgres, protoc, iproute2.
# Nothing is skipped then: the check fails if a store is missing or if it cannot make a network
# namespace.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

features=()
case "${1:-}" in
'') ;;
--stores)
    features=(--all-features)
    need etcd etcd-server
    need etcdctl etcd-client
    command -v postgres >/dev/null || need '/usr/lib/postgresql/*/bin/postgres' postgresql
    need ip iproute2
    need protoc protobuf-compiler
    need /usr/include/google/protobuf/empty.proto libprotobuf-dev
    export CLUSTER_REQUIRE_STORES=1
    ;;
*)
    echo "usage: bash ci/cluster.sh [--stores]" >&2
    exit 2
    ;;
esac

cd examples/cluster
cargo fmt --check
cargo clippy --locked --all-targets "${features[@]}" -- -D warnings
cargo test --locked "${features[@]}"
cargo run --locked --quiet "${features[@]}" -- demo >/dev/null
