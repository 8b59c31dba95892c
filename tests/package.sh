#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tarball, and the Debian packages that are built of it, tried on a system of their own.
#
#   tests/package.sh [--on RELEASE] [FOLDER]
#
# Makes the tarball that `meson dist` makes of this tree, whatever of it is committed; builds from it source and binary
# packages, which runs the unit tests; has lintian look at them; and in a system that debootstrap made installs them,
# mounts, reads, sees an event, upgrades with a view that is mounted, and purges (lib/package-trial.sh). Leaves what was
# built in FOLDER, if one is named. All that is done on this release of Debian, or on another, by its code name.
#
# Needs root, for that system, which is made once and cached (lib/chroot.sh). Packages that are missing are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'package.sh: %s\n' "$*"; }
give_up() {
    say "$*" >&2
    exit 1
}

# logged NAME COMMAND...: its output is shown if it fails.
logged() {
    local log=$space/$1.log
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 80 "$log" >&2
        give_up "failed: $*"
    fi
}

# The tree as it is here, in a repository of its own, as a tarball is made of what is committed.
copy_tree() {
    local tree=$space/tree
    mkdir "$tree"
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory="$tree"
    git -C "$tree" init --quiet
    git -C "$tree" add --all
    git -C "$tree" -c user.name=nobody -c user.email=nobody commit --quiet --message=tree
}

make_tarball() {
    local tree=$space/tree
    logged dist-setup meson setup "$tree/build" "$tree" -Dtests=disabled
    logged dist meson dist -C "$tree/build" --formats gztar --no-tests
    version=$(meson introspect --projectinfo "$tree/build" | sed 's/.*"version": "\([^"]*\)".*/\1/')
    mv "$tree/build/meson-dist/shieldfs-$version.tar.gz" "$space/shieldfs_$version.orig.tar.gz"
    tar -C "$space" -xf "$space/shieldfs_$version.orig.tar.gz"
    source=$space/shieldfs-$version
    cp -r "$source/fs/data/debian" "$source/debian"
}

# Of a tree without tests, without each part that may be left out: what is installed then.
try_least() {
    local least=$space/least got wanted
    cp -r "$source" "$least"
    rm -r "$least/tests"
    logged least meson setup "$least/build" "$least" --prefix=/usr --libdir=lib -Dseccomp=disabled -Dsystemd=disabled \
        -Dman=disabled -Dcompletions=disabled -Dtests=disabled
    got=$(meson introspect --installed "$least/build" | grep -o '"/usr/[^"]*"' | LC_ALL=C sort | tr -d '"')
    wanted=$(printf '/usr/%s\n' bin/shield-state bin/shieldfs include/shieldstate.h \
        lib/libshieldstate.so lib/libshieldstate.so.0 "lib/libshieldstate.so.$version" lib/pkgconfig/libshieldstate.pc \
        share/doc/shieldfs/LICENSE share/doc/shieldfs/NEWS.md share/doc/shieldfs/README.md share/doc/shieldfs/recipes.md)
    diff <(echo "$wanted") <(echo "$got") || give_up "a build with nothing but the least installs something else"
}

# The packages; then those of the version before, which is the same but for its number.
build_packages() {
    mkdir "$space/new" "$space/old"
    (cd "$source" && logged build dpkg-buildpackage --no-sign)
    if ! grep -E '^Ok: +[1-9]' "$space/build.log"; then give_up "no unit test was run"; fi
    ln "$space"/*.deb "$space/new"
    sed -i "1s/(\(.*\))/(\1~before)/" "$source/debian/changelog"
    (cd "$source" && logged build-old fakeroot debian/rules binary)
    mv "$space"/*~before*.deb "$space/old"
}

# All of it, in $space.
build() {
    say "the tarball"
    make_tarball
    say "a build of the least"
    try_least
    say "the packages"
    build_packages
    say "lintian"
    lintian --allow-root --fail-on error,warning --profile debian "$space"/*.changes
}

# On a system of that release, where this script builds.
build_on() {
    tests/lib/chroot.sh "$1" "build packaging" "$space" /tmp/tree/tests/package.sh --build
}

if [ "${1-}" = --build ]; then
    space=/tmp
    build
    exit
fi

usage="usage: tests/package.sh [--on RELEASE] [FOLDER]"
release=
if [ "${1-}" = --on ]; then
    release=${2:?"$usage"}
    shift 2
fi
if [ $# -gt 1 ]; then give_up "$usage"; fi
if [ "$(id -u)" -ne 0 ]; then give_up "needs root, for a system to try the packages on"; fi
tests/install-deps.sh build packaging

space=$(mktemp -d)
trap 'rm -rf "$space"' EXIT
chmod 755 "$space"
copy_tree
if [ -n "$release" ]; then
    build_on "$release"
else
    # shellcheck source=/dev/null # each Debian has it
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    build
fi
say "on a system of their own, Debian $release"
cp -r tests/lib/package-trial.sh fs/data/debian/tests "$space"
tests/lib/chroot.sh "$release" package "$space" /tmp/package-trial.sh
if [ $# -eq 1 ]; then
    mkdir -p "$1"
    cp "$space"/new/*.deb "$space"/*.dsc "$space"/*.tar.* "$1"
fi
say "for Debian $release: built, installed, upgraded and purged"
