#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Tries the packages in /tmp/old and /tmp/new on the system that it is run on, as root; package.sh gives it one that
# nobody needs afterwards. Ends with an error at whatever is not as it should be.
set -euo pipefail
cd /tmp

give_up() {
    printf 'package-trial.sh: %s\n' "$*" >&2
    exit 1
}

# wait_for COMMAND...: until it succeeds, for a minute at most.
wait_for() {
    local left=600
    until "$@"; do
        if [ $((left -= 1)) -eq 0 ]; then give_up "did not happen: $*"; fi
        sleep 0.1
    done
}

# Every file of the system, but for what packages keep of themselves.
files() {
    find / -xdev -path /tmp -prune -o -path '/var/log/*' -prune -o -path '/var/cache/*' -prune -o \
        -path '/var/lib/dpkg/*' -prune -o -printf '%p %y %m %u\n' | LC_ALL=C sort
}

# Has the watcher seen as many changes?
seen() { [ "$(grep -c CLOSE_WRITE events)" -ge "$1" ]; }

# The test of this name that the source package has.
try() {
    mkdir "/tmp/try-$1"
    AUTOPKGTEST_TMP=/tmp/try-$1 "/tmp/tests/$1" >"try-$1/log" 2>&1 || {
        cat "try-$1/log" >&2
        give_up "debian/tests/$1 failed"
    }
    echo "debian/tests/$1: ok"
}

# A view is busy in the moment of an announcement, and its processes end a moment after it.
unmount() {
    wait_for fusermount3 -qu view
    wait_for nobody_serves
}
nobody_serves() { ! pgrep shieldfs >/dev/null; }

install_of() { DEBIAN_FRONTEND=noninteractive dpkg --install "$1"/*.deb >dpkg.log 2>&1 || { cat dpkg.log; give_up "dpkg failed"; }; }
installed_version() { dpkg-query --show --showformat='${Version}' shieldfs; }

files >before
install_of old
old=$(installed_version)
try mount
wait_for nobody_serves

# A view that is mounted, and somebody who watches it, while the packages are replaced.
mkdir -p state/containers/web-1 view
echo 192.0.2.1 >state/containers/web-1/profile.allowed
shieldfs state view
server=$(pgrep --exact shieldfs-server)
touch events watches
inotifywait --monitor --event close_write view/web-1/effective >events 2>watches &
watcher=$!
wait_for grep -q '^Watches established' watches
install_of new
new=$(installed_version)
if ! dpkg --compare-versions "$old" lt "$new"; then give_up "$new does not come after $old"; fi
if [ "$(pgrep --exact shieldfs-server)" != "$server" ]; then give_up "the upgrade ended the server"; fi
echo 192.0.2.2 >>state/containers/web-1/live.allowed
wait_for seen 1
if [ "$(tail -n 1 view/web-1/effective)" != 192.0.2.2 ]; then give_up "after the upgrade the view is not fresh"; fi
kill -KILL "$(pgrep --exact shieldfs-events)" # another is made without its program, which is deleted
echo 192.0.2.3 >>state/containers/web-1/live.allowed
wait_for seen 2
echo "upgraded from $old to $new with a view that was mounted"

# The new program takes over from the old one.
kill $watcher
unmount
shieldfs state view
if [ "$(tail -n 1 view/web-1/effective)" != 192.0.2.3 ]; then give_up "what is mounted after the upgrade is wrong"; fi
unmount
try library

# Removed while a view is mounted, which stays until it is unmounted; and while an instance of the service is enabled.
wants=/etc/systemd/system/shieldfs-trial.target.wants
mkdir -p $wants
ln -s ../shieldfs@.service $wants/shieldfs@web.service
shieldfs state view
for deb in new/*.deb; do dpkg-deb --field "$deb" Package; done | xargs dpkg --purge >dpkg.log 2>&1 || { cat dpkg.log; give_up "could not purge"; }
if [ "$(tail -n 1 view/web-1/effective)" != 192.0.2.3 ]; then give_up "a view that was mounted went with the package"; fi
unmount
if [ -L $wants/shieldfs@web.service ]; then give_up "an instance is still enabled"; fi
rm -rf $wants
files >after
diff before after || give_up "this is not as it was before the packages came"
if dpkg-query --show '*shield*' 2>/dev/null | grep .; then give_up "dpkg still knows a package"; fi
echo "purged without a trace"
