#!/usr/bin/env bash
# Installs the Debian packages that a group of scripts needs. Silent if all are installed.
#
#   scripts/install_deps.sh GROUP...      build, run, test, unit, check, fuzz, bench, bench-npm, s3rver, clients, container, debian
#
# For Debian 12 and 13. Needs root or sudo only if a package is missing. bench also tries bench-npm, which installs npm packages of
# pinned versions in build/bench; without them, scripts/bench.sh skips the peer that needs them. s3rver installs another
# implementation of S3 in build/s3rver; without it, one test of the storage is skipped.
set -euo pipefail

declare -A packages=(
    [build]="gcc libc6-dev cmake ninja-build pkgconf
             libevent-dev libhiredis-dev libcurl4-openssl-dev libjansson-dev libssl-dev"
    [run]="redis-server"
    [test]="redis-server redis-tools strace valgrind iproute2 iptables libcmocka-dev python3 openssl nginx caddy prometheus haproxy slowhttptest tmux
            chromium chromium-driver fonts-wqy-microhei curl python3-jsonschema
            dpkg-dev lintian mandoc groff-base systemd"
    [unit]="redis-server valgrind libcmocka-dev python3 openssl"
    [check]="clang clang-format clang-tidy cppcheck binutils"
    [fuzz]="clang libclang-rt-dev"
    [bench]="python3 binutils curl nginx openssl wrk libnginx-mod-nchan
             python3-fastapi python3-uvicorn python3-redis python3-aiohttp python3-uvloop python3-httptools"
    [bench-npm]="nodejs npm"
    [s3rver]="nodejs npm"
    [clients]="curl wget nodejs npm python3 python3-requests python3-httpx python3-aiohttp default-jdk-headless libhttpclient-java libokhttp-java
             golang-go php-cli php-curl php-guzzlehttp-guzzle ruby ruby-faraday perl libwww-perl nginx haproxy caddy"
    [container]="docker.io docker-compose debootstrap iptables python3"
    [debian]="debootstrap"
)
# shellcheck source=/dev/null
debian=$(. /etc/os-release && printf '%s' "${VERSION_ID:-0}")
((${debian%%.*} < 13)) || packages[container]+=" docker-cli"   # a separate package since Debian 13

say() { printf 'install_deps: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# An existing program satisfies these packages, also if it was not installed by Debian's package manager.
declare -A programs=([redis-server]="redis-server valkey-server" [nodejs]="node" [npm]="npm" [default-jdk-headless]="javac" [golang-go]="go")

is_installed() {
    local program
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]] && return
    for program in ${programs[$1]:-}; do
        ! command -v "$program" >/dev/null || return 0
    done
    return 1
}

missing_packages() {
    local group package
    for group in "$@"; do
        for package in ${packages[$group]}; do
            is_installed "$package" || printf '%s\n' "$package"
        done
    done | sort -u
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif ! command -v sudo >/dev/null; then
        fail "not root and no sudo; as root: apt-get install -y --no-install-recommends ${missing[*]}"
    elif [[ -t 0 ]]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# Debian starts a service when its package is installed. The scripts need none (run.sh starts a private Redis), so a temporary policy-rc.d
# prevents the start, unless the machine has its own policy.
policy=/usr/sbin/policy-rc.d
forbid_service_start() {
    [[ -e $policy ]] && return
    trap 'as_root rm -f "$policy"' EXIT
    # shellcheck disable=SC2016  # $0 belongs to the inner shell
    as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$0" && chmod 755 "$0"' "$policy"
}

# Disables the services of the packages installed by this run, so that they do not start at the next boot.
declare -A services=([redis-server]="redis-server" [nginx]="nginx" [caddy]="caddy" [prometheus]="prometheus" [haproxy]="haproxy" [docker.io]="docker.service docker.socket containerd.service")
disable_new_services() {
    local package
    [[ -d /run/systemd/system ]] || return 0
    for package in "$@"; do
        # shellcheck disable=SC2086  # a list of names
        [[ -z ${services[$package]:-} ]] || as_root systemctl disable --quiet ${services[$package]} || true
    done
}

install_packages() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    forbid_service_start
    as_root "${apt[@]}" update || say "apt-get update failed, continuing with the existing package lists"
    as_root "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null || fail "apt-get could not install: $*"
    disable_new_services "$@"
}

# Node.js packages of pinned versions. `installed`, a copy of the lock file, is written last.
install_npm_packages() {             # install_npm_packages FROM TO
    local from=$1 to=$2
    cmp -s "$from/package-lock.json" "$to/installed" && return
    rm -rf "$to"
    mkdir -p "$to"
    cp "$from/package.json" "$from/package-lock.json" "$to"
    (cd "$to" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retries=1 --fetch-timeout=30000) >&2 ||
        { rm -rf "$to"; fail "npm could not install the packages of $from"; }
    cp "$from/package-lock.json" "$to/installed"
}

(($#)) || fail "missing argument: GROUP; the groups are: ${!packages[*]}"
for group in "$@"; do
    [[ -n ${packages[$group]:-} ]] || fail "unknown group '$group'; the groups are: ${!packages[*]}"
done
command -v dpkg-query >/dev/null || fail "this script supports only Debian; see the list of packages at its top"

mapfile -t missing < <(missing_packages "$@")
if ((${#missing[@]})); then
    command -v apt-get >/dev/null || fail "apt-get not found; missing packages: ${missing[*]}"
    say "installing ${missing[*]}"
    install_packages "${missing[@]}"
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]} == 0)) || fail "still missing after installation: ${missing[*]}"
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ " $* " != *" bench-npm "* ]] || install_npm_packages tests/bench/peers/bullmq build/bench/bullmq
[[ " $* " != *" s3rver "* ]] || install_npm_packages tests/support/s3rver build/s3rver
[[ " $* " != *" bench "* ]] || "$BASH" scripts/install_deps.sh bench-npm || say "continuing without the npm packages"
