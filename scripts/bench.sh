#!/usr/bin/env bash
# Measures arkrelay beside what people would use instead, in one run, and prints one table.
#
#   scripts/bench.sh                        everything: 10 minutes
#   scripts/bench.sh --quick                smaller, within 4 minutes
#   scripts/bench.sh throughput streams     these scenarios: throughput overhead slow streams fleet growth startup
#   scripts/bench.sh --no-peers             arkrelay alone
#   scripts/bench.sh --aof always           with a Redis that writes everything to disk before it answers
#
# Raw results go to docs/benchmarks/ (its README.md says how to read them). Everything runs on this machine's loopback, the load
# included, and figures of two runs are not to be compared: machines drift.
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
