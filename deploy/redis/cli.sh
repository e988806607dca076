#!/bin/sh
# Runs redis-cli as the user admin inside the container: docker compose exec redis /arkrelay/cli.sh info
REDISCLI_AUTH=$(cat "${REDIS_RUN:-/tmp/arkrelay}/admin-password")
export REDISCLI_AUTH
exec redis-cli --no-auth-warning --user admin "$@"
