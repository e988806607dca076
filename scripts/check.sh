#!/usr/bin/env bash
# Layout and warnings: quick to run before a commit. Without arguments every step.
#
#   scripts/check.sh [format] [gcc] [clang] [tidy] [cppcheck]
#
# tidy and cppcheck look at the programs for what compilers do not see; .clang-tidy says what is asked, and what is not and why.
# The layout is clang-format's. Versions of all these tools differ in small things, and the ones of Debian 12 decide.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
. scripts/steps.sh

say() { printf 'check: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

check_format() {
    local sources
    mapfile -d '' -t sources < <(find common gateway worker simulator tests -name '*.[ch]' -print0)
    clang-format --dry-run -Werror "${sources[@]}" || fail "format: differs; clang-format -i puts it right"
    say "format: ${#sources[@]} files, all as .clang-format says"
}

# A release build of everything, tests included, with warnings as errors: the optimiser sees more than a debug build does.
check_compiler() {                   # check_compiler COMPILER
    local build=build/check-$1
    cmake --preset release -B "$build" -DCMAKE_C_COMPILER="$1" -DARKRELAY_TESTS=ON -DARKRELAY_WERROR=ON >/dev/null
    build "check: $1, compiling a release with warnings as errors" "$build" || fail "$1: does not compile without warnings"
    scripts/check_hardening.sh "$build"/bin/arkrelay-* || fail "$1: a release lacks a protection"
    say "$1: compiles without warnings"
}

# What both tools look at: the programs and their libraries, as they are compiled.
list_sources() {
    cmake --preset dev >/dev/null
    find common gateway worker simulator -name '*.c' | sort
}

check_tidy() {
    local sources
    mapfile -t sources < <(list_sources)
    say "tidy: ${#sources[@]} files, a few minutes"
    printf '%s\n' "${sources[@]}" | xargs -n 6 -P "$(nproc)" clang-tidy -p build/dev --quiet 2>/dev/null ||
        fail "tidy: found something"
    say "tidy: ${#sources[@]} files, no findings"
}

# unusedFunction and style are left to the compilers and to readers. readdir is fine for threads with a folder each; readdir_r, which
# readdirCalled asks for, is deprecated.
check_cppcheck() {
    local sources
    mapfile -t sources < <(list_sources)
    say "cppcheck: ${#sources[@]} files, a few minutes"
    cppcheck --std=c11 --language=c --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --quiet \
        -j "$(nproc)" -I . -D_GNU_SOURCE -D__GNUC__ -DARKRELAY_VERSION='"0"' --library=posix --suppress=missingIncludeSystem \
        --suppress=readdirCalled \
        --include="/usr/include/$(gcc -print-multiarch)/sys/queue.h" \
        "${sources[@]}" || fail "cppcheck: found something"
    say "cppcheck: ${#sources[@]} files, no findings"
}

readonly STEPS="format gcc clang tidy cppcheck"
# shellcheck disable=SC2086  # a list of words
(($#)) || set -- $STEPS
for step in "$@"; do
    [[ " $STEPS " == *" $step "* ]] || fail "no step '$step'; there are: $STEPS"
done
scripts/install_deps.sh build test check
for step in "$@"; do
    case $step in
        format | tidy | cppcheck) "check_$step" ;;
        *) check_compiler "$step" ;;
    esac
done
say "all good: $*"
