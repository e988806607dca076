#!/usr/bin/env bash
# Prints docs/configuration.md, generated from the option tables of the programs in a directory:
#   scripts/write_configuration.sh build/release/bin > docs/configuration.md
set -euo pipefail
bin=${1:?usage: write_configuration.sh BIN_DIRECTORY}

cat <<'TEXT'
# Configuration

Every option has an environment variable and a flag. Precedence: the flag, the environment variable, the line `NAME=value` in the
file `.env` of the current directory, the default. To read a value from the first line of a file, set `NAME_FILE` to its path instead
of `NAME` (for secrets in containers). Durations need a unit (`500ms`, `15s`, `5m`, `2h`), sizes may have one (`64k`, `8m`).

An invalid value ends the program with one error line and exit code 78. `--print-config` prints the effective values and their
sources, with secrets hidden; `--help` prints these tables.

This page is generated from the programs' option tables by `scripts/write_configuration.sh`.
TEXT

for program in gateway worker; do
    printf '\n## arkrelay-%s\n\n' "$program"
    "$bin/arkrelay-$program" --help=markdown
done
