#!/usr/bin/env bash
# Compiles with gcc and with clang, then runs every test as built for every day; those that sanitizers can say more of again under ASan,
# UBSan and the leak checker, and those of the gateway's threads under ThreadSanitizer.
# The first thing that fails ends it, so that the last lines are always CTest's own summary of what decided.
#
#   scripts/test.sh                everything
#   scripts/test.sh dev|asan|tsan  one preset, without the clang build
#
# The container test is apart: ctest --preset container.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'test: %s\n' "$*" >&2; }

run_preset() {                       # run_preset PRESET
    say "preset $1"
    cmake --preset "$1" >/dev/null
    cmake --build --preset "$1" -- --quiet
    ctest --preset "$1" -j "$(($(nproc) + 1))"     # most tests wait for something most of the time
}

(($#)) || set -- clang tsan dev asan
for step in "$@"; do
    [[ $step =~ ^(clang|tsan|dev|asan)$ ]] || { say "no preset '$step'; there are: dev asan tsan"; exit 1; }
done
scripts/install_deps.sh build test
for step in "$@"; do
    case $step in
        clang) scripts/check.sh clang ;;
        *) run_preset "$step" ;;
    esac
done
