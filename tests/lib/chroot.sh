#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a command as root of another release of Debian. Needs root.
#
#   tests/lib/chroot.sh RELEASE GROUPS DIR COMMAND [ARGUMENT]...
#
#   RELEASE   by its code name
#   GROUPS    whose packages are there: words of tests/install-deps.sh, in one argument, which may be empty
#   DIR       a folder that is /tmp there; it and what is in it are all that is left afterwards
#
# debootstrap makes that system once for each list of packages, from the mirror that apt uses here, and it stays in the
# user's cache (to have newer packages, remove it there). A command gets a layer of its own above it, in memory, and
# namespaces of its own for mounts and processes: with its end all that is gone, however it ends.
set -euo pipefail

give_up() {
    printf 'chroot.sh: %s\n' "$*" >&2
    exit 1
}

# enter ROOT LAYERED DIR COMMAND...: in the system that lies at ROOT, changing that itself if LAYERED is no.
enter() {
    # shellcheck disable=SC2016 # the words are the inner shell's
    setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child bash -euc '
        root=$1 layered=$2 dir=$3 place=$4
        shift 4
        mount -t tmpfs shieldfs "$place"
        mkdir "$place/upper" "$place/work" "$place/root"
        if [ "$layered" = yes ]; then
            mount -t overlay -o "lowerdir=$root,upperdir=$place/upper,workdir=$place/work" shieldfs "$place/root"
        else
            mount --bind "$root" "$place/root"
        fi
        cd "$place/root"
        mount -t proc proc proc
        mount --rbind /sys sys
        mount --rbind /dev dev
        mount --bind "$dir" tmp
        ln -sf ../proc/self/mounts etc/mtab # which fusermount3 opens
        if [ -e /etc/resolv.conf ]; then cp /etc/resolv.conf etc/resolv.conf; fi
        pivot_root . mnt # no chroot: in that the kernel allows no user namespaces
        umount --lazy /mnt
        cd /
        status=0 # this shell stays, as the first process has to bury those of others
        env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp \
            LC_ALL=C.UTF-8 ${http_proxy:+"http_proxy=$http_proxy"} "$@" || status=$?
        exit $status
    ' bash "$1" "$2" "$3" "$place" "${@:4}"
}

# The mirror that Debian itself comes from here.
mirror() {
    local mirror
    # shellcheck disable=SC2016 # the word is the format's
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' 'Component: main' | head -n 1)
    if [ -z "$mirror" ]; then give_up "apt knows no mirror of Debian; has apt-get update been run?"; fi
    printf '%s\n' "$mirror"
}

# Makes the system at $1. Its signature must be one of those that this machine's Debian trusts.
make() {
    local root=$1
    mkdir -m 755 "$root"
    mkdir -m 1777 "$root.tmp"
    # In a namespace, as it mounts what it needs.
    unshare --mount --propagation private \
        debootstrap --variant=minbase --force-check-gpg "$release" "$root" "$(mirror)"
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/shieldfs" # nobody needs it after a power cut
    cp "$here/../install-deps.sh" "$root.tmp"
    if [ ${#groups[@]} -gt 0 ]; then enter "$root" no "$root.tmp" /tmp/install-deps.sh "${groups[@]}"; fi
    rm -rf "$root.tmp" "$root"/var/cache/apt/archives/*.deb
}

# The same, whole or not at all, and instead of what the packages were before.
make_once() {
    local new=$cache/$name.new status=0
    rm -rf "$new" "$new.tmp"
    # Not in a condition: there a failed command would not end it.
    set +e
    (
        set -e
        make "$new"
    ) >"$new.log" 2>&1
    status=$?
    set -e
    if [ $status -ne 0 ]; then
        tail -n 50 "$new.log" >&2
        give_up "could not make a Debian $release"
    fi
    rm -rf "$cache/$name"-* "$new.log"
    mv "$new" "$root"
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -lt 4 ]; then give_up "usage: tests/lib/chroot.sh RELEASE GROUPS DIR COMMAND [ARGUMENT]..."; fi
if [ "$(id -u)" -ne 0 ]; then give_up "needs root"; fi
release=$1 dir=$(realpath "$3")
read -ra groups <<<"$2"
shift 3

place=$(mktemp -d)
trap 'rmdir "$place"' EXIT
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/shieldfs
mkdir -p "$cache"
name=debian-$release$(printf '%s' "${groups[@]/#/+}")
root=$cache/$name-$(sha256sum <"$here/../install-deps.sh" | cut -c 1-12)
exec 9>"$cache/$name.lock"
flock --shared 9
if [ ! -d "$root" ]; then flock 9; fi # the others wait, or have made it meanwhile
if [ ! -d "$root" ]; then make_once; fi
flock --shared 9
enter "$root" yes "$dir" "$@"
