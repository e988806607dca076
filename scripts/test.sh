#!/usr/bin/env bash
# Compiles with gcc and clang and runs all tests: every test in the dev build, most of them also with ASan, UBSan and LeakSanitizer, and
# the tests of the gateway's threads with ThreadSanitizer. Stops at the first failure; CTest's summary is at the end of the output.
#
#   scripts/test.sh                all presets
#   scripts/test.sh dev|asan|tsan  one preset, without compiling releases
#
# The container test is separate: ctest --preset container.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
. scripts/steps.sh

say() { printf 'test: %s\n' "$*" >&2; }

run_preset() {                       # run_preset PRESET
    cmake --preset "$1" >/dev/null
    build "test: preset $1, compiling" --preset "$1"
    say "preset $1, running the tests ($SECONDS s so far)"
    ctest --preset "$1" -j "$(($(nproc) + 1))"     # one more than processors, because tests mostly wait
}

(($#)) || set -- gcc clang tsan dev asan
for step in "$@"; do
    [[ $step =~ ^(gcc|clang|tsan|dev|asan)$ ]] || { say "unknown preset '$step'; the presets are: dev asan tsan"; exit 1; }
done
scripts/install_deps.sh build test
for step in "$@"; do
    case $step in
        gcc | clang) scripts/check.sh "$step" ;;        # compile a release only
        *) run_preset "$step" ;;
    esac
done
