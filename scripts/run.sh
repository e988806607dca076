#!/usr/bin/env bash
# Runs all of arkrelay on this machine: builds it, then starts a private Redis, the ARK simulator (only while no ARK_API_KEY is
# configured), the gateway and the workers. Ctrl-C drains and ends everything; a second Ctrl-C ends it at once.
#
#   scripts/run.sh                 one worker
#   WORKERS=4 scripts/run.sh       four
#
# Options of the programs come from the environment and from .env as always. With REDIS_URL set, that Redis is used and none is
# started. State lives in build/run/, apart for simulation and ARK: what waits in the simulation's queue never costs anything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=$PWD/build/release/bin
readonly START_DEADLINE_S=30
readonly CRASH_GRACE_S=10            # after a crash nobody waits for a long drain
readonly DRAIN_GRACE_S=86400         # a drain ends by itself: the worker's calls have timeouts

say() { printf 'run: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# --- What is configured: the programs themselves know ---

# Prints "VALUE # ORIGIN"; what is wrong with the configuration, the program has said then.
setting() {                          # setting PROGRAM NAME
    local all
    all=$("$BIN/arkrelay-$1" --print-config) || exit
    sed -n "s/^$2=//p" <<<"$all"
}

is_set() { [[ $1 != ' # '* ]]; }
is_default() { [[ $1 == *' # default' ]]; }

reachable() {                        # reachable HOST:PORT, the same as seen from here
    case ${1%:*} in
        0.0.0.0 | '') printf '127.0.0.1:%s' "${1##*:}" ;;
        '[::]') printf '[::1]:%s' "${1##*:}" ;;
        *) printf '%s' "$1" ;;
    esac
}

