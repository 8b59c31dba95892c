# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by run.sh and demo.sh: building shieldfs, from nothing if need be.

# build DIR [MESON_SETUP_ARGUMENT...]: configures DIR if it isn't yet, or
# if arguments are given, and compiles.
build() {
    local dir=$1 top
    shift
    top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    if [ ! -e "$dir/build.ninja" ]; then
        meson setup "$dir" "$top" "$@" || return
    elif [ $# -gt 0 ]; then
        meson setup --reconfigure "$dir" "$top" "$@" || return
    fi
    meson compile -C "$dir"
}
