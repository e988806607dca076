#!/bin/sh
# Checks that release programs have the hardening that cmake/ProjectWarnings.cmake enables: scripts/check_hardening.sh PROGRAM...
#
# Also runs in the build of the container images, so it uses only sh and binutils.
set -eu
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || { echo "usage: check_hardening.sh PROGRAM..." >&2; exit 1; }

readonly TEXT_MAX=1572864            # maximum bytes of code and constants

failed=0

check() {                            # check NAME COMMAND...
    name=$1
    shift
    "$@" || { echo "$program: $name" >&2; failed=1; }
}

# readelf runs once per program; these functions search its output.
dynamic_has() { printf '%s\n' "$dynamic" | grep -qE "$1"; }
dynamic_lacks() { ! dynamic_has "$1"; }
imports() { printf '%s\n' "$symbols" | grep -qE " UND +$1(@|$)"; }
segment_is() { printf '%s\n' "$segments" | grep -qE "$1"; }
no_segment_is() { ! segment_is "$1"; }
has_no_source_path() { ! grep -qaF "$PWD/" "$program"; }
# Debian's start-up code has no CET markers, so the linker cannot mark the program as a whole. Counts the markers of our own code.
has_branch_targets() { [ "$(uname -m)" != x86_64 ] || [ "$(objdump -d "$program" | grep -c endbr64)" -gt 100 ]; }
is_small() { [ "$(size "$program" | awk 'NR == 2 { print $1 }')" -le "$TEXT_MAX" ]; }

for program in "$@"; do
    [ -x "$program" ] || { echo "$program: no such program" >&2; exit 1; }
    dynamic=$(readelf -dW "$program")
    symbols=$(readelf --dyn-syms -W "$program")
    segments=$(readelf -lW "$program")
    check "is not position independent (PIE)" dynamic_has 'FLAGS_1.*PIE'
    check "binds lazily: no BIND_NOW" dynamic_has 'FLAGS.*(BIND_)?NOW'
    check "has no RELRO" segment_is '^ *GNU_RELRO'
    check "has an executable stack" segment_is '^ *GNU_STACK.* RW +0x'
    check "has memory that is both writable and executable" no_segment_is '^ *LOAD.* RWE '
    check "relocates its code" dynamic_lacks 'TEXTREL'
    check "has an RPATH or RUNPATH" dynamic_lacks 'RPATH|RUNPATH'
    check "has no stack protector" imports __stack_chk_fail
    check "has no fortified calls" imports '__[a-z]+_chk'
    check "has no branch target markers (CET)" has_branch_targets
    check "contains the path of its sources" has_no_source_path
    check "is larger than $TEXT_MAX bytes" is_small
done
[ "$failed" -eq 0 ] || exit 1
size "$@" | awk 'NR > 1 { n = split($6, path, "/"); printf "hardening: %s passed, %d kB\n", path[n], ($1 + $2) / 1000 }' >&2
