#!/usr/bin/env bash
# Measures the costs that tests/integration/budgets.json limits, on this system: Redis commands, memory and instructions.
#
#   scripts/budgets.sh measure                      print the figures and the budgets of this system
#   scripts/budgets.sh update                       make the figures the budgets of this system
#   scripts/in_debian.sh 13 scripts/budgets.sh update     the same for another release of Debian
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
. scripts/steps.sh

[[ ${1:-} =~ ^(measure|update)$ ]] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 1; }
scripts/install_deps.sh build unit
cmake --preset dev >/dev/null
build "budgets: preset dev, compiling" --preset dev
PYTHONPATH=tests ARKRELAY_BIN=$PWD/build/dev/bin exec python3 -B tests/integration/test_budgets.py "--$1"
