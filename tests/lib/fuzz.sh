#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs one libFuzzer target of a build with -Dfuzz=true for some seconds.
#
#   tests/lib/fuzz.sh BUILDDIR SECONDS FOUND TARGET
#
# FOUND is a directory for what fails. New inputs that reach more code are tried and not kept.
set -euo pipefail

builddir=$1 seconds=$2 found=$3 target=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/corpus"
# The targets make files: in memory, if that can be had.
if [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
if ! G_DEBUG=fatal-criticals "$builddir/tests/fuzz/fuzz-$target" -max_total_time="$seconds" -print_final_stats=1 \
    -timeout=20 -close_fd_mask=1 -artifact_prefix="$found/$target-" \
    "$scratch/corpus" "$here/../fuzz/corpus/$target" >"$scratch/log" 2>&1; then
    cat "$scratch/log"
    echo "fuzz-$target: fails with what is in $found"
    exit 1
fi
sed -n "s/^stat::number_of_executed_units: */fuzz-$target: inputs tried: /p" "$scratch/log"
