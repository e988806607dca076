#!/bin/sh
# Starts Redis in a container, with the users of users.acl: start.sh REDIS-SERVER-OPTION...
#
# The passwords of gateway and worker come from the environment. The password of admin is generated at each start and stored in a file
# inside the container, which cli.sh reads.
set -eu
umask 077
here=$(dirname "$0")
state=${REDIS_RUN:-/tmp/arkrelay}

for password in "$REDIS_GATEWAY_PASSWORD" "$REDIS_WORKER_PASSWORD"; do
    case $password in
        '' | *[!A-Za-z0-9._~-]*) echo "start.sh: a password is empty, or has characters other than A-Z a-z 0-9 . _ ~ -" >&2; exit 78 ;;
    esac
done
# Redis 7.2 and later have WAITAOF and need the permission for it. Older versions would reject the ACL file.
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
