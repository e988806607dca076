#!/bin/sh
# Starts Prometheus in a container: start.sh PROMETHEUS-OPTION...
#
# The gateway's /metrics wants the operators' key where there is one; Prometheus reads it from a file that only this container sees.
set -eu
umask 077
printf '%s' "${GATEWAY_ADMIN_KEY:-}" >/tmp/admin-key
exec prometheus --config.file=/arkrelay/prometheus.yml --storage.tsdb.path=/prometheus "$@"
