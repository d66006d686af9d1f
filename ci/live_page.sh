#!/usr/bin/env bash
# The live page of the example route_server, driven in headless Chromium as its user would: each button is clicked, and once
# pressed by keyboard alone; the figures move; the stall report names the line that made the held guard; the stream is
# found again after a restart, and does not keep the server from ending; nothing is wider than a phone; no error in the
# console; axe-core finds nothing, light and dark.
#
# Alone:     bash ci/live_page.sh
#            bash ci/live_page.sh --install              first installs Chromium, node and a font (apt, as root)
#            bash ci/live_page.sh --pictures [ARG...]    then takes the pictures of the guide anew, into src/guide/img/, of a
#                                                        server started with these arguments
#            PROFILE=release bash ci/live_page.sh        with another cargo profile than dev
#
# Needs node 20 and npm, which brings playwright-core and axe-core (as locked in ci/live_page/) into a folder that is thrown
# away; and a Chromium. Where there is no Chromium or no node, it says so and is done, with success. All requests go to the loopback.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${PROFILE:-dev}
pictures=
while [ $# -gt 0 ]; do
    case $1 in
        --install)
            apt-get update
            apt-get install -y --no-install-recommends chromium nodejs npm fonts-inter
            ;;
        --pictures)
            pictures=$PWD/src/guide/img
            shift
            break
            ;;
        *)
            echo "live_page: $1 is not known: see the head of ci/live_page.sh" >&2
            exit 2
            ;;
    esac
    shift
done

skip() {
    echo "live_page: skipped: $* (bash ci/live_page.sh --install brings it)"
    exit 0
}
chromium=$(command -v chromium chromium-browser google-chrome | head -n 1) || true
[ -n "$chromium" ] || skip "there is no Chromium"
command -v node >/dev/null || skip "there is no node"
command -v npm >/dev/null || skip "there is no npm"

echo "building (profile $profile)"
features=()
# Dev builds record where guards were made in any case.
[ "$profile" = dev ] || features=(--features locations)
program=$(cargo build --quiet --profile "$profile" "${features[@]}" --example route_server --message-format json |
    sed -n 's/.*"name":"route_server".*"executable":"\([^"]*\)".*/\1/p')
[ -x "$program" ] || {
    echo "live_page: no program was built" >&2
    exit 1
}

work=$(mktemp -d)
driver=
cleanup() {
    local status=$?
    trap - EXIT
    if [ -n "$driver" ]; then
        # It ends the server and the browser that it started.
        kill "$driver" 2>/dev/null || true
        wait "$driver" 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cp ci/live_page/* "$work"
(cd "$work" && npm ci --silent --ignore-scripts --no-audit --no-fund)
node "$work/drive.mjs" "$program" "$chromium" examples/route_server/buttons.rs "$pictures" "$@" &
driver=$!
status=0
wait "$driver" || status=$?
driver=
exit "$status"
