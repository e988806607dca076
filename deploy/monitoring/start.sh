#!/bin/sh
# Starts Prometheus in a container: start.sh PROMETHEUS-OPTION...
#
# The gateway's /metrics requires the admin key if one is set. Prometheus reads it from a file inside this container.
set -eu
umask 077
printf '%s' "${GATEWAY_ADMIN_KEY:-}" >/tmp/admin-key
exec prometheus --config.file=/arkrelay/prometheus.yml --storage.tsdb.path=/prometheus "$@"
