#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tree on Debian 13, with its compiler, libfuse, GLib and Python: builds it without a warning, and runs the unit
# tests and those on mounts that depend on what is below the program (the suite `platform`, or the one named).
#
#   tests/trixie.sh [SUITE]
#
# Needs root; the system is made once, and cached (lib/chroot.sh). Ends as run.sh does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tests/install-deps.sh packaging

space=$(mktemp -d)
trap 'rm -rf "$space"' EXIT
chmod 1777 "$space"
mkdir "$space/src"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory="$space/src"
# shellcheck disable=SC2016 # the word is the inner shell's
tests/lib/chroot.sh trixie "build test" "$space" env CC=gcc SHIELD_ROUNDS="${SHIELD_ROUNDS:-300}" \
    bash -c 'cd /tmp/src && tests/run.sh --suite unit --suite "$1" -- -Dwerror=true' bash "${1:-platform}"
