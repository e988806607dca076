#!/bin/sh
# Prints a manual page: write_page.sh PROGRAM TEMPLATE VERSION. Replaces @OPTIONS@ with the output of PROGRAM --help=man; PROGRAM is "-" if
# the template has no @OPTIONS@.
set -eu

while IFS= read -r line; do
    if [ "$line" = @OPTIONS@ ]; then
        "$1" --help=man
    else
        printf '%s\n' "$line"
    fi
done <"$2" | sed "s/@VERSION@/$3/g"
