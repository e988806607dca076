#!/usr/bin/env bash
# Asks for the ARK API key and writes it to .env, readable only by its owner. Other lines of an existing .env are kept.
# Also generates the passwords for the Redis of docker compose, unless .env has them, and on request an admin key.
#
#   scripts/setup_env.sh                      asks, with hidden input
#   scripts/setup_env.sh <key-file            reads stdin: the key on the first line; the model on an optional second line; "yes" on an
#                                             optional third line generates an admin key
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077

say() { printf 'setup_env: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

ask() {                              # ask VARIABLE PROMPT [-s]; the prompt shows on a terminal only
    IFS= read -r "${@:3}" -p "$2" "$1" || true
    [[ $# -eq 2 || ! -t 0 ]] || echo >&2
}

# Removes the assignments of a name from .env. Comments are kept.
without() {                          # without NAME
    grep -vE "^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=" || true
}

has() { [[ -e .env ]] && grep -qE "^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=[[:space:]]*[^[:space:]]" .env; }
random_password() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }
add_password() { has "$1" || printf '%s=%s\n' "$1" "$(random_password)"; }

(($# == 0)) || fail "no arguments are allowed: the key is read from the terminal or from stdin; .env is unchanged"
key='' model='' wants_admin_key=''
ask key 'ARK API key (not shown): ' -s
key=${key%$'\r'}
[[ -n $key ]] || fail "no key given; .env is unchanged"
[[ $key =~ ^[A-Za-z0-9._~+/=-]{8,512}$ ]] || fail "this does not look like a key (8 to 512 characters, no blanks); .env is unchanged"
ask model 'Model (Enter: the default): '
model=${model%$'\r'}
[[ $model =~ ^[A-Za-z0-9._:/-]*$ ]] || fail "this does not look like the name of a model; .env is unchanged"
has GATEWAY_ADMIN_KEY || ask wants_admin_key "Generate an admin key for the dashboard and the admin API? (yes or Enter) "

new=$(mktemp .env.XXXXXX)
trap 'rm -f "$new"' EXIT
{
    if [[ -e .env ]]; then
        without ARK_API_KEY <.env | if [[ -n $model ]]; then without ARK_MODEL; else cat; fi |
            if [[ $wants_admin_key == yes* ]]; then without GATEWAY_ADMIN_KEY; else cat; fi
    fi
    printf 'ARK_API_KEY=%s\n' "$key"
    [[ -z $model ]] || printf 'ARK_MODEL=%s\n' "$model"
    [[ $wants_admin_key != yes* ]] || add_password GATEWAY_ADMIN_KEY
    add_password REDIS_GATEWAY_PASSWORD
    add_password REDIS_WORKER_PASSWORD
} >"$new"
chmod 600 "$new"
mv -f "$new" .env
[[ $wants_admin_key != yes* ]] || say "generated GATEWAY_ADMIN_KEY; it is in .env"
say "wrote .env (mode 0600); after the next start, ARK is called and images are charged to this key's account"
