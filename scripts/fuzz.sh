#!/usr/bin/env bash
# Fuzzes the parsers of untrusted input: builds the targets of tests/fuzz and runs each with its corpus.
#
#   scripts/fuzz.sh [SECONDS] [TARGET]...      SECONDS per target (default: 10), one target per processor at a time
#
# Fails if there is a finding. Writes findings to build/fuzz/findings and a log per target to build/fuzz/logs. The next run continues with
# the inputs in build/fuzz/learned.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
. scripts/steps.sh

readonly OUT=build/fuzz
say() { printf 'fuzz: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

[[ ${1:-10} =~ ^[1-9][0-9]*$ ]] || fail "SECONDS must be a positive number, not '$1'"
seconds=${1:-10}
shift || true
known=$(cd tests/fuzz && printf '%s\n' fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
# shellcheck disable=SC2086  # a list of words
(($#)) || set -- $known
for target in "$@"; do
    grep -qx "$target" <<<"$known" || fail "unknown target '$target'; the targets are: ${known//$'\n'/ }"
done

run_target() {                       # run_target SECONDS TARGET
    local seeds=(tests/fuzz/corpus/"$2") log=$OUT/logs/$2
    [[ $2 != http_request ]] || seeds+=(tests/data/http tests/data/clients)
    mkdir -p "$OUT/learned/$2" "$OUT/findings" "$OUT/logs"
    if "$OUT/bin/fuzz_$2" -max_total_time="$1" -timeout=10 -rss_limit_mb=2048 -dict=tests/fuzz/dict/"$2".dict \
        -artifact_prefix="$OUT/findings/$2-" -print_final_stats=1 "$OUT/learned/$2" "${seeds[@]}" >"$log" 2>&1; then
        say "$2: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, no findings"
    else
        tail -n 40 "$log" >&2
        say "$2: FINDING; see $log"
        return 1
    fi
}
export OUT
export -f say run_target

scripts/install_deps.sh build fuzz
cmake --preset fuzz >/dev/null
build "fuzz: compiling the targets" --preset fuzz
say "$seconds s per target: $*"
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c "run_target $seconds {}" || fail "there are findings; see $OUT/findings"
say "passed: $*"
