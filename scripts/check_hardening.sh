#!/bin/sh
# Looks into release programs for the protections that cmake/ProjectWarnings.cmake asks for: scripts/check_hardening.sh PROGRAM...
#
# Also run while the container images are built, so it needs no more than sh and binutils.
set -eu
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || { echo "usage: check_hardening.sh PROGRAM..." >&2; exit 1; }

readonly TEXT_MAX=1048576            # bytes of code and constants: the programs are small, and stay so

failed=0

check() {                            # check NAME COMMAND...
    name=$1
    shift
    "$@" || { echo "$program: $name" >&2; failed=1; }
}

# What readelf says is asked once per program.
dynamic_has() { printf '%s\n' "$dynamic" | grep -qE "$1"; }
dynamic_lacks() { ! dynamic_has "$1"; }
imports() { printf '%s\n' "$symbols" | grep -qE " UND +$1(@|$)"; }
segment_is() { printf '%s\n' "$segments" | grep -qE "$1"; }
no_segment_is() { ! segment_is "$1"; }
knows_no_source_folder() { ! grep -qaF "$PWD/" "$program"; }
# Debian's own start-up code is built without, so that the program as a whole cannot be marked for it; ours is ready.
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
    check "looks for libraries in folders of its own" dynamic_lacks 'RPATH|RUNPATH'
    check "has no stack protector" imports __stack_chk_fail
    check "has no fortified calls" imports '__[a-z]+_chk'
    check "marks no branch targets (CET)" has_branch_targets
    check "tells where its sources lay" knows_no_source_folder
    check "is larger than $TEXT_MAX bytes" is_small
done
[ "$failed" -eq 0 ] || exit 1
size "$@" | awk 'NR > 1 { n = split($6, path, "/"); printf "hardening: %s all as asked for, %d kB\n", path[n], ($1 + $2) / 1000 }' >&2
