#!/usr/bin/env bash
# Builds the images, brings the stack of docker-compose.yml up with no key, and uses it as a stranger would.
#
# Runs on an engine of its own, with its own data, sockets and pid file, so that nothing of the machine's containers is touched.
# Its base image is made here with debootstrap from the machine's Debian mirror, because a test machine may see that mirror and
# no image registry; an image with Debian's redis-server stands in for redis:7-alpine. An engine that runs already is used
# instead, with the images that its registry has.
#
# Exit status: 0 all passed, 1 something failed, 77 no engine can run here (the reason is printed).
# Cached in ${XDG_CACHE_HOME:-~/.cache}/arkrelay-compose-test: the bootstrapped Debian.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

readonly ENGINE_DEADLINE_S=60
readonly READY_DEADLINE_S=120
readonly SKIPPED=77

cache=${XDG_CACHE_HOME:-$HOME/.cache}/arkrelay-compose-test
passed=0
failed=0

say() { printf 'compose: %s\n' "$*"; }
skip() { say "SKIPPED, no container engine can run here: $*"; exit "$SKIPPED"; }

check() {                            # check NAME COMMAND...
    if "${@:2}"; then
        say "ok    $1"
        ((++passed))
    else
        say "FAIL  $1"
        ((++failed))
    fi
}

within() {                           # within SECONDS COMMAND...: polls until it succeeds
    local deadline=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

# --- The engine ---

engine=                              # its directory, when it is ours
engine_pid=

engine_answers() { docker info >/dev/null 2>&1; }
engine_answers_or_is_gone() { engine_answers || ! kill -0 "$engine_pid" 2>/dev/null; }

# dockerd adds rules to the firewall, lets the machine forward packets, and leaves a bridge and control groups behind. All of it
# is put back.
remember_network() {
    forwarding=$(cat /proc/sys/net/ipv4/ip_forward)
    iptables-save >"$engine/iptables" 2>/dev/null || rm -f "$engine/iptables"
    ip6tables-save >"$engine/ip6tables" 2>/dev/null || rm -f "$engine/ip6tables"
}

restore_network() {
    [[ ! -e $engine/iptables ]] || restore_tables iptables
    [[ ! -e $engine/ip6tables ]] || restore_tables ip6tables
    printf '%s' "$forwarding" >/proc/sys/net/ipv4/ip_forward || true
    ! command -v ip >/dev/null || ip link delete "$bridge" 2>/dev/null || true
}
