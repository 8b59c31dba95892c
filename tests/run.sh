#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds shieldfs and runs the tests. Ends with a line `N passed, N failed`
# (and `, N skipped` if a test was) and a status that is not 0 if one failed.
#
#   tests/run.sh [--builddir DIR] [--suite unit|fuzz|mount|pages]... [--setup NAME]
#                [--idle|--busy] [-- MESON_SETUP_ARGUMENT...]
#
# The machine may have other work. --idle says that it has none: then the limits
# of time are narrow, and the tests that need that are run too. --busy gives it
# some: two busy loops and a writer to the disk. What is left out is counted before
# that line, and each skipped test named with its reason.
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

# Two busy loops and a writer, which end with this script, however it ends.
load=() scratch=
busy() {
    local me=$$
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/shieldfs.busy.XXXXXX")
    trap 'kill "${load[@]}" 2>/dev/null || true; wait "${load[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT
    for _ in 1 2; do
        while kill -0 $me; do :; done 2>/dev/null &
        load+=($!)
    done
    {
        while kill -0 $me; do
            dd if=/dev/zero of="$scratch/noise" bs=1M count=8 conv=fsync status=none
        done
        rm -rf "$scratch"
    } 2>/dev/null &
    load+=($!)
}

builddir=$here/../build
choice=()
loaded=
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
        loaded=yes
        unset SHIELD_IDLE
        shift
        ;;
    --idle)
        export SHIELD_IDLE=1
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
if [ -n "$loaded" ]; then busy; fi
meson test -C "$builddir" --print-errorlogs "${choice[@]}" </dev/null || status=$?

shopt -s nullglob
logs=("$log"*.json)
if [ ${#logs[@]} -eq 0 ]; then give_up "no test was run"; fi
/usr/bin/python3 "$here/lib/results.py" "${logs[@]}" || if [ "$status" -eq 0 ]; then status=1; fi
exit "$status"
