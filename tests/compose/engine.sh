# shellcheck shell=bash
# engine - a container engine for one test run, sourced by run.sh
#
# engine_start sets DOCKER_HOST to an engine with its own data, sockets and pid file. engine_stop ends it and removes them.
# The engine runs without a bridge, firewall rules or forwarding, so it does not change the machine's network. Containers of one compose
# network see each other, published ports go through docker-proxy, and builds use the machine's network.
#
# engine_images creates two images that normally come from a registry: debian:trixie-slim, bootstrapped from the machine's Debian
# mirror, and one with Debian's redis-server, which replaces redis:7-alpine.

# shellcheck source=scripts/debian_base.sh
. scripts/debian_base.sh

readonly ENGINE_DEADLINE_S=60

engine_pid=
engine_data=                         # images and containers: on disk, in the cache's folder
engine_run=                          # sockets and pid files: their paths must be short

engine_cache=${XDG_CACHE_HOME:-$HOME/.cache}/arkrelay-compose-test

engine_answers() { docker info >/dev/null 2>&1; }
engine_is_gone() { ! kill -0 "$engine_pid" 2>/dev/null; }
engine_answers_or_is_gone() { engine_answers || engine_is_gone; }

engine_start() {                     # prints the reason on failure
    local why
    ((EUID == 0)) || { echo "root is required"; return 1; }
    mkdir -p "$engine_cache"
    engine_data=$(mktemp -d "$engine_cache/engine.XXXXXX")
    engine_run=$(mktemp -d /tmp/arkrelay-engine.XXXXXX)
    export DOCKER_HOST=unix://$engine_run/docker.sock DOCKER_BUILDKIT=0
    dockerd --host "$DOCKER_HOST" --data-root "$engine_data" --exec-root "$engine_run/exec" --pidfile "$engine_run/docker.pid" \
        --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
        >"$engine_run/log" 2>&1 </dev/null &
    engine_pid=$!
    within "$ENGINE_DEADLINE_S" engine_answers_or_is_gone || { echo "dockerd does not answer"; return 1; }
    if engine_is_gone; then
        why=$(grep -vE 'level=(info|debug|warning)' "$engine_run/log" | tail -n 1)
        echo "dockerd ended: ${why:-no reason given}"
        return 1
    fi
}

engine_stop() {
    [[ -n $engine_pid ]] || return 0
    kill -TERM "$engine_pid" 2>/dev/null || true
    within 20 engine_is_gone || engine_kill
    # A killed engine leaves mounts, which prevent the removal of its folder.
    awk -v data="$engine_data" -v run="$engine_run" 'index($2, data) == 1 || index($2, run) == 1 { print $2 }' /proc/mounts |
        sort -r | xargs -r umount -l || true
    rm -rf "$engine_data" "$engine_run"
    rmdir /sys/fs/cgroup/docker /sys/fs/cgroup/*/docker 2>/dev/null || true
}

engine_kill() {
    local pid_file
    for pid_file in "$engine_run/exec/containerd/containerd.pid" "$engine_run/docker.pid"; do
        [[ ! -s $pid_file ]] || kill -KILL "$(cat "$pid_file")" 2>/dev/null || true
    done
}

engine_images() {                    # prints the reason on failure
    local base
    base=$debian_cache/trixie-$(dpkg --print-architecture).tar
    [[ -s $base ]] || debian_base trixie "$base" || return 1
    docker import --change 'CMD ["bash"]' "$base" debian:trixie-slim >/dev/null || return 1
    docker run --rm --network none debian:trixie-slim true || return 1
    docker build --quiet --network host --tag "$1" - >/dev/null <<'END' || return 1
FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* \
 && mkdir /data && chown 999:1000 /data
END
}
