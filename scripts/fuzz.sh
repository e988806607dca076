#!/usr/bin/env bash
# Fuzzes the parsers that strangers reach: builds the targets of tests/fuzz and runs each from its corpus.
#
#   scripts/fuzz.sh [SECONDS] [TARGET]...      each target for so long (10 by default), one per processor at a time
#
# Ends with an error when anything was found. Findings go to build/fuzz/findings, a log of each target to build/fuzz/logs; what a
# target has learned stays in build/fuzz/learned, where its next run begins.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
. scripts/steps.sh

readonly OUT=build/fuzz
say() { printf 'fuzz: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

[[ ${1:-10} =~ ^[1-9][0-9]*$ ]] || fail "seconds per target: a number, not '$1'"
seconds=${1:-10}
shift || true
known=$(cd tests/fuzz && printf '%s\n' fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
# shellcheck disable=SC2086  # a list of words
(($#)) || set -- $known
for target in "$@"; do
    grep -qx "$target" <<<"$known" || fail "no target '$target'; there are: ${known//$'\n'/ }"
done

run_target() {                       # run_target SECONDS TARGET
    local seeds=(tests/fuzz/corpus/"$2") log=$OUT/logs/$2
    [[ $2 != http_request ]] || seeds+=(tests/data/http tests/data/clients)
    mkdir -p "$OUT/learned/$2" "$OUT/findings" "$OUT/logs"
    if "$OUT/bin/fuzz_$2" -max_total_time="$1" -timeout=10 -rss_limit_mb=2048 -dict=tests/fuzz/dict/"$2".dict \
        -artifact_prefix="$OUT/findings/$2-" -print_final_stats=1 "$OUT/learned/$2" "${seeds[@]}" >"$log" 2>&1; then
        say "$2: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, nothing found"
    else
        tail -n 40 "$log" >&2
        say "$2: FOUND SOMETHING; the whole log is $log"
        return 1
    fi
}
export OUT
export -f say run_target

scripts/install_deps.sh build fuzz
cmake --preset fuzz >/dev/null
build "fuzz: compiling the targets" --preset fuzz
say "$seconds s per target: $*"
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c "run_target $seconds {}" || fail "found something; see $OUT/findings"
say "all good: $*"
