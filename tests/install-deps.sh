#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that shieldfs needs and this machine lacks.
#
#   tests/install-deps.sh [build] [test] [check] [packaging] [package]
#
#   build      to build and mount it (also what is taken if no group is named)
#   test       what the tests run besides
#   check      what .ci/run needs on top: other compilers, checkers
#   packaging  what tests/package.sh builds packages with
#   package    what it tries them on
#
# This is the one place that knows package names. Root, or sudo, is needed only
# if something is missing, and then only for apt-get.
set -euo pipefail

usage="usage: tests/install-deps.sh [build] [test] [check] [packaging] [package]"

say() { printf 'install-deps: %s\n' "$*"; }
die() {
    say "$*" >&2
    exit 1
}

# Prints the packages of a group, one per line. Several names on a line are
# alternatives for one thing, the preferred one first; `cmd:NAME` in front
# means that any program of that name will do.
packages() {
    case $1 in
    build)
        cat <<'LIST'
cmd:cc gcc
cmd:dpkg-architecture dpkg-dev
libc6-dev
meson
ninja-build
pkgconf pkg-config
libfuse3-dev
libglib2.0-dev
libseccomp-dev
fuse3
LIST
        ;;
    test)
        cat <<'LIST'
bindfs
diffutils
entr
file
findutils
fish
fswatch
cmd:go gccgo-go golang-go
inotify-tools
jq
less
man-db
mount
nftables
node-chokidar
cmd:node nodejs
procps
python3
python3-prometheus-client
python3-pytest
python3-watchdog
rsync
strace
systemd
tar
tmux
util-linux
zsh
LIST
        ;;
    check)
        cat <<'LIST'
clang
clang-format-14 clang-format
clang-tidy-14 clang-tidy
libclang-rt-dev libclang-rt-14-dev
gcc
git
libc6-dbg
mandoc
python3-pyflakes
shellcheck
valgrind
LIST
        ;;
    packaging)
        cat <<'LIST'
build-essential
debhelper
debootstrap
fakeroot
git
lintian
python3
systemd systemd-dev
LIST
        ;;
    package)
        cat <<'LIST'
fuse3
cmd:gcc gcc
inotify-tools
libc6-dev
libglib2.0-dev
pkgconf pkg-config
procps
LIST
        ;;
    esac
}

# The same for programs that are used and not installed, because their packages would also start a service: only they
# are taken out of the package, into a folder of this user. `PROGRAM PACKAGE...` on a line; the packages are alternatives.
unpacked=${XDG_CACHE_HOME:-$HOME/.cache}/shieldfs/programs
programs() {
    case $1 in
    test)
        cat <<'LIST'
promtool promtool prometheus
prometheus-node-exporter prometheus-node-exporter
LIST
        ;;
    esac
}

installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Is one of the alternatives here?
satisfied() {
    local name
    for name; do
        case $name in
        cmd:*) if command -v "${name#cmd:}" >/dev/null; then return 0; fi ;;
        *) if installed "$name"; then return 0; fi ;;
        esac
    done
    return 1
}

# Prints the first of the alternatives that this release of Debian has.
available() {
    local name
    for name; do
        case $name in cmd:*) continue ;; esac
        if LC_ALL=C apt-cache policy "$name" 2>/dev/null | grep '^  Candidate: [^(]' >/dev/null; then
            printf '%s\n' "$name"
            return 0
        fi
    done
    return 1
}

# Takes PROGRAM out of the first of the PACKAGEs that there is.
unpack() {
    local program=$1 package space
    shift
    package=$(available "$@") || die "this release of Debian has none of these packages: $*"
    say "$program, of the package $package, to $unpacked"
    space=$(mktemp -d)
    if mkdir -p "$unpacked" && (cd "$space" && apt-get download -qq -o APT::Sandbox::User=root "$package" </dev/null >/dev/null) &&
        dpkg-deb --fsys-tarfile "$space"/*.deb | tar -xO "./usr/bin/$program" >"$space/$program" &&
        chmod +x "$space/$program" && mv "$space/$program" "$unpacked/$program"; then
        rm -r "$space"
    else
        rm -r "$space"
        die "apt-get download $package failed. If its lists are old: sudo apt-get update"
    fi
}

# What is to be unpacked of these groups and is nowhere here.
unpack_all() {
    local group program packages
    for group; do
        while read -r program packages; do
            if ! command -v "$program" >/dev/null && [ ! -x "$unpacked/$program" ]; then
                # shellcheck disable=SC2086 # its words are the alternatives
                unpack "$program" $packages
            fi
        done < <(programs "$group")
    done
}

if [ $# -eq 0 ]; then set -- build; fi

missing=()
for group; do
    case $group in build | test | check | packaging | package) ;; *) die "no group '$group'; $usage" ;; esac
    while read -r line; do
        # shellcheck disable=SC2086 # the words of the line are the alternatives
        if ! command -v dpkg-query >/dev/null || ! satisfied $line; then missing+=("$line"); fi
    done < <(packages "$group")
done
if [ ${#missing[@]} -eq 0 ]; then
    if command -v apt-get >/dev/null; then unpack_all "$@"; fi
    exit 0
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "no apt-get here, so nothing was installed. On Debian the packages are called:"
    printf '  %s\n' "${missing[@]}"
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
        die "root is needed to install packages, and there is no sudo. Run as root: tests/install-deps.sh $*"
    as_root=(sudo)
    if [ ! -t 0 ]; then as_root+=(--non-interactive); fi
fi

say "missing here: $(printf '%s, ' "${missing[@]%% *}" | sed 's/cmd://; s/, $//')"
say "root is needed to install that${as_root[*]:+ (asking sudo)}, and for nothing else"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null ||
    say "apt-get update failed; trying with the package lists that are here" >&2

wanted=()
for line in "${missing[@]}"; do
    # shellcheck disable=SC2086 # the words of the line are the alternatives
    name=$(available $line) || die "this release of Debian has no package for: ${line#cmd:}"
    wanted+=("$name")
done

say "apt-get install --no-install-recommends ${wanted[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "${wanted[@]}" </dev/null >/dev/null ||
    die "apt-get install failed"
unpack_all "$@"
