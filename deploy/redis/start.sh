#!/bin/sh
# Starts Redis in a container, with the users of users.acl: start.sh REDIS-SERVER-OPTION...
#
# The passwords of gateway and worker come from the environment. The administrator's is made anew at each start and stands in a
# file that only this container sees; cli.sh uses it.
set -eu
umask 077
here=$(dirname "$0")
state=${REDIS_RUN:-/tmp/arkrelay}

for password in "$REDIS_GATEWAY_PASSWORD" "$REDIS_WORKER_PASSWORD"; do
    case $password in
        '' | *[!A-Za-z0-9._~-]*) echo "start.sh: a password is empty, or has other characters than A-Z a-z 0-9 . _ ~ -" >&2; exit 78 ;;
    esac
done
# A Redis that has WAITAOF (7.2) takes the right to it; an older one would refuse the file.
more=
if redis-server --version | grep -Eq 'v=(7\.[2-9]|[89]\.|[1-9][0-9])'; then
    more='s/^user worker .*/& +waitaof/'
fi
mkdir -p "$state"
head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$state/admin-password"
sed -e "s/>ADMIN_PASSWORD/>$(cat "$state/admin-password")/" \
    -e "s/>GATEWAY_PASSWORD/>$REDIS_GATEWAY_PASSWORD/" \
    -e "s/>WORKER_PASSWORD/>$REDIS_WORKER_PASSWORD/" -e "$more" "$here/users.acl" >"$state/users.acl"
exec redis-server --aclfile "$state/users.acl" "$@"
