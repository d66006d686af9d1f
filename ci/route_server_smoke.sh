#!/usr/bin/env bash
# The example route_server as its user runs it: started, asked with curl, reloaded, stopped. Needs curl and sha256sum; the loopback is all the network.
# Alone: bash ci/route_server_smoke.sh. With another cargo profile than dev: PROFILE=release bash ci/route_server_smoke.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${PROFILE:-dev}
limit=60 # seconds that any one thing may take
work=$(mktemp -d)
server=

cleanup() {
    local status=$?
    trap - EXIT
    if [ -n "$server" ]; then
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
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

fail() {
    echo "route_server_smoke: $*" >&2
    exit 1
}

# until_true WHAT COMMAND...: waits until the command succeeds, as long as the server runs.
until_true() {
    local what=$1 deadline=$((SECONDS + limit))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$what: not within $limit s"
        kill -0 "$server" 2>/dev/null || fail "$what: the server is gone"
        sleep 0.05
    done
}

is_listening() { grep -qs '^listening on http://' "$work/$1.out"; }

# start NAME ARGUMENT...: starts a server on a free port; its address is then in $url.
start() {
    local name=$1
    shift
    "$program" --listen 127.0.0.1:0 "$@" >"$work/$name.out" 2>"$work/$name.err" &
    server=$!
    until_true "$name listens" is_listening "$name"
    url=$(sed -n 's|^listening on \(http://.*\)$|\1|p' "$work/$name.out")
}

# stop NAME SIGNAL: the server says goodbye and exits with status 0.
stop() {
    local name=$1 signal=$2 status=0 deadline=$((SECONDS + limit))
    kill -s "$signal" "$server"
    while kill -0 "$server" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$name: still running $limit s after SIG$signal"
        sleep 0.05
    done
    wait "$server" || status=$?
    server=
    [ "$status" -eq 0 ] || fail "$name: exit status $status after SIG$signal"
    grep -q "^SIG$signal: shutting down\$" "$work/$name.out" || fail "$name: no word about SIG$signal"
    grep -q '^drained: ' "$work/$name.out" || fail "$name: no word about the drain"
}

# ask STATUS PATTERN CURL-ARGUMENT...: the answer has this status, and its body matches this glob pattern.
ask() {
    local status=$1 pattern=$2 answer
    shift 2
    answer=$(curl --silent --show-error --noproxy '*' --max-time "$limit" --write-out '\n%{http_code}' "$@") ||
        fail "curl $*: failed"
    [ "${answer##*$'\n'}" = "$status" ] || fail "curl $*: not $status: $answer"
    # shellcheck disable=SC2053 # a pattern is meant
    [[ ${answer%$'\n'*} == $pattern ]] || fail "curl $*: not like $pattern: $answer"
}

version_is() { [ "$(curl --silent --noproxy '*' --max-time "$limit" "$url/version")" = "{\"version\":$1}" ]; }

# refuses_to_start PATTERN ARGUMENT...: the server exits with status 1 and such a message.
refuses_to_start() {
    local pattern=$1 status=0
    shift
    "$program" "$@" >"$work/refused.out" 2>"$work/refused.err" || status=$?
    [ "$status" -eq 1 ] || fail "$*: exit status $status instead of 1"
    grep -q "$pattern" "$work/refused.err" || fail "$*: no message like $pattern"
}

# event NAME FIELD...: the stream begins with such events, and the one of this name has these fields.
event() {
    local name=$1 deadline=$((SECONDS + limit)) field
    shift
    : >"$work/events.txt"
    # It has no end: curl is stopped when the event is there.
    curl --silent --show-error --no-buffer --noproxy '*' --max-time "$limit" "$url/events" >"$work/events.txt" 2>"$work/events.err" &
    local curl=$!
    until awk -v name="event: $name" '$0 == name { here = 1 } here && /^$/ { found = 1 } END { exit !found }' "$work/events.txt"; do
        [ "$SECONDS" -lt "$deadline" ] && kill -0 "$curl" 2>/dev/null || fail "no event $name: $(cat "$work/events.txt" "$work/events.err")"
        sleep 0.05
    done
    kill "$curl"
    wait "$curl" 2>/dev/null || true
    for field in "$@"; do
        sed -n "/^event: $name\$/,/^\$/p" "$work/events.txt" | grep -q "^data: {.*\"$field\":" || fail "event $name without $field: $(cat "$work/events.txt")"
    done
}

# The files of others are as they were released.
sed -n 's/^| `\([^`]*\)` | `\([0-9a-f]\{64\}\)` |$/\2  \1/p' examples/route_server/live/vendor/README.md >"$work/sums"
[ "$(wc -l <"$work/sums")" -eq 2 ] || fail "live/vendor/README.md does not name two files"
(cd examples/route_server/live/vendor && sha256sum --check --quiet "$work/sums") || fail "live/vendor/: not what its README.md says"

echo "building (profile $profile)"
program=$(cargo build --quiet --profile "$profile" --example route_server --message-format json |
    sed -n 's/.*"name":"route_server".*"executable":"\([^"]*\)".*/\1/p')
[ -x "$program" ] || fail "no program was built"

echo "the built-in table"
start builtin
ask 200 '{"version":1,"ip":"1.1.1.1","start":"1.1.1.0","end":"1.1.1.255","asn":13335,"organisation":"Cloudflare, Inc."}' "$url/lookup/1.1.1.1"
ask 200 '*"start":"2606:4700::",*"asn":13335,*' "$url/lookup/2606:4700::1111"
ask 404 '{"error":*}' "$url/lookup/10.0.0.1"
ask 400 '{"error":*not an IPv4 or IPv6 address*}' "$url/lookup/1.1.1"
ask 200 '{"version":1,"answers":?{"ip":"8.8.8.8",*"asn":15169,*},{"ip":"10.0.0.1","error":*},{"ip":"2001:4860:4860::8888",*}?}' \
    --data '["8.8.8.8", "10.0.0.1", "2001:4860:4860::8888"]' "$url/lookup"
ask 400 '{"error":*8.8.8.888*}' --data '["8.8.8.8", "8.8.8.888"]' "$url/lookup"
ask 400 '{"error":*}' --data '{"ip": 1}' "$url/lookup"
ask 200 '{"version":1}' "$url/version"
ask 200 '*"barrier":*' "$url/stats"
ask 200 '<!DOCTYPE html>*src="/live/page.js"*id="figures"*db-ip.com*' "$url/"
ask 200 '*EventSource*' "$url/live/page.js"
ask 200 '*uPlot*' "$url/live/uPlot.js"
event hello stall_timeout_ms buttons
event sample lookups_per_s grace_period_p50_ms grace_period_p99_ms pending held_guards version age_ms bytes old_versions stalls
ask 403 '{"error":*}' --request POST --header 'Origin: http://other.example' "$url/reload"
ask 403 '{"error":*}' --request POST --header 'Sec-Fetch-Site: cross-site' "$url/force"
ask 403 '{"error":*}' --header 'Sec-Fetch-Site: cross-site' "$url/events"
ask 403 '{"error":*other.example*}' --request POST --header 'Host: other.example' "$url/hold?seconds=1"
ask 200 '{"version":1}' "$url/version"
ask 202 '{"callbacks":1000,*}' --request POST "$url/flood?callbacks=1000"
ask 400 '{"error":*1000000*}' --request POST "$url/flood?callbacks=1000001"
ask 400 '{"error":*60*}' --request POST "$url/hold?seconds=3600"
ask 202 '{"version":1,*}' --request POST "$url/hold?seconds=1.5"
event report about age_ms holders location pending
ask 200 '{"version":2,*"replaced":1,"reclaimed":false}' --request POST "$url/reload"
ask 200 '{"version":3,*"replaced":2,"reclaimed":true,"freeing_ms":*}' --request POST "$url/reload?wait=reclaimed"
ask 400 '{"error":*}' --data '{"tables": ["/etc/hosts"]}' "$url/reload"
ask 200 '{"version":3}' "$url/version"
refuses_to_start "cannot listen on ${url#http://}" --listen "${url#http://}"
# Neither a stream nor a guard that is held keeps it from ending.
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
ask 200 '{"version":2,*"asn":64496,"organisation":"Example, \\"quoted\\""}' "$url/lookup/1.1.1.1"
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

echo "route_server: all is well"
