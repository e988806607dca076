#!/usr/bin/env bash
# Builds arkrelay and runs it on this machine: a private Redis, the ARK simulator (only if no ARK_API_KEY is configured), the gateway and
# the workers. Ctrl-C drains and stops everything; a second Ctrl-C stops it at once.
#
#   scripts/run.sh                 one worker
#   WORKERS=4 scripts/run.sh       four workers
#
# The programs read their options from the environment and from .env. If REDIS_URL is set, that Redis is used and none is started. State is
# in build/run/, separate for the simulator and ARK, so that a task queued for the simulator is never charged. Pictures are kept there too;
# STORAGE= (empty) keeps none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=$PWD/build/release/bin
readonly START_DEADLINE_S=30
readonly CRASH_GRACE_S=10            # after a crash, do not wait for a long drain
readonly DRAIN_GRACE_S=86400         # in effect no limit: the worker's calls have timeouts

say() { printf 'run: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# --- Configuration: read with --print-config of the programs ---

# Prints "VALUE # ORIGIN". If the configuration is invalid, the program reports it and the script exits.
setting() {                          # setting PROGRAM NAME
    local all
    all=$("$BIN/arkrelay-$1" --print-config) || exit
    sed -n "s/^$2=//p" <<<"$all"
}

# An empty STORAGE= is a choice too: no pictures are kept. The programs report it as the default.
storage_is_chosen() {
    [[ -v STORAGE ]] || grep -qsE '^[[:space:]]*(export[[:space:]]+)?STORAGE[[:space:]]*=' .env
}

is_set() { [[ $1 != ' # '* ]]; }
is_default() { [[ $1 == *' # default' ]]; }

reachable() {                        # reachable HOST:PORT: replaces a wildcard address with loopback
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

# --- Build ---

compile() {
    cmake --preset release -DARKRELAY_WERROR=OFF >build/configure.log || {
        ((interrupts == 0)) || exit 130
        cat build/configure.log
        fail "cmake failed"
    }
    cmake --build --preset release
}

# Two builds in one directory overwrite each other's files.
compile_alone() {
    exec 8>build/lock
    flock -n 8 || {
        say "another run.sh is building in this directory: waiting until it has finished"
        flock 8
    }
    compile
    exec 8>&-
}

# --- Processes: each in its own session, so that Ctrl-C reaches only this script, which stops them in order ---

declare -A name_of=()                # pid -> name of each process
frontend=()                          # gateway and workers: stopped first
backend=()                           # simulator and Redis: stopped last
interrupts=0
trap '((++interrupts))' INT TERM HUP

# setpriv: the kernel sends SIGTERM to the processes if this script is killed.
start() {                            # start NAME COMMAND...; the pid is in $started
    setsid setpriv --pdeathsig TERM "${@:2}" </dev/null 9>&- &
    started=$!
    name_of[$started]=$1
}

is_alive() { kill -0 "$1" 2>/dev/null; }
pause() { sleep "${1:-0.05}" || true; }     # Ctrl-C interrupts the sleep, not the script

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
    say "draining: running calls are completed (Ctrl-C again stops at once)"
    end_all "$DRAIN_GRACE_S" "${frontend[@]}"
    end_all "$DRAIN_GRACE_S" "${backend[@]}"
    if ((interrupts >= 2)); then
        say "stopped at once"
        exit 130
    fi
    say "stopped"
    exit 0
}

give_up() {                          # give_up REASON
    say "$1; stopping the other processes"
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
    give_up "${name_of[$1]} exited unexpectedly ($how)"
}

await() {                            # await PID COMMAND...: waits until the command succeeds
    local deadline=$((SECONDS + START_DEADLINE_S))
    until "${@:2}" >/dev/null 2>&1; do
        ((interrupts == 0)) || shut_down
        is_alive "$1" || crashed "$1"
        ((SECONDS < deadline)) || give_up "${name_of[$1]} is not ready after $START_DEADLINE_S s"
        pause
    done
}

# Polls: `wait` would sleep on if Ctrl-C or the end of a process came just before it.
supervise() {
    local pid
    while ((interrupts == 0)); do
        for pid in "${!name_of[@]}"; do
            is_alive "$pid" || crashed "$pid"
        done
        pause 0.2
    done
    shut_down
}

# --- Components ---

redis_answers() { [[ $("$redis_cli" -s "$scratch/redis.sock" ping) == PONG ]]; }

# Only one run.sh at a time: two Redis servers would write the same file.
claim_state() {
    mkdir -p "$state/redis"
    exec 9>"$state/lock"
    flock -n 9 || fail "another run.sh is running in this directory: stop it first, or set REDIS_URL"
}

find_redis() {
    redis_server=$(command -v redis-server || command -v valkey-server) || fail "redis-server or valkey-server is not in PATH"
    redis_cli=${redis_server/%server/cli}
    command -v "$redis_cli" >/dev/null || fail "${redis_cli##*/} is not in PATH"
}

start_redis() {
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
    local url=http://$1 redis_hint="REDIS_URL" pictures=${storage% # *}
    [[ ! $own_redis ]] || redis_hint="redis-cli -s $scratch/redis.sock"
    cat <<END

    playground $url/
    dashboard  $url/dashboard${admin_key:+#key=$admin_key}
    API        $url/api/v1/faceflip/generate/stream
    health     $url/readyz
    workers    $workers
    Redis      $redis_hint
    pictures   ${pictures:-are not kept: links end after 24 hours}

    Open the playground in a browser, or run

    curl -N $url/api/v1/faceflip/generate/stream -H 'Content-Type: application/json' \\
      -d '{"urls":["https://example.com/1.jpg","https://example.com/2.jpg"],"task_id":"try-'\$RANDOM'"}'

END
    if ((simulation)); then
        echo "    *** SIMULATION: no ARK_API_KEY is set. A simulator generates the images; nothing is charged. ***"
        echo "    *** To call ARK: run ./scripts/setup_env.sh, then start again.                               ***"
    else
        echo "    *** REAL: an ARK_API_KEY is set. Every image is charged to its account. ***"
    fi
    printf '\n    Press Ctrl-C to stop.\n\n'
}

(($# == 0)) || fail "no arguments are allowed: WORKERS=4 scripts/run.sh starts four workers; options are set in .env (see .env.example)"
workers=${WORKERS:-1}
[[ $workers =~ ^[1-9][0-9]{0,2}$ ]] || fail "WORKERS is '$workers', it must be 1 to 999"

scripts/install_deps.sh build
mkdir -p build
compile_alone

listen=$(setting gateway GATEWAY_LISTEN)
redis_url=$(setting gateway REDIS_URL)
ark_key=$(setting worker ARK_API_KEY)
ark_sim_url=$(setting worker ARK_SIM_URL)
configured_admin_key=$(setting gateway GATEWAY_ADMIN_KEY)
storage=$(setting gateway STORAGE)

simulation=1
! is_set "$ark_key" || simulation=0
own_redis=
! is_default "$redis_url" || own_redis=yes
state=$PWD/build/run/$( ((simulation)) && echo simulation || echo ark)
[[ ! $own_redis ]] || claim_state
address=$(reachable "${listen% # *}")
[[ $address != *:0 ]] || fail "GATEWAY_LISTEN is ${listen% # *}, it must have a port other than 0"
! is_taken "$address" || fail "$address is in use: stop the process that listens there, or set GATEWAY_LISTEN=127.0.0.1:8001"

# Next to the data of the Redis that this script starts. With another Redis, other machines would need the same directory.
if [[ $own_redis ]] && ! storage_is_chosen; then
    storage=$state/pictures
    export STORAGE=$storage
fi

# The admin key: a new one for each run, unless one is configured. A configured key is not printed.
admin_key=
if ! is_set "$configured_admin_key"; then
    admin_key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    export GATEWAY_ADMIN_KEY=$admin_key
fi

# For the socket of Redis: its path is at most 107 bytes long, and a REDIS_URL has no spaces and no '?'.
scratch=${TMPDIR:-/tmp}
[[ $scratch =~ ^[[:alnum:]/._+-]{1,80}$ ]] || scratch=/tmp
scratch=$(mktemp -d "$scratch/arkrelay.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

if [[ $own_redis ]]; then
    scripts/install_deps.sh run 9>&-
    find_redis
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