is_taken() {                         # is_taken HOST:PORT
    local host=${1%:*}
    host=${host#[}
    (: <>"/dev/tcp/${host%]}/${1##*:}") 2>/dev/null
}

free_port() {                        # free_port FIRST
    local port=$1
    while is_taken "127.0.0.1:$port"; do
        ((++port < $1 + 100)) || fail "no free port from $1 to $port"
    done
    printf '%s' "$port"
}

# --- Processes: each in a session of its own, so that Ctrl-C reaches this script alone and it decides who ends when ---

declare -A name_of=()                # pid -> name, of every process started
frontend=()                          # gateway and workers: they end first
backend=()                           # simulator, Redis
interrupts=0
trap '((++interrupts))' INT TERM HUP

# setpriv: should this script be killed outright, its children are told to end.
start() {                            # start NAME COMMAND...; the pid is in $started
    setsid setpriv --pdeathsig TERM "${@:2}" </dev/null 9>&- &
    started=$!
    name_of[$started]=$1
}

is_alive() { kill -0 "$1" 2>/dev/null; }
pause() { sleep 0.05 || true; }      # Ctrl-C ends the sleep, not the script

end_all() {                          # end_all GRACE_S PID...
    local pid alive deadline=$((SECONDS + $1)) signal=TERM
    shift
    while :; do
        alive=()
        for pid in "$@"; do
            is_alive "$pid" && alive+=("$pid")
        done
        ((${#alive[@]})) || return 0
        ((interrupts < 2 && SECONDS < deadline)) || signal=KILL
        [[ $signal == sent ]] || kill -s "$signal" "${alive[@]}" 2>/dev/null || true
        signal=sent
        pause
    done
}

shut_down() {
    say "ending: gateway and workers finish what runs (Ctrl-C again ends at once)"
    end_all "$DRAIN_GRACE_S" "${frontend[@]}"
    end_all "$DRAIN_GRACE_S" "${backend[@]}"
    if ((interrupts >= 2)); then
        say "ended at once"
        exit 130
    fi
    say "all ended"
    exit 0
}

give_up() {                          # give_up REASON
    say "$1; ending the rest"
    end_all "$CRASH_GRACE_S" "${frontend[@]}"
    end_all "$CRASH_GRACE_S" "${backend[@]}"
    exit 1
}

crashed() {                          # crashed PID
    local status=0 how
    wait "$1" || status=$?
    how="exit status $status"
    ((status <= 128)) || how="killed by SIG$(kill -l "$status")"
    [[ ${name_of[$1]} != Redis ]] || tail -n 5 "$state/redis.log" >&2 || true
    give_up "${name_of[$1]} ended by itself ($how)"
}

await() {                            # await PID COMMAND...: until the command succeeds
    local deadline=$((SECONDS + START_DEADLINE_S))
    until "${@:2}" >/dev/null 2>&1; do
        ((interrupts == 0)) || shut_down
        is_alive "$1" || crashed "$1"
        ((SECONDS < deadline)) || give_up "${name_of[$1]} is not ready after $START_DEADLINE_S s"
        pause
    done
}

supervise() {
    local pid
    while :; do
        wait -n "${!name_of[@]}" || true
        ((interrupts == 0)) || shut_down
        for pid in "${!name_of[@]}"; do
            is_alive "$pid" || crashed "$pid"
        done
        pause
    done
}

# --- The parts ---

redis_answers() { [[ $("${redis_server/%server/cli}" -s "$scratch/redis.sock" ping) == PONG ]]; }

# One run.sh at a time: two servers would write one file.
claim_state() {
    mkdir -p "$state/redis"
    exec 9>"$state/lock"
    flock -n 9 || fail "another run.sh runs in this folder: end it first, or give this one a Redis of its own (REDIS_URL)"
}

start_redis() {
    redis_server=$(command -v redis-server || command -v valkey-server)
    start Redis "$redis_server" --port 0 --unixsocket "$scratch/redis.sock" --unixsocketperm 700 --dir "$state/redis" \
        --appendonly yes --appendfsync always --save '' --maxmemory-policy noeviction --logfile "$state/redis.log"
    backend=("$started")
    await "$started" redis_answers
    export REDIS_URL=unix://$scratch/redis.sock
}

start_simulator() {
    local listen
    listen=127.0.0.1:$(free_port 8900)
    start ark-sim "$BIN/arkrelay-ark-sim" --listen "$listen"
    backend=("$started" "${backend[@]}")
    await "$started" "$BIN/arkrelay-ark-sim" --listen "$listen" --healthcheck
    export ARK_SIM_URL=http://$listen/api/v3
}

start_gateway() {
    start gateway "$BIN/arkrelay-gateway"
    frontend+=("$started")
    await "$started" "$BIN/arkrelay-gateway" --healthcheck
}

start_worker() {                     # start_worker NUMBER
    local listen
    listen=127.0.0.1:$(free_port $((8929 + $1)))
    start "worker $1" "$BIN/arkrelay-worker" --listen "$listen"
    frontend+=("$started")
    await "$started" "$BIN/arkrelay-worker" --listen "$listen" --healthcheck
}

announce() {
    local url=http://$1 redis_hint="as REDIS_URL says"
    [[ ! $own_redis ]] || redis_hint="redis-cli -s $scratch/redis.sock"
    cat <<END

    page      $url/
    dashboard $url/dashboard${admin_key:+#key=$admin_key}
    API       $url/api/v1/faceflip/generate/stream
    health    $url/readyz
    workers   $workers
    Redis     $redis_hint

    Try it: open the page in a browser, or

    curl -N $url/api/v1/faceflip/generate/stream -H 'Content-Type: application/json' \\
      -d '{"urls":["https://example.com/1.jpg","https://example.com/2.jpg"],"task_id":"try-'\$RANDOM'"}'

END
    if ((simulation)); then
        echo "    *** SIMULATION: no ARK_API_KEY is set. The pictures are made up and cost nothing. ***"
        echo "    *** For real ones: ./scripts/setup_env.sh, then start again.                      ***"
    else
        echo "    *** REAL: an ARK_API_KEY is set. Every picture is charged to its account. ***"
    fi
    printf '\n    Ctrl-C ends it all.\n\n'
}

(($# == 0)) || fail "takes no arguments: WORKERS=4 scripts/run.sh starts four workers, .env has the options (.env.example shows them)"
workers=${WORKERS:-1}
[[ $workers =~ ^[1-9][0-9]{0,2}$ ]] || fail "WORKERS is '$workers', it must be 1 to 999"

scripts/install_deps.sh build
mkdir -p build
cmake --preset release -DARKRELAY_WERROR=OFF >build/configure.log || {
    ((interrupts == 0)) || exit 130
    cat build/configure.log
    fail "cmake failed"
}
cmake --build --preset release

listen=$(setting gateway GATEWAY_LISTEN)
redis_url=$(setting gateway REDIS_URL)
ark_key=$(setting worker ARK_API_KEY)
ark_sim_url=$(setting worker ARK_SIM_URL)
configured_admin_key=$(setting gateway GATEWAY_ADMIN_KEY)

simulation=1
! is_set "$ark_key" || simulation=0
own_redis=
! is_default "$redis_url" || own_redis=yes
state=$PWD/build/run/$( ((simulation)) && echo simulation || echo ark)
[[ ! $own_redis ]] || claim_state
address=$(reachable "${listen% # *}")
! is_taken "$address" || fail "$address is taken: end what listens there, or set GATEWAY_LISTEN=127.0.0.1:8001"

# The dashboard's key: a new one for each run, unless one is configured. That one stays where it is, and is not shown.
admin_key=
if ! is_set "$configured_admin_key"; then
    admin_key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    export GATEWAY_ADMIN_KEY=$admin_key
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/arkrelay.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

if [[ $own_redis ]]; then
    scripts/install_deps.sh run 9>&-
    start_redis
fi
if ((simulation)) && ! is_set "$ark_sim_url"; then
    start_simulator
fi
start_gateway
for ((i = 1; i <= workers; i++)); do
    start_worker "$i"
done
announce "$address"
supervise
