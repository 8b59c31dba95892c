#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the directory of a libglib that ThreadSanitizer understands, and makes it if it isn't there yet.
#
#   tests/lib/tsan-glib.sh
#
# GLib's locks are its own, made of atomics and futexes. Debian's library is not built for ThreadSanitizer, which then
# sees no lock at all, and takes all that they protect for races. So the same version is built from Debian's source
# package, and lies in the user's cache, by its version and the compiler's. A program finds it by its rpath; headers
# and all else are those of the system. The sources are asked for by a configuration of apt's own, made of the
# system's: that stays as it is.
set -euo pipefail

give_up() {
    printf 'tsan-glib.sh: %s\n' "$*" >&2
    exit 1
}

# The system's lists of sources, asking for source packages.
source_lists() {
    local list
    shopt -s nullglob
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        if [ -r "$list" ]; then sed -n 's/^deb\(-src\)\?\([[:space:]].*\)/deb-src\2/p' "$list" >>"$1/extra.list"; fi
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        sed 's/^Types:.*/Types: deb-src/' "$list" >"$1/$(basename "$list")"
    done
}

# Debian's source of this version, patched, in the folder glib-src.
fetch() {
    mkdir -p lists.d state/lists/partial cache/archives/partial
    source_lists lists.d
    local options=(-qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$PWD/lists.d" -o "Dir::State::Lists=$PWD/state/lists"
        -o "Dir::Cache=$PWD/cache" -o APT::Sandbox::User= -o Acquire::Languages=none)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" source --download-only "glib2.0=$version"
    dpkg-source --no-check --extract glib2.0_*.dsc glib-src
}

compile() {
    CC=gcc meson setup --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false -Dtests=false \
        -Dnls=disabled -Dselinux=disabled -Dlibmount=disabled -Dxattr=false glib-build glib-src
    meson compile -C glib-build glib-2.0:shared_library
}

version=$(dpkg-query --show --showformat='${source:Version}' libglib2.0-dev)
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/shieldfs/glib-${version//[^a-z0-9.+-]/_}-tsan-gcc-$(gcc -dumpfullversion)
if [ ! -e "$cache/libglib-2.0.so.0" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    for step in fetch compile; do
        # Not in a condition: there a failed command would not end it.
        set +e
        (
            set -e
            "$step"
        ) >"$step.log" 2>&1
        status=$?
        set -e
        if [ $status -ne 0 ]; then
            tail -n 50 "$step.log" >&2
            give_up "no GLib for ThreadSanitizer: could not $step version $version"
        fi
    done
    mkdir -p "$cache"
    cp glib-build/glib/libglib-2.0.so.0 "$cache/new"
    mv "$cache/new" "$cache/libglib-2.0.so.0" # whole, or not there
fi
printf '%s\n' "$cache"
