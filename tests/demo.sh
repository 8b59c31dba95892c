#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Shows shieldfs at work: builds it, mounts the view of your own containers
# (of samples if you have none), looks around, and unmounts.
#
#   tests/demo.sh [--keep]
#
#   --keep   leave the view mounted, and say how to unmount it
#
# On a terminal it waits for Enter before it unmounts; without one it unmounts
# at once. It writes nothing but its own temporary directory. Packages that are
# missing are installed: that needs root or sudo, nothing else does.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/lib/build.sh
. "$top/tests/lib/build.sh"

usage() { sed -n '/^#   tests\/demo/,/^# On a/{/^# On a/d;s/^# \{0,3\}//p}' "${BASH_SOURCE[0]}"; }
fail() {
    printf 'demo.sh: %s\n' "$*" >&2
    exit 1
}

keep=no
case ${1-} in
'') ;;
--keep) keep=yes ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 2
    ;;
esac

# ---- what it takes

"$top/tests/install-deps.sh" build
if [ ! -c /dev/fuse ]; then fail "this machine has no /dev/fuse, so nothing can be mounted here"; fi
echo "Building ..."
if ! output=$(build "$top/build" 2>&1); then
    printf '%s\n' "$output" >&2
    fail "the build failed"
fi

# ---- the view

parent=${XDG_RUNTIME_DIR:-}
if [ ! -d "$parent" ] || [ ! -w "$parent" ]; then parent=${TMPDIR:-/tmp}; fi
work=$(mktemp -d "$parent/shieldfs-demo.XXXXXX")
view=$work/view
mkdir "$view"

mounted() { mountpoint -q "$view" || ! stat "$view" >/dev/null 2>&1; }

# While shieldfs announces a change, the view is busy for a moment.
unmount() {
    local said
    for _ in {1..50}; do
        if said=$(fusermount3 -u "$view" 2>&1); then return; fi
        case $said in *busy*) sleep 0.1 ;; *) break ;; esac
    done
    printf '%s\n' "$said" >&2
    return 1
}

# Unmounts if need be, then takes the temporary directory away.
clean_up() {
    local status=$?
    trap - EXIT INT TERM HUP
    if mounted && ! unmount; then
        echo "Still mounted. To end it: fusermount3 -u $view && rm -r $work" >&2
        exit 1
    fi
    rm -r "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Prints a command as one would type it (from within the view), and runs it.
# A failure is shown, not fatal: the view's errors are part of the show.
show() {
    printf '\n$ %s\n' "$*"
    (cd "$view" && "$@" 2>&1) | sed "$shorten" || true
}
# A long output is cut, and that shows.
shorten='24{$!{s/.*/.../;q}}'

# Prints the first container.
first() {
    local containers=("$view"/*)
    basename "${containers[0]}"
}

# Prints the first container that has something in this list and whose lists can be read.
with() {
    local file dir
    for file in "$view"/*/"$1"; do
        dir=$(dirname "$file")
        if [ -s "$file" ] && cat "$dir/effective" >/dev/null 2>&1; then
            basename "$dir"
            return 0
        fi
    done
    return 1
}

"$top/build/fs/shieldfs" "$view" || fail "the view of your state could not be mounted"
samples=
if [ -z "$(ls "$view")" ]; then
    echo "You have no shielded containers yet, so this is a view of samples (a copy of tests/data/state)."
    unmount
    samples=$work/state
    cp -r "$top/tests/data/state" "$samples"
    "$top/build/fs/shieldfs" "$samples" "$view" || fail "the view of the samples could not be mounted"
else
    echo "This is a view of your own containers. Nothing can be changed through it."
fi

show ls
show cat .shieldfs/version
show cat .shieldfs/status
if [ -n "$samples" ]; then
    name=web-1
else
    name=$(with deny.list || with live.allowed || with profile.allowed || first)
fi
show ls -l "$name"

printf '\nThe policy on file for %s: its profile and what was allowed live, less what was denied.\n' "$name"
for list in profile.allowed live.allowed deny.list; do
    if [ -e "$view/$name/$list" ]; then show cat "$name/$list"; fi
done
show cat "$name/effective"

if [ -n "$samples" ]; then
    printf '\nThe view is live. Somebody allows another address:\n'
    printf '\n$ echo 198.51.100.99 >> %s\n' "$samples/containers/web-1/live.allowed"
    echo 198.51.100.99 >>"$samples/containers/web-1/live.allowed"
    show cat web-1/effective
    printf '\nA list that cannot be read is an error, never a wrong answer:\n'
    show cat garbled-1/effective
fi

# ---- leaving

printf '\nThe view is at %s\n' "$view"
if [ "$keep" = yes ]; then
    trap - EXIT INT TERM HUP
    printf 'Look around: ls -l %s/%s\n' "$view" "$name"
    printf 'When you are done: fusermount3 -u %s && rm -r %s\n' "$view" "$work"
elif [ -t 0 ]; then
    printf 'Look around from another terminal: ls -l %s/%s\n' "$view" "$name"
    printf 'To leave, press Enter here (it runs: fusermount3 -u %s)\n' "$view"
    read -r || true
    while mounted && ! unmount; do
        echo "Somebody is still in there. Leave it, then press Enter again."
        read -r || break
    done
    echo "Unmounted."
else
    printf 'Unmounting it: fusermount3 -u %s\n' "$view"
    unmount
    echo "Unmounted."
fi
