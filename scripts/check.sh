#!/usr/bin/env bash
# Static checks to run before a commit. Without arguments, all steps.
#
#   scripts/check.sh [format] [gcc] [clang] [tidy] [cppcheck]
#
# tidy and cppcheck find faults that compilers do not report; .clang-tidy lists the enabled checks, and why others are disabled.
# The tools' versions differ in details. Debian 12's versions are authoritative.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
. scripts/steps.sh

say() { printf 'check: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

check_format() {
    local sources
    mapfile -d '' -t sources < <(find common gateway worker simulator tests -name '*.[ch]' -print0)
    clang-format --dry-run -Werror "${sources[@]}" || fail "format: files differ from .clang-format; run clang-format -i"
    say "format: ${#sources[@]} files, no differences"
}

# Builds everything, including tests, in release mode with warnings as errors: optimisation enables more warnings.
check_compiler() {                   # check_compiler COMPILER
    local build=build/check-$1
    cmake --preset release -B "$build" -DCMAKE_C_COMPILER="$1" -DARKRELAY_TESTS=ON -DARKRELAY_WERROR=ON >/dev/null
    build "check: $1, compiling a release with warnings as errors" "$build" || fail "$1: does not compile without warnings"
    scripts/check_hardening.sh "$build"/bin/arkrelay-* || fail "$1: a hardening option is missing"
    say "$1: compiles without warnings"
}

# The sources for tidy and cppcheck: programs and libraries, without tests.
list_sources() {
    cmake --preset dev >/dev/null
    find common gateway worker simulator -name '*.c' | sort
}

check_tidy() {
    local sources
    mapfile -t sources < <(list_sources)
    say "tidy: ${#sources[@]} files, a few minutes"
    printf '%s\n' "${sources[@]}" | xargs -n 6 -P "$(nproc)" clang-tidy -p build/dev --quiet 2>/dev/null ||
        fail "tidy: there are findings"
    say "tidy: ${#sources[@]} files, no findings"
}

# unusedFunction and style are not enabled. readdirCalled recommends readdir_r, which is deprecated; readdir is safe here, because each
# thread reads its own DIR.
check_cppcheck() {
    local sources
    mapfile -t sources < <(list_sources)
    say "cppcheck: ${#sources[@]} files, a few minutes"
    cppcheck --std=c11 --language=c --enable=warning,performance,portability --inline-suppr --error-exitcode=1 --quiet \
        -j "$(nproc)" -I . -D_GNU_SOURCE -D__GNUC__ -DARKRELAY_VERSION='"0"' --library=posix --suppress=missingIncludeSystem \
        --suppress=readdirCalled \
        --include="/usr/include/$(gcc -print-multiarch)/sys/queue.h" \
        "${sources[@]}" || fail "cppcheck: there are findings"
    say "cppcheck: ${#sources[@]} files, no findings"
}

readonly STEPS="format gcc clang tidy cppcheck"
# shellcheck disable=SC2086  # a list of words
(($#)) || set -- $STEPS
for step in "$@"; do
    [[ " $STEPS " == *" $step "* ]] || fail "unknown step '$step'; the steps are: $STEPS"
done
scripts/install_deps.sh build test check
for step in "$@"; do
    case $step in
        format | tidy | cppcheck) "check_$step" ;;
        *) check_compiler "$step" ;;
    esac
done
say "passed: $*"
