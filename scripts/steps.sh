# Sourced by test.sh, check.sh and fuzz.sh.
# shellcheck shell=bash

# build NAME CMAKE_BUILD_ARGUMENT...: compiles. On a terminal ninja shows its progress. Elsewhere it prints warnings and errors only, between
# a line at the start and a line with the elapsed time.
build() {
    local name=$1 quiet=(-- --quiet) start=$SECONDS
    shift
    [[ ! -t 1 ]] || quiet=()
    printf '%s\n' "$name" >&2
    cmake --build "$@" "${quiet[@]}" || return
    printf '%s: done in %d s\n' "$name" $((SECONDS - start)) >&2
}
