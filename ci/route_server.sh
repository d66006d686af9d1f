#!/usr/bin/env bash
# The example route_server, as its users run it.
# Usage: bash ci/route_server.sh curl               asked with curl
#        bash ci/route_server.sh page [OPTION...]   its live page in a browser
#        PROFILE=release bash ci/route_server.sh ...   built with a cargo profile other than dev
#
# curl starts the server, asks it for everything that it offers, reloads it and stops it. Needs curl
# and sha256sum.
#
# page drives the live page in headless Chromium: it clicks each button, and presses each by the
# keyboard alone; the figures must move; the stall report must name the line that made the held
# guard; the page must find the stream again after a restart of the server; an open stream must not
# keep the server from ending; nothing may be wider than a phone; the console may show no error;
# axe-core may find nothing, in light and in dark colours. The options:
#   --install             first installs Chromium, node and a font (apt-get, as root)
#   --pictures [ARG...]   then takes the guide's pictures again, into src/guide/img/, of a server
#                         that was started with these arguments
# It needs node 20 and npm, which installs playwright-core and axe-core (locked in ci/live_page/)
# into a temporary folder. Without Chromium or node the check says so and succeeds.
#
# All requests go to the loopback.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

profile=${PROFILE:-dev}
limit=60 # seconds that any one thing may take
work=$(mktemp -d)
child=
ending=TERM # the signal that ends the child

