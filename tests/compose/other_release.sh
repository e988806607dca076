#!/usr/bin/env bash
# Runs the unit tests and the budgets on another release of Debian, with other versions of compiler, libraries and Redis.
# Started by scripts/in_debian.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

scripts/install_deps.sh build unit
cmake --preset dev >/dev/null
cmake --build --preset dev -- --quiet
ctest --preset dev -j "$(nproc)" -R '^unit\.|^integration\.test_budgets$'
