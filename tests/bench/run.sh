#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds an optimised shieldfs and measures it against two floors: README.md.
# Prints tables, and writes bench.md and bench.svg into the build folder.
#
#   tests/bench/run.sh [--quick] [--containers N[,N]...] [--only FIGURE]...
#                      [--output DIR] [--builddir DIR]
#
#   --quick        small sizes, few rounds
#   --containers   the sizes (10,100,1000,10000; quick: 10,100)
#   --only         only this figure; --only help names them
#
# Installs packages that are missing: that needs root or sudo.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/build.sh
. "$top/tests/lib/build.sh"

usage() { sed -n '/^#   tests\/bench/,/^# Installs/{/^# Installs/d;s/^# \{0,3\}//p}' "${BASH_SOURCE[0]}"; }

builddir=$top/build-bench
words=()
while [ $# -gt 0 ]; do
    case $1 in
    --builddir | --containers | --only | --output)
        if [ $# -lt 2 ]; then
            printf 'run.sh: %s needs a value\n' "$1" >&2
            exit 2
        fi
        if [ "$1" = --builddir ]; then builddir=$2; else words+=("$1" "$2"); fi
        shift 2
        ;;
    --quick)
        words+=("$1")
        shift
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

"$top/tests/install-deps.sh" build test
if [ ! -c /dev/fuse ]; then
    echo "run.sh: this machine has no /dev/fuse, so nothing can be mounted here" >&2
    exit 1
fi
if ! said=$(build "$builddir" --buildtype=release -Dbench=true 2>&1); then
    printf '%s\n' "$said" >&2
    echo "run.sh: the build failed" >&2
    exit 1
fi
exec /usr/bin/python3 -B "$here/bench.py" --builddir "$builddir" "${words[@]}" </dev/null
