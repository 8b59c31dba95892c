# SPDX-License-Identifier: Apache-2.0
"""A systemd of the test's own: process 1 of namespaces of its own, in a control group of its own, with no units but those
that it is given. Of the machine's files it can write none but those of the test; what it mounts nobody else sees."""

import contextlib
import os
import pathlib
import shutil
import subprocess

import harness
from harness import wait_for

SYSTEMD = '/lib/systemd/systemd'
DATA = harness.REPO / 'fs' / 'data' / 'systemd'
# What the units of systemd's own lead to is more than is wanted here.
TARGETS = ('basic', 'default', 'local-fs', 'multi-user', 'paths', 'remote-fs', 'shutdown', 'slices', 'sockets', 'sysinit', 'timers',
           'umount')
ENTER = '''
base=$1
echo $$ >$base/cgroup/${base##*/}/cgroup.procs
exec unshare --cgroup --net --pid --fork --kill-child --ipc --uts --mount --propagation private bash -euc "$INSIDE" bash "$base"
'''
INSIDE = '''
base=$1
umount $base/cgroup
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind $base $base
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=755 etc /etc/systemd
mount -t tmpfs -o mode=755 dev $base/dev
mknod -m 666 $base/dev/fuse c 10 229
mount --bind $base/dev/fuse /dev/fuse
mount --bind $base/bin /usr/local/bin
while mountpoint -q /sys/fs/cgroup; do umount -l /sys/fs/cgroup; done
mount -t cgroup2 none /sys/fs/cgroup
mount -o remount,bind,ro /
exec env -i container=test PATH="$PATH" SYSTEMD_UNIT_PATH=$base/units:/run/systemd/generator SYSTEMD_FSTAB=$base/fstab \
    SYSTEMD_GENERATOR_PATH=$base/generators SYSTEMD_ENVIRONMENT_GENERATOR_PATH=$base/generators \
    ''' + SYSTEMD + ''' --system --unit=multi-user.target --log-target=null --show-status=no
'''


def rendered(whose, name, bindir, sysconfdir):
    """A unit as it is installed."""
    text = (DATA / whose / f'{name}.in').read_text(encoding='utf-8')
    return text.replace('@bindir@', os.fspath(bindir)).replace('@sysconfdir@', os.fspath(sysconfdir))


class Manager:
    """systemd, with the units UNITS {name: text} and the lines FSTAB; programs of BASE/bin are in /usr/local/bin."""

    def __init__(self, base, units, fstab=''):
        self.base, self.process, self.pid = base, None, None
        for name in ('units', 'generators', 'dev'):
            (base / name).mkdir()
        for name in TARGETS:
            (base / 'units' / f'{name}.target').write_text('[Unit]\nDefaultDependencies=no\n', encoding='ascii')
        for name, text in units.items():
            (base / 'units' / name).parent.mkdir(exist_ok=True)
            (base / 'units' / name).write_text(text, encoding='utf-8')
        (base / 'fstab').write_text(fstab, encoding='utf-8')
        shutil.copy2('/lib/systemd/system-generators/systemd-fstab-generator', base / 'generators')

    def __enter__(self):
        place = self.base / 'cgroup'
        place.mkdir()
        harness.system_mount('none', place, 'cgroup2', 0)
        (place / self.base.name).mkdir()
        self.process = subprocess.Popen(['unshare', '--mount', '--propagation', 'private', 'bash', '-euc', ENTER, 'bash', self.base],
                                        env=dict(os.environ, INSIDE=INSIDE), stdin=subprocess.DEVNULL)
        try:
            wait_for(self.is_up, 'systemd')
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()  # and so its child, process 1, and so all the others
        self.process.wait()
        if self.pid:
            wait_for(lambda: harness.has_ended(self.pid), 'systemd to end')
        self.remove_groups()

    def remove_groups(self):
        top = self.base / 'cgroup' / self.base.name

        def removed():
            for path, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
            return not top.exists()
        wait_for(removed, 'the control groups to be free')
        harness.run('umount', self.base / 'cgroup')

    def is_up(self):
        assert self.process.poll() is None, 'systemd could not be started'
        with contextlib.suppress(OSError):  # the script has children that come and go
            children = pathlib.Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text(encoding='ascii').split()
            if children and os.readlink(f'/proc/{children[0]}/exe') == os.path.realpath(SYSTEMD):
                self.pid = int(children[0])
        return self.pid and self.run('systemctl', 'is-system-running', ok=False).stdout == b'running\n'

    def run(self, *argv, user=None, **kw):
        """A tool, where systemd is; as USER with his own."""
        as_user = ['setpriv', f'--reuid={user}', f'--regid={user}', '--clear-groups', 'env', f'XDG_RUNTIME_DIR=/run/user/{user}',
                   f'XDG_CONFIG_HOME={self.base}/etc'] if user else []
        return harness.run(*self.enter(), *as_user, *argv, **kw)

    def unmount(self, place):
        harness.unmount(place, *self.enter(), 'umount')

    def enter(self):
        return 'nsenter', f'--target={self.pid}', '--mount', '--pid'

    def systemctl(self, *words, user=None, **kw):
        return self.run('systemctl', *(['--user'] if user else []), *words, user=user, **kw)

    def show(self, unit, *names, user=None):
        """The properties NAMES of a unit, in that order; one: itself."""
        text = self.systemctl('show', *[f'--property={n}' for n in names], unit, user=user).stdout.decode()
        found = dict(line.split('=', 1) for line in text.splitlines())
        return found[names[0]] if len(names) == 1 else tuple(found[n] for n in names)

    def path(self, path):
        """What systemd, and so the machine that it is the manager of, sees at PATH."""
        return pathlib.Path(f'/proc/{self.pid}/root{path}')

    def mounted(self, path):
        """How often PATH is a mount of shieldfs there."""
        table = pathlib.Path(f'/proc/{self.pid}/mountinfo').read_text(encoding='utf-8')
        return sum(f' {path} ' in line and ' - fuse.shieldfs ' in line for line in table.splitlines())

    def pids(self, command):
        """Of the processes there that have this name."""
        space = os.readlink(f'/proc/{self.pid}/ns/pid')
        found = []
        for proc in pathlib.Path('/proc').iterdir():
            with contextlib.suppress(OSError):
                if proc.name.isdigit() and (proc / 'comm').read_text(encoding='utf-8') == f'{command}\n' and \
                        os.readlink(proc / 'ns/pid') == space:
                    found.append(int(proc.name))
        return found