# Ends the server, or the browser's driver, which then ends the browser and the server that it
# started. If the check failed, what the servers have written is printed.
cleanup() {
    local status=$? file
    trap - EXIT
    if [ -n "$child" ]; then
        kill -s "$ending" "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    if [ "$status" -ne 0 ]; then
        for file in "$work"/*.out "$work"/*.err; do
            [ -e "$file" ] && sed "s|^|$(basename "$file"): |" "$file" >&2
        done
    fi
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# build FLAG...: builds the server and sets `program`.
build() {
    echo "building (profile $profile)"
    program=$(cargo build --quiet --profile "$profile" "$@" --example route_server \
        --message-format json | executable route_server)
    [ -x "$program" ] || fail "cargo built no program"
}

# until_true WHAT COMMAND...: waits until the command succeeds. Fails if the server ends before.
until_true() {
    local what=$1 deadline=$((SECONDS + limit))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$what: not true after $limit s"
        kill -0 "$child" 2>/dev/null || fail "$what: the server has ended"
        sleep 0.05
    done
}

is_listening() { grep -qs '^listening on http://' "$work/$1.out"; }

# start NAME ARGUMENT...: starts a server on a free port, and sets `url`.
start() {
    local name=$1
    shift
    "$program" --listen 127.0.0.1:0 "$@" >"$work/$name.out" 2>"$work/$name.err" &
    child=$!
    until_true "$name listens" is_listening "$name"
    url=$(sed -n 's|^listening on \(http://.*\)$|\1|p' "$work/$name.out")
}

# stop NAME SIGNAL: sends the signal. The server must report it and its drain, and exit with
# status 0.
stop() {
    local name=$1 signal=$2 status=0 deadline=$((SECONDS + limit))
    kill -s "$signal" "$child"
    while kill -0 "$child" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$name: still running $limit s after SIG$signal"
        sleep 0.05
    done
    wait "$child" || status=$?
    child=
    [ "$status" -eq 0 ] || fail "$name: exit status $status after SIG$signal"
    grep -q "^SIG$signal: shutting down\$" "$work/$name.out" ||
        fail "$name: does not report SIG$signal"
    grep -q '^drained: ' "$work/$name.out" || fail "$name: does not report the drain"
}

# request CURL-ARGUMENT...: curl, with the options that every request needs.
request() {
    curl --silent --show-error --no-buffer --noproxy '*' --max-time "$limit" "$@"
}

# ask STATUS PATTERN CURL-ARGUMENT...: the answer must have this status, and its body must match
# this glob pattern.
ask() {
    local status=$1 pattern=$2 answer
    shift 2
    answer=$(request --write-out '\n%{http_code}' "$@") || fail "curl $*: failed"
    [ "${answer##*$'\n'}" = "$status" ] || fail "curl $*: not $status: $answer"
    # shellcheck disable=SC2053 # a pattern is meant
    [[ ${answer%$'\n'*} == $pattern ]] || fail "curl $*: does not match $pattern: $answer"
}

version_is() { [ "$(request "$url/version")" = "{\"version\":$1}" ]; }

# refuses_to_start PATTERN ARGUMENT...: the server must exit with status 1, and print a message that
# matches the pattern.
refuses_to_start() {
    local pattern=$1 status=0
    shift
    "$program" "$@" >"$work/refused.out" 2>"$work/refused.err" || status=$?
    [ "$status" -eq 1 ] || fail "$*: exit status $status instead of 1"
    grep -q "$pattern" "$work/refused.err" || fail "$*: no message like $pattern"
}

# has_event NAME: the stream in events.txt has an event of this name, down to its empty line.
has_event() {
    awk -v name="event: $1" '$0 == name { here = 1 } here && /^$/ { found = 1 }
        END { exit !found }' "$work/events.txt"
}

# event NAME FIELD...: the stream must begin with events, and the first of this name must have these
# fields.
event() {
    local name=$1 deadline=$((SECONDS + limit)) field curl
    shift
    : >"$work/events.txt"
    # The stream has no end: curl is stopped when the event is there.
    request "$url/events" >"$work/events.txt" 2>"$work/events.err" &
    curl=$!
    until has_event "$name"; do
        [ "$SECONDS" -lt "$deadline" ] && kill -0 "$curl" 2>/dev/null ||
            fail "no event $name: $(cat "$work/events.txt" "$work/events.err")"
        sleep 0.05
    done
    kill "$curl"
    wait "$curl" 2>/dev/null || true
    for field in "$@"; do
        sed -n "/^event: $name\$/,/^\$/p" "$work/events.txt" | grep -q "^data: {.*\"$field\":" ||
            fail "event $name without $field: $(cat "$work/events.txt")"
    done
}

asked_with_curl() {
    local vendor=examples/route_server/live/vendor viewer answer
    ending=KILL

    # The files of other projects are as they were released.
    sed -n 's/^| `\([^`]*\)` | `\([0-9a-f]\{64\}\)` |$/\2  \1/p' "$vendor/README.md" >"$work/sums"
    [ "$(wc -l <"$work/sums")" -eq 2 ] || fail "$vendor/README.md does not name two files"
    (cd "$vendor" && sha256sum --check --quiet "$work/sums") ||
        fail "a file in $vendor is not the one that its README.md names"

    build

    echo "the built-in table"
    start builtin
    answer='{"version":1,"ip":"1.1.1.1","start":"1.1.1.0","end":"1.1.1.255",'
    answer+='"asn":13335,"organisation":"Cloudflare, Inc."}'
    ask 200 "$answer" "$url/lookup/1.1.1.1"
    ask 200 '*"start":"2606:4700::",*"asn":13335,*' "$url/lookup/2606:4700::1111"
    ask 404 '{"error":*}' "$url/lookup/10.0.0.1"
    ask 400 '{"error":*not an IPv4 or IPv6 address*}' "$url/lookup/1.1.1"
    answer='{"version":1,"answers":?{"ip":"8.8.8.8",*"asn":15169,*},'
    answer+='{"ip":"10.0.0.1","error":*},{"ip":"2001:4860:4860::8888",*}?}'
    ask 200 "$answer" --data '["8.8.8.8", "10.0.0.1", "2001:4860:4860::8888"]' "$url/lookup"
    ask 400 '{"error":*8.8.8.888*}' --data '["8.8.8.8", "8.8.8.888"]' "$url/lookup"
    ask 400 '{"error":*}' --data '{"ip": 1}' "$url/lookup"
    ask 200 '{"version":1}' "$url/version"
    ask 200 '*"barrier":*' "$url/stats"
    ask 200 '<!DOCTYPE html>*src="/live/page.js"*id="figures"*db-ip.com*' "$url/"
    ask 200 '*EventSource*' "$url/live/page.js"
    ask 200 '*uPlot*' "$url/live/uPlot.js"
    event hello stall_timeout_ms buttons
    event sample lookups_per_s grace_period_p50_ms grace_period_p99_ms pending held_guards version \
        age_ms bytes old_versions stalls
    ask 403 '{"error":*}' --request POST --header 'Origin: http://other.example' "$url/reload"
    ask 403 '{"error":*}' --request POST --header 'Sec-Fetch-Site: cross-site' "$url/force"
    ask 403 '{"error":*}' --header 'Sec-Fetch-Site: cross-site' "$url/events"
    ask 403 '{"error":*other.example*}' --request POST --header 'Host: other.example' \
        "$url/hold?seconds=1"
    ask 200 '{"version":1}' "$url/version"
    ask 202 '{"callbacks":1000,*}' --request POST "$url/flood?callbacks=1000"
    ask 400 '{"error":*1000000*}' --request POST "$url/flood?callbacks=1000001"
    ask 400 '{"error":*60*}' --request POST "$url/hold?seconds=3600"
    ask 202 '{"version":1,*}' --request POST "$url/hold?seconds=1.5"
    event report about age_ms holders location pending
    ask 200 '{"version":2,*"replaced":1,"reclaimed":false}' --request POST "$url/reload"
    ask 200 '{"version":3,*"replaced":2,"reclaimed":true,"freeing_ms":*}' \
        --request POST "$url/reload?wait=reclaimed"
    ask 400 '{"error":*}' --data '{"tables": ["/etc/hosts"]}' "$url/reload"
    ask 200 '{"version":3}' "$url/version"
    refuses_to_start "cannot listen on ${url#http://}" --listen "${url#http://}"
    # Neither an open stream nor a held guard keeps the server from ending.
    ask 202 '*' --request POST "$url/hold?seconds=60"
    curl --silent --no-buffer --noproxy '*' "$url/events" >"$work/watched.txt" &
    viewer=$!
    until_true "the viewer is there" grep -q '^event: sample' "$work/watched.txt"
    stop builtin INT
    wait "$viewer" || fail "the stream did not end in order"

    echo "a table of our own"
    cp examples/route_server/builtin.csv "$work/table.csv"
    start own --table "$work/table.csv"
    ask 200 '*"organisation":"Cloudflare, Inc."}' "$url/lookup/1.1.1.1"
    printf '1.1.1.0,1.1.1.255,64496,"Example, ""quoted"""\n' >"$work/new.csv"
    mv "$work/new.csv" "$work/table.csv"
    ask 200 '{"version":1,*"asn":13335,*}' "$url/lookup/1.1.1.1"
    ask 200 '{"version":2,*}' --request POST "$url/reload?wait=reclaimed"
    ask 200 '{"version":2,*"asn":64496,"organisation":"Example, \\"quoted\\""}' \
        "$url/lookup/1.1.1.1"
    printf '1.1.1.0,1.1.1.255,1,bad\n1.1.2.0,1.1.2.256,1,bad\n' >"$work/table.csv"
    ask 422 '{"error":*table.csv, line 2:*1.1.2.256*}' --request POST "$url/reload"
    ask 200 '{"version":2,*"asn":64496,*}' "$url/lookup/1.1.1.1"
    refuses_to_start 'table.csv, line 2:' --listen 127.0.0.1:0 --table "$work/table.csv"
    refuses_to_start 'missing.csv: cannot open' --listen 127.0.0.1:0 --table "$work/missing.csv"
    stop own TERM

    echo "a watched table"
    mkdir "$work/watched"
    printf '1.1.1.0,1.1.1.255,1,one\n' >"$work/watched/one.csv"
    printf '1.1.1.0,1.1.1.255,2,two\n' >"$work/watched/two.csv"
    ln -s one.csv "$work/watched/table.csv"
    start watched --table "$work/watched/table.csv" --watch
    ask 200 '*"organisation":"one"}' "$url/lookup/1.1.1.1"
    ln -s two.csv "$work/watched/new"
    mv "$work/watched/new" "$work/watched/table.csv"
    until_true "the switched link is noticed" version_is 2
    ask 200 '*"organisation":"two"}' "$url/lookup/1.1.1.1"
    stop watched INT
}

page() {
    local chromium pictures='' status=0 features=()
    while [ $# -gt 0 ]; do
        case $1 in
        --install)
            apt-get update
            apt-get install -y --no-install-recommends chromium nodejs npm fonts-inter
            shift
            ;;
        --pictures)
            pictures=$PWD/src/guide/img
            shift
            break
            ;;
        *) usage ;;
        esac
    done
    chromium=$(command -v chromium chromium-browser google-chrome | head -n 1) || true
    [ -n "$chromium" ] || skip Chromium
    command -v node >/dev/null || skip node
    command -v npm >/dev/null || skip npm

    # Dev builds always record where a guard was made.
    [ "$profile" = dev ] || features=(--features locations)
    build ${features[@]+"${features[@]}"}
    cp ci/live_page/* "$work"
    (cd "$work" && npm ci --silent --ignore-scripts --no-audit --no-fund)
    node "$work/drive.mjs" "$program" "$chromium" examples/route_server/buttons.rs "$pictures" \
        "$@" &
    child=$!
    wait "$child" || status=$?
    child=
    return "$status"
}

skip() {
    echo "live page: skipped: there is no $1 (bash ci/route_server.sh page --install installs it)"
    exit 0
}

usage() {
    echo "usage: bash ci/route_server.sh curl | page [--install] [--pictures [ARG...]]" >&2
    exit 2
}

kind=${1:-}
case $kind in
curl) asked_with_curl ;;
page) shift && page "$@" ;;
*) usage ;;
esac
echo "route_server $kind: all checks pass"
