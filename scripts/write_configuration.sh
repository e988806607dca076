#!/usr/bin/env bash
# Prints docs/configuration.md from the option tables of the programs in a folder:
#   scripts/write_configuration.sh build/release/bin > docs/configuration.md
set -euo pipefail
bin=${1:?usage: write_configuration.sh FOLDER_WITH_THE_PROGRAMS}

cat <<'TEXT'
# Configuration

Every option has a name in the environment and a flag. Its value is the first of: the flag, the environment, the line
`NAME=value` in the file `.env` of the current directory, the default. `NAME_FILE` instead of `NAME` names a file whose first
line is the value, for secrets in containers. Durations take a unit (`500ms`, `15s`, `5m`, `2h`), sizes too (`64k`, `8m`).

A value that is not allowed ends the program with one line that says so, and exit code 78. `--print-config` shows what is in
effect and where it comes from, with secrets hidden; `--help` prints these tables.

This page is made from the programs' tables by `scripts/write_configuration.sh`.
TEXT

for program in gateway worker; do
    printf '\n## arkrelay-%s\n\n' "$program"
    "$bin/arkrelay-$program" --help=markdown
done
