#!/usr/bin/env bash
# Builds the images, starts the stack of docker-compose.yml without an ARK key, and uses it like a new user.
#
# Uses the running container engine with the images of its registry, or starts its own (see engine.sh).
# Exit status: 0 all passed, 1 something failed, 77 no engine can run here (the reason is printed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly HERE=tests/compose SKIPPED=77 READY_DEADLINE_S=120

passed=0
failed=0

say() { printf 'compose: %s\n' "$*"; }
skip() { say "SKIPPED, no container engine can run here: $*"; exit "$SKIPPED"; }

check() {                            # check NAME COMMAND...
    if "${@:2}"; then
        say "ok    $1"
        passed=$((passed + 1))
    else
        say "FAIL  $1"
        failed=$((failed + 1))
    fi
}

within() {                           # within SECONDS COMMAND...: polls until it succeeds
    local deadline=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

# shellcheck source=tests/compose/engine.sh
. "$HERE/engine.sh"

# --- The stack ---

scratch=$(mktemp -d)
files=(-f docker-compose.yml)
program=(docker-compose)

compose() { "${program[@]}" "${files[@]}" -p arkrelay-test --env-file "$scratch/env" --project-directory . "$@"; }

# Chooses free ports on each call, because other programs may have taken the earlier ones.
# Never uses the user's own .env: it may have an ARK_API_KEY, and then images would be charged.
write_env() {
    unset ARK_API_KEY ARK_BASE_URL REDIS_URL
    read -r gateway_port sim_port < <(free_ports)
    {
        echo "GATEWAY_PUBLISH=127.0.0.1:$gateway_port"
        echo "ARK_SIM_PUBLISH=127.0.0.1:$sim_port"
        echo "ARK_SIM_PUBLIC_URL=http://127.0.0.1:$sim_port"
        echo "NOFILE_LIMIT=$(ulimit -Hn)"
        [[ -z $engine_pid ]] || echo "REDIS_IMAGE=arkrelay-test-redis"
    } >"$scratch/env"
    [[ $(ulimit -Hn) != unlimited ]] || sed -i 's/unlimited/65536/' "$scratch/env"
}

free_ports() { python3 "$HERE/loopback.py" free-ports 2; }
status_of() { python3 "$HERE/loopback.py" status "http://127.0.0.1:$gateway_port$1"; }
get() { python3 "$HERE/loopback.py" get "http://127.0.0.1:$gateway_port$1"; }

finish() {
    local status=$?
    trap - EXIT INT TERM
    ((status == 0 || status == SKIPPED)) || [[ ! -e $scratch/env ]] || compose logs --no-color --tail 40 2>/dev/null || true
    [[ ! -e $scratch/env ]] || compose down --volumes --rmi local --timeout 5 >/dev/null 2>&1 || true
    engine_stop
    rm -rf "$scratch"
    exit "$status"
}

# --- Checks ---

builds() { compose build >"$scratch/build.log" 2>&1 || { tail -n 40 "$scratch/build.log"; return 1; }; }
comes_up() { compose up -d "$@" >"$scratch/up.log" 2>&1 || { tail -n 20 "$scratch/up.log"; return 1; }; }

all_healthy() {                      # all_healthy SERVICE COUNT
    local healthy
    mapfile -t healthy < <(compose ps -q "$1" | xargs -r docker inspect -f '{{.State.Health.Status}}' | grep -x healthy)
    ((${#healthy[@]} == $2))
}

is_ready() { get /readyz >/dev/null 2>&1; }
says_simulation() { compose logs worker 2>&1 | grep -i simulat >/dev/null; }
key_reaches_the_worker() {
    echo "ARK_API_KEY=a-key-in-dot-env" | cat "$scratch/env" - >"$scratch/env-key"
    [[ $("${program[@]}" "${files[@]}" --env-file "$scratch/env-key" config | grep -c 'ARK_API_KEY: a-key-in-dot-env') == 1 ]]
}
# An option that docker-compose.yml does not list could not be set in .env. Excepted: files, which are in the image, and worker names.
lists_all_options() {                # lists_all_options SERVICE
    local name unlisted=()
    for name in $(compose exec -T "$1" "arkrelay-$1" --print-config | sed -n 's/^\([A-Z_]*\)=.*/\1/p'); do
        [[ $name =~ _FILE$|^WORKER_NAME$|^WORKER_LISTEN$ ]] || grep -qE "^( {6}|  )$name:" docker-compose.yml || unlisted+=("$name")
    done
    ((${#unlisted[@]} == 0)) || { say "$1: not in docker-compose.yml: ${unlisted[*]}"; return 1; }
}
no_key_no_variable() { ! compose exec -T worker env | grep '^ARK_API_KEY' >/dev/null; }

streams() {                          # streams NUMBER: start, process and done arrive, in this order
    local out=$scratch/stream-$1
    python3 scripts/test_generate_stream.py --url "http://127.0.0.1:$gateway_port" --task-id "test-$1" \
        https://example.com/1.jpg https://example.com/2.jpg >"$out" 2>&1 || { cat "$out"; return 1; }
    [[ $(awk '$2 == "s" { print $3 }' "$out" | uniq | xargs) == "start process done" ]] || { cat "$out"; return 1; }
}
picture_opens() {
    local url
    url=$(grep -oE 'http://127.0.0.1:[0-9]+/[^ ]+' "$scratch/stream-1" | tail -n 1)
    [[ -n $url ]] && python3 "$HERE/loopback.py" get "$url" >"$scratch/picture" && [[ -s $scratch/picture ]]
}
stored_url() { get "/api/v1/faceflip/tasks/$1" | grep -oE '/p/[0-9]{8}/[0-9a-f]{32}' | head -n 1; }
is_served() { [[ $(status_of "$(stored_url "$1")") == 200 ]]; }     # not redirected to ARK
picture_is_kept() {
    within 30 is_served test-1 && get "$(stored_url test-1)" >"$scratch/kept" && [[ -s $scratch/kept ]]
}
# The simulator begins with other pictures and Redis keeps its volume, as at an upgrade.
# Without `down`, which also removes the networks: Docker can still count a container that has just been removed as one of theirs, and refuse.
removes_containers() {
    compose stop --timeout 30 >"$scratch/stop.log" 2>&1 && compose rm --force >>"$scratch/stop.log" 2>&1 || { tail -n 20 "$scratch/stop.log"; return 1; }
    [[ ! $(compose ps -q) ]]
}

outlives_the_containers() {
    removes_containers && comes_up && within "$READY_DEADLINE_S" is_ready && is_served test-1 &&
        get "$(stored_url test-1)" | cmp - "$scratch/kept"
}
runs_without_storage() {
    echo "STORAGE=" >>"$scratch/env"
    comes_up && within "$READY_DEADLINE_S" all_healthy outbox 1 && within "$READY_DEADLINE_S" is_ready && streams bare &&
        task_is_done test-bare && [[ -z $(stored_url test-bare) ]]
}
replays() { streams 1 && get /api/v1/faceflip/tasks/test-1 | grep -E '"paid_calls": ?1\b' >/dev/null; }
task_is_done() { get "/api/v1/faceflip/tasks/$1" | grep -E '"status": ?"done"' >/dev/null; }
redis_cli() { compose exec -T redis sh /arkrelay/cli.sh "$@"; }
connected_workers() { redis_cli client list | grep -c 'name=arkrelay-worker:commands.* user=worker'; }
sees_workers() { [[ $(connected_workers) == "$1" ]]; }
four_at_once() {
    local i pids=() bad=0
    for i in a b c d; do
        streams "scaled-$i" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || bad=1
    done
    ((bad == 0))
}

redis_says() { [[ $(redis_cli config get "$1" | tail -n 1 | tr -d '\r') == "$2" ]]; }
refuses_nothing() { [[ -z $(redis_cli acl log | tr -d '\r') ]] || { redis_cli acl log | head -n 30; return 1; }; }
wants_a_password() { [[ $(compose exec -T redis redis-cli ping 2>&1) == *NOAUTH* ]]; }
redis_crashes() { compose kill redis >/dev/null 2>&1 && comes_up --scale worker=4 && within "$READY_DEADLINE_S" is_ready; }

container() { compose ps -q "$1" | head -n 1; }
is_confined() {                      # is_confined SERVICE: not root, no capability, nothing writable, limits on memory and processes
    local facts
    [[ $(compose exec -T "$1" id -u | tr -d '\r') != 0 ]] || { say "$1 runs as root"; return 1; }
    facts=$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{gt .HostConfig.Memory 0}} {{.HostConfig.PidsLimit}}' \
        "$(container "$1")")
    [[ $facts =~ ^true\ \[ALL\]\ \[no-new-privileges:true\]\ true\ [1-9] ]] || { say "$1: $facts"; return 1; }
    compose exec -T "$1" sh -c 'grep -q "^CapEff:.0*$" /proc/self/status && ! touch /here 2>/dev/null'
}
is_on() {                            # is_on SERVICE NETWORK...: in exactly these networks
    local networks
    networks=$(docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}' "$(container "$1")" | xargs)
    shift
    [[ $networks == $(printf 'arkrelay-test_%s ' "$@" | xargs) ]] || { say "on: $networks"; return 1; }
}
# Normally the engine's firewall rules isolate an internal network. This test's own engine has no rules (engine.sh).
is_internal() { [[ $(docker network inspect -f '{{.Internal}}' "arkrelay-test_$1") == "$2" ]]; }
reaches() {                          # reaches SERVICE HOST:PORT
    compose exec -T "$1" timeout 3 bash -c ": </dev/tcp/${2%:*}/${2##*:}" 2>/dev/null
}
address_of() { docker inspect -f "{{(index .NetworkSettings.Networks \"arkrelay-test_$2\").IPAddress}}" "$(container "$1")"; }
only_its_users_reach_redis() {
    reaches worker redis:6379 && reaches gateway redis:6379 && ! reaches ark-sim redis:6379 &&
        ! reaches ark-sim "$(address_of redis core):6379"
}

has_no_compiler() { ! compose exec -T "$1" sh -c 'command -v gcc cc cmake' >/dev/null; }
stops_cleanly() {                    # stops_cleanly SERVICE: every container ends with status 0, none is killed
    local ids statuses
    mapfile -t ids < <(compose ps -q "$1")
    compose stop "$1" >/dev/null 2>&1
    statuses=$(docker inspect -f '{{.State.ExitCode}}' "${ids[@]}" | sort -u | xargs)
    [[ $statuses == 0 ]] || { say "$1 ended with status $statuses"; return 1; }
}

# While a task runs: its client's stream ends, and the client resumes at another gateway without missing an event.
survives_restart() {
    local client
    streams midway &
    client=$!
    within 20 grep -qs ' process ' "$scratch/stream-midway" || return 1
    compose restart gateway >/dev/null 2>&1 && wait "$client" && grep -q resuming "$scratch/stream-midway"
}
finishes_then_stops() {
    local client
    streams drained &
    client=$!
    within 20 grep -qs ' process ' "$scratch/stream-drained" || return 1
    stops_cleanly worker && wait "$client"
}

print_sizes() {
    local service
    for service in gateway worker ark-sim; do
        say "image $service: $(($(docker inspect -f '{{.Image}}' "$(compose ps -q "$service" | head -n 1)" |
            xargs docker image inspect -f '{{.Size}}') / 1000000)) MB"
    done
}

summary() {
    say "took $SECONDS s"
    say "$passed passed, $failed failed"
    ((failed == 0))
}

# --- The run ---

trap finish EXIT
trap 'exit 130' INT TERM
scripts/install_deps.sh container || skip "its packages cannot be installed"
command -v docker-compose >/dev/null || program=(docker compose)

if engine_answers; then
    say "using the engine that runs already"
else
    engine_start >"$scratch/why" || skip "$(cat "$scratch/why")"
    engine_images arkrelay-test-redis >"$scratch/why" 2>&1 || skip "$(tail -n 1 "$scratch/why")"
    files+=(-f "$HERE/engine.yml")
    say "engine: $(docker info -f '{{.ServerVersion}}, {{.Driver}}' 2>/dev/null), started for this test; base images after $SECONDS s"
fi
write_env

check "the images build" builds
((failed == 0)) || summary || exit 1
say "built after $SECONDS s"
write_env
check "the worker gets a key from .env" key_reaches_the_worker
check "the stack starts without a key" comes_up
check "the gateway is ready" within "$READY_DEADLINE_S" is_ready
for service in redis gateway worker outbox ark-sim; do
    check "$service reports healthy" within "$READY_DEADLINE_S" all_healthy "$service" 1
done
((failed == 0)) || summary || exit 1
print_sizes
check "every option of the gateway can be set in .env" lists_all_options gateway
check "every option of the worker can be set in .env" lists_all_options worker
check "without a key the variable is not set in the worker" no_key_no_variable
check "the worker logs that it uses the simulator" says_simulation
check "a POST streams start, process, done" streams 1
check "the same POST again replays the same task, paid once" replays
check "a generated picture opens from the host" picture_opens
check "the picture is copied into the volume and served from there" picture_is_kept
check "Redis does not evict keys" redis_says maxmemory-policy noeviction
check "Redis writes its append-only file" redis_says appendonly yes
check "Redis requires a password" wants_a_password
for service in redis gateway worker outbox ark-sim; do
    check "$service is sandboxed" is_confined "$service"
done
check "Redis is on its own network" is_on redis core
check "the gateway is on the published network" is_on gateway core edge metrics
check "the worker is on the network to ARK" is_on worker core egress metrics
check "the outbox is on the network to ARK" is_on outbox core egress metrics
check "the simulator is on the network to ARK" is_on ark-sim egress
check "the network of Redis has no external access" is_internal core true
check "the published network has external access" is_internal edge false
check "only gateway and worker reach Redis" only_its_users_reach_redis
check "worker scales to four" comes_up --scale worker=4
check "four workers report healthy" within "$READY_DEADLINE_S" all_healthy worker 4
check "four workers and the outbox are connected to Redis" within 30 sees_workers 5
check "four tasks at once are done" four_at_once
check "after a crash of Redis the gateway is ready again" redis_crashes
check "a task from before the crash is still there" within 30 task_is_done test-1
check "a new task after the crash is done" streams 2
for service in gateway worker ark-sim; do
    check "$service has no compiler in its image" has_no_compiler "$service"
done
check "a stream survives a restart of the gateway" survives_restart
check "Redis refused no command" refuses_nothing
check "the picture is served after all containers were recreated" outlives_the_containers
check "stopped workers complete their calls" finishes_then_stops
check "the outbox stops gracefully" stops_cleanly outbox
check "the gateway stops gracefully" stops_cleanly gateway
check "with STORAGE empty everything runs, and no picture is announced as kept" runs_without_storage

summary
