#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds shieldfs and runs the tests. Ends with a line `N passed, N failed`
# (and `, N skipped` if a test was) and a status that is not 0 if one failed.
#
#   tests/run.sh [--builddir DIR] [--suite unit|fuzz|mount|pages|faults]... [--setup NAME]
#                [--busy] [-- MESON_SETUP_ARGUMENT...]
#
# As many tests are run at once as there are processors, 8 at most. The machine may have
# other work; --busy gives it some: twice as many tests at once, and a writer to the disk.
# What is left out is counted before that line, and each skipped test named with its
# reason.
#
# Installs packages that are missing: that needs root or sudo, nothing else
# does. Needs no terminal.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/build.sh
. "$here/lib/build.sh"

usage() { sed -n '/^#   tests\/run/,/^#$/s/^# \{0,3\}//p' "${BASH_SOURCE[0]}"; }

# What could not even be built counts as one failed test.
give_up() {
    printf 'run.sh: %s\n' "$1" >&2
    echo "0 passed, 1 failed"
    exit 1
}

# A writer to the disk, who ends with this script, however it ends.
writer="" scratch=""
write_to_disk() {
    local me=$$
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/shieldfs.busy.XXXXXX")
    trap 'kill "$writer" 2>/dev/null || true; wait "$writer" 2>/dev/null || true; rm -rf "$scratch"' EXIT
    {
        while kill -0 $me; do
            dd if=/dev/zero of="$scratch/noise" bs=1M count=8 conv=fsync status=none
        done
        rm -rf "$scratch"
    } 2>/dev/null &
    writer=$!
}

builddir=$here/../build
choice=() busy=""
at_once=$(nproc)
if [ "$at_once" -gt 8 ]; then at_once=8; fi # a user has only so many inotify instances
while [ $# -gt 0 ]; do
    case $1 in
    --builddir | --suite | --setup)
        if [ $# -lt 2 ]; then
            printf 'run.sh: %s needs a value\n' "$1" >&2
            exit 2
        fi
        if [ "$1" = --builddir ]; then builddir=$2; else choice+=("$1" "$2"); fi
        shift 2
        ;;
    --busy)
        busy=yes at_once=$((2 * at_once))
        shift
        ;;
    --)
        shift
        break
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done

"$here/install-deps.sh" build test || give_up "packages are missing"
if [ ! -c /dev/fuse ]; then
    echo "run.sh: this machine has no /dev/fuse: the tests that mount will fail" >&2
fi
build "$builddir" "$@" || give_up "the build failed"

log=$builddir/meson-logs/testlog
rm -f "$log"*.json
status=0
if [ -n "$busy" ]; then write_to_disk; fi
meson test -C "$builddir" --print-errorlogs --num-processes "$at_once" "${choice[@]}" </dev/null || status=$?

shopt -s nullglob
logs=("$log"*.json)
if [ ${#logs[@]} -eq 0 ]; then give_up "no test was run"; fi
/usr/bin/python3 "$here/lib/results.py" "${logs[@]}" || if [ "$status" -eq 0 ]; then status=1; fi
exit "$status"
