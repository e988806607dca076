#!/usr/bin/env bash
# Layout and warnings: quick to run before a commit. Without arguments every step.
#
#   scripts/check.sh [format] [gcc] [clang]
#
# The layout is clang-format's; its versions differ in small things, and the one of Debian 12 (14) decides.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'check: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

check_format() {
    local sources
    mapfile -d '' -t sources < <(find common gateway worker tests -name '*.[ch]' -print0)
    clang-format --dry-run -Werror "${sources[@]}" || fail "format: differs; clang-format -i puts it right"
    say "format: ${#sources[@]} files, all as .clang-format says"
}

# A release build of everything, tests included, with warnings as errors: the optimiser sees more than a debug build does.
check_compiler() {                   # check_compiler COMPILER
    local build=build/check-$1
    cmake --preset release -B "$build" -DCMAKE_C_COMPILER="$1" -DARKRELAY_TESTS=ON -DARKRELAY_WERROR=ON >/dev/null
    cmake --build "$build" -- --quiet || fail "$1: does not compile without warnings"
    say "$1: compiles without warnings"
}

(($#)) || set -- format gcc clang
for step in "$@"; do
    [[ $step =~ ^(format|gcc|clang)$ ]] || fail "no step '$step'; there are: format gcc clang"
done
scripts/install_deps.sh build test check
for step in "$@"; do
    case $step in
        format) check_format ;;
        *) check_compiler "$step" ;;
    esac
done
say "all good: $*"
