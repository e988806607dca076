#!/bin/sh
# Prints a manual page: write_page.sh PROGRAM TEMPLATE VERSION. Where the template says @OPTIONS@ comes what PROGRAM says of its
# options; PROGRAM is "-" where there is nothing to ask.
set -eu

while IFS= read -r line; do
    if [ "$line" = @OPTIONS@ ]; then
        "$1" --help=man
    else
        printf '%s\n' "$line"
    fi
done <"$2" | sed "s/@VERSION@/$3/g"
