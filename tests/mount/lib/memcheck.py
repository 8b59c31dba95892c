#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A mounted run of all three processes under valgrind: opens, listings, a writer, events, poll, errors, a death of the
announcer, SIGHUP, the end. Nothing may be accessed that is not there, and nothing be lost at the end.

    memcheck.py    (SHIELDFS: the program, else that in build/)

Prints what each process was found to have done wrong; the status is 0 if that is nothing."""

import contextlib
import errno
import os
import pathlib
import select
import signal
import sys
import tempfile

import bundles
import harness
import watching
from harness import wait_for

EXCUSES = pathlib.Path(__file__).resolve().parents[2] / 'lib' / 'valgrind.supp'


class Checked(harness.Mount):
    def __init__(self, base, sources, **kw):
        super().__init__(base, sources, env={'G_SLICE': 'always-malloc'}, **kw)
        self.reports = base / 'reports'
        self.reports.mkdir()
        self.argv = ['valgrind', '-q', '--trace-children=yes', '--leak-check=full', '--num-callers=30', '--error-exitcode=99',
                     '--show-leak-kinds=definite,indirect', '--errors-for-leak-kinds=definite,indirect',
                     f'--suppressions={EXCUSES}', f'--log-file={self.reports}/%p', *self.argv]

    def told(self):
        """What valgrind said, but for system calls that it does not know, and answers ENOSYS."""
        found = []
        for path in sorted(self.reports.iterdir()):
            lines = path.read_text(errors='replace').splitlines()
            found += [f'{path.name}: {line}' for line in lines if not line.startswith('--')]
        return found


def look_at_all(m):
    """Everything is listed and read."""
    for path in (m.mnt, *m.mnt.rglob('*')):
        with contextlib.suppress(OSError):
            if path.is_dir():
                os.listdir(path)
            else:
                path.read_bytes()


def poll_once(path, change):
    with harness.opened(path) as fd:
        poll = select.poll()
        poll.register(fd, select.POLLIN | select.POLLPRI)
        assert poll.poll(0), path
        poll.modify(fd, select.POLLPRI)
        change()
        assert poll.poll(harness.TIMEOUT * 1000), 'no news of a change'
        return os.pread(fd, 65536, 0)


def run(m, state):
    web = bundles.full(state / 'containers/web-1')
    bundles.task(state, 'p', '1', profile=['1.1.1.1'])
    odd = bundles.container(state, 'odd', {'deny.list': b'\xff', 'a\nb': 'x'})
    (odd / 'live.allowed').symlink_to('deny.list')
    os.mkfifo(odd / 'fifo')
    m.start()
    look_at_all(m)
    with watching.Watch(m.mnt, m.mnt, recursive=True) as watch:
        bundles.put(web / 'live.allowed', '9.9.9.9\n')
        watch.wait_for(('web-1/effective', 'CLOSE_WRITE'))
        bundles.container(state, 'new', live=['2.2.2.2'])
        watch.wait_for(('new', 'CREATE,ISDIR'))
        assert (m.mnt / 'new/effective').read_text() == '2.2.2.2\n'
        bundles.remove(state / 'containers/new')
        watch.wait_for(('new', 'DELETE,ISDIR'))
    assert poll_once(m.mnt / 'p.1/effective', lambda: bundles.put(state / 'tasks/p/1/shield/deny.list', '1.1.1.1\n')) == b''
    with open(web / 'deny.list', 'a', encoding='utf-8') as writer:  # one that has to be waited for
        writer.write('9.9.9.9\n')
        writer.flush()
        with harness.fails(errno.EBUSY):
            (m.mnt / 'web-1/effective').read_bytes()
    assert b'9.9.9.9' not in (m.mnt / 'web-1/effective').read_bytes()
    os.kill(watching.announcer(m), signal.SIGKILL)
    wait_for(lambda: m.status()['announcer'] == ['ok'], 'another announcer')
    m.process.send_signal(signal.SIGHUP)
    look_at_all(m)
    m.status()


def main():
    if os.geteuid() == 0:
        harness.private_namespace()
    with tempfile.TemporaryDirectory(prefix='shieldfs.') as base:
        base = pathlib.Path(os.path.realpath(base))
        state = base / 'state'
        state.mkdir()
        m = Checked(base, [state], options=['settle=100'])
        try:
            run(m, state)
            harness.unmount(m.mnt)
            status = m.process.wait(harness.TIMEOUT)
        except BaseException:
            print(*m.log_path.read_text(errors='backslashreplace').splitlines()[-60:], sep='\n')
            raise
        finally:
            m.kill()
            if os.fspath(m.mnt) in harness.mounts():
                harness.run('fusermount3', '-uz', m.mnt)
            print(''.join(f'{line}\n' for line in m.told()), end='')
        if status != 0 or m.told():
            print(f'memcheck: the end was {status}, and there is something to mend')
            return 1
        print(f'memcheck: {len(os.listdir(m.reports))} processes, nothing lost, nothing wrong')
        return 0


if __name__ == '__main__':
    sys.exit(main())
