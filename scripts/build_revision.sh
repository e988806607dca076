#!/bin/sh
# Builds gateway and worker of another revision, to test two versions side by side:
#
#     scripts/build_revision.sh v0.2.0 build/v0.2.0
#     ARKRELAY_OTHER_BIN=build/v0.2.0/bin ctest --preset dev -R versions
set -eu
revision=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
mkdir -p "$folder/source"
git archive "$revision" | tar -x -C "$folder/source"
cmake -S "$folder/source" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DARKRELAY_WERROR=OFF >&2
cmake --build "$folder" --target arkrelay-gateway arkrelay-worker -- -j2 >&2
echo "$folder/bin"
