#!/usr/bin/env bash
# Benchmarks arkrelay and comparable systems (peers) in one run, and prints one table.
#
#   scripts/bench.sh                        all scenarios: 11 minutes
#   scripts/bench.sh --quick                smaller sizes: 5 minutes
#   scripts/bench.sh throughput streams     only these scenarios: throughput overhead slow streams fleet growth startup
#                                           door limit copies serving
#   scripts/bench.sh --no-peers             only arkrelay
#   scripts/bench.sh --aof always           Redis with appendfsync always
#   scripts/bench.sh --quick --against v0.2 throughput
#                                           this tree and an older revision in alternating rounds (--rounds 5); or a folder of programs
#
# Writes raw results to docs/benchmarks/ (described in its README.md), with --against to build/bench-against.json. Everything, including the
# load generator, runs on this machine's loopback. Compare figures of the same run only: a machine's speed changes between runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

groups=(build run bench)
arguments=()
against=
while (($#)); do
    case $1 in
        --against) against=${2:?--against needs a git revision or a folder}; shift; groups=(build run) ;;
        --no-peers) groups=(build run); arguments+=("$1") ;;
        *) arguments+=("$1") ;;
    esac
    shift
done

build() (                            # build FOLDER CMAKE_ARGUMENT...: the programs of the source tree in FOLDER, preset release
    cd "$1" && mkdir -p build || exit
    cmake --preset release -DARKRELAY_WERROR=OFF "${@:2}" >build/configure.log || { cat build/configure.log; exit 1; }
    cmake --build --preset release --target arkrelay-gateway arkrelay-worker arkrelay-ark-sim >&2
)

build_revision() {                   # build_revision REVISION: prints the folder of its programs
    local commit folder
    commit=$(git rev-parse --verify --quiet "$1^{commit}") || { echo "bench: '$1' is neither a folder nor a git revision" >&2; return 1; }
    folder=$PWD/build/bench-${commit:0:12}
    if [[ ! -e $folder/CMakePresets.json ]]; then
        mkdir -p "$folder.part"
        git archive "$commit" | tar -x -C "$folder.part"
        mv "$folder.part" "$folder"
    fi
    echo "bench: building $1 in $folder" >&2
    build "$folder" >&2 && printf '%s\n' "$folder/build/release/bin"
}

scripts/install_deps.sh "${groups[@]}"
if [[ -n $against ]]; then
    if [[ -d $against ]]; then
        against=$(realpath "$against")
    else
        against=$(build_revision "$against")
    fi
    arguments+=(--against "$against")
fi
build . -DARKRELAY_BENCH=ON
cmake --build --preset release --target sse_load >&2

exec python3 -B tests/bench/run_bench.py "$PWD/build/release/bin" "${arguments[@]}"
