#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Does a test pass, and fail without the mechanism that it is about?
#
#   SHIELDFS=PROGRAM SHIELD_STATE=PROGRAM tests/lib/notices.sh FAULT TEST
#
# The programs are of a build with -Dfaults=true, FAULT is one of core/fault.h, TEST is `test_FILE.py::NAME`.
set -euo pipefail

fault=$1 test=$2
cd "$(dirname "${BASH_SOURCE[0]}")/../mount"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passes() { /usr/bin/python3 -m pytest -x -q -p no:cacheprovider "$test" </dev/null >"$log" 2>&1; }

if ! passes; then
    cat "$log"
    echo "$test fails"
    exit 1
fi
# Some need a race to go a certain way, so more than one try.
for try in 1 2 3 4 5; do
    if ! SHIELD_FAULTS=$fault passes; then
        echo "without $fault, $test fails, as it should"
        exit
    fi
    echo "without $fault, $test passed (try $try)"
done
exit 1
