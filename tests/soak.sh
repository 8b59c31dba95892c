#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Everything at once, for some time: writers of all kinds, bundles that come and go, hostile ones, readers, listers,
# watchers, pollers; the announcer is killed, SIGHUP sent. All that is read is checked, and at the end that all is as it
# should be: tests/soak/soak.py tells what. Prints its figures; the status is not 0 if something was wrong.
#
#   tests/soak.sh SECONDS
#
# SHIELDFS names the program to try; else it is built in build/. SHIELD_SEED: of what is random.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/build.sh
. "$here/lib/build.sh"

if [ $# -ne 1 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: tests/soak.sh SECONDS" >&2
    exit 2
fi
if [ -z "${SHIELDFS-}" ]; then build "$here/../build"; fi
PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 "$here/soak/soak.py" "$1"
