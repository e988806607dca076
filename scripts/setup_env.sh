#!/usr/bin/env bash
# Asks for the ARK API key and writes it to .env, readable by its owner alone. Other lines of an existing .env stay as they are.
# Passwords for the Redis of docker compose are made up where .env has none; so is, for who wants one, the operators' key.
#
#   scripts/setup_env.sh                      asks, without showing what is typed
#   scripts/setup_env.sh <key-file            key on the first line of stdin; a second line, if there is one, names the model; a
#                                             third one, "yes", asks for an operators' key
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077

say() { printf 'setup_env: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

ask() {                              # ask VARIABLE PROMPT [-s]; the prompt shows on a terminal only
    IFS= read -r "${@:3}" -p "$2" "$1" || true
    [[ $# -eq 2 || ! -t 0 ]] || echo >&2
}

# The lines of .env without the given name; what a comment says stays.
without() {                          # without NAME
    grep -vE "^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=" || true
}

has() { [[ -e .env ]] && grep -qE "^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=[[:space:]]*[^[:space:]]" .env; }
random_password() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }
add_password() { has "$1" || printf '%s=%s\n' "$1" "$(random_password)"; }

(($# == 0)) || fail "takes no arguments: it asks for the key, or reads it from stdin; .env is unchanged"
key='' model='' operators=''
ask key 'ARK API key (not shown): ' -s
key=${key%$'\r'}
[[ -n $key ]] || fail "no key given; .env is unchanged"
[[ $key =~ ^[A-Za-z0-9._~+/=-]{8,512}$ ]] || fail "this does not look like a key (8 to 512 characters, no blanks); .env is unchanged"
ask model 'Model (Enter keeps the default): '
model=${model%$'\r'}
[[ $model =~ ^[A-Za-z0-9._:/-]*$ ]] || fail "this does not look like the name of a model; .env is unchanged"
has GATEWAY_ADMIN_KEY || ask operators "Make a key for the operators' addresses under /admin/? (yes or Enter) "

new=$(mktemp .env.XXXXXX)
trap 'rm -f "$new"' EXIT
{
    if [[ -e .env ]]; then
        without ARK_API_KEY <.env | if [[ -n $model ]]; then without ARK_MODEL; else cat; fi |
            if [[ $operators == yes* ]]; then without GATEWAY_ADMIN_KEY; else cat; fi
    fi
    printf 'ARK_API_KEY=%s\n' "$key"
    [[ -z $model ]] || printf 'ARK_MODEL=%s\n' "$model"
    [[ $operators != yes* ]] || add_password GATEWAY_ADMIN_KEY
    add_password REDIS_GATEWAY_PASSWORD
    add_password REDIS_WORKER_PASSWORD
} >"$new"
chmod 600 "$new"
mv -f "$new" .env
[[ $operators != yes* ]] || say "made GATEWAY_ADMIN_KEY; it stands in .env"
say "wrote .env (mode 0600); from the next start on, pictures are real and charged to this key's account"
