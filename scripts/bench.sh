#!/usr/bin/env bash
# Benchmarks arkrelay and comparable systems (peers) in one run, and prints one table.
#
#   scripts/bench.sh                        all scenarios: 10 minutes
#   scripts/bench.sh --quick                smaller sizes: 4 minutes
#   scripts/bench.sh throughput streams     only these scenarios: throughput overhead slow streams fleet growth startup
#   scripts/bench.sh --no-peers             only arkrelay
#   scripts/bench.sh --aof always           Redis with appendfsync always
#
# Writes raw results to docs/benchmarks/ (described in its README.md). Everything, including the load generator, runs on this machine's
# loopback. Compare figures of the same run only: a machine's speed changes between runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

groups=(build run bench)
for word in "$@"; do
    [[ $word != --no-peers ]] || groups=(build run)
done

scripts/install_deps.sh "${groups[@]}"
mkdir -p build
cmake --preset release -DARKRELAY_WERROR=OFF -DARKRELAY_BENCH=ON >build/configure.log || { cat build/configure.log; exit 1; }
cmake --build --preset release --target arkrelay-gateway arkrelay-worker arkrelay-ark-sim sse_load >&2

exec python3 -B tests/bench/run_bench.py "$PWD/build/release/bin" "$@"
