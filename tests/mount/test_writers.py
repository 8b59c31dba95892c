# SPDX-License-Identifier: Apache-2.0
"""Who writes a list, and how it is known: on filesystems that are changed from elsewhere, without an event, for
hours, and in no one's way."""

import contextlib
import errno
import os
import pathlib
import re
import select
import subprocess

import bundles
import pytest
import watching
from harness import TIMEOUT, fails, holds_for, libc, mounts, opened, run, wait_for

AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
NO_LEASE = 'no lease to be had: two equal readings stand for it'


@pytest.fixture
def elsewhere(base):
    """A directory, and the same through a filesystem behind which others may change it."""
    behind, shown = base / 'behind', base / 'shown'
    behind.mkdir()
    shown.mkdir()
    with subprocess.Popen(['bindfs', '-f', '-o', 'attr_timeout=3600', behind, shown]) as process:
        try:
            wait_for(lambda: os.fspath(shown) in mounts(), 'bindfs to mount')
            yield behind, shown
        finally:
            run('fusermount3', '-uz', shown)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TIMEOUT)
            process.kill()


def test_no_lease_on_what_is_changed_from_elsewhere(elsewhere, mount):
    """The kernel grants one there that says nothing: the status file names each list."""
    behind, shown = elsewhere
    bundles.container(behind, 'c', profile=['1.1.1.1'], live=['2.2.2.2'], deny=['1.1.1.1'])
    m = mount(shown, options=['settle=20000'])
    assert (m.mnt / 'c/effective').read_bytes() == b'2.2.2.2\n'
    degraded = m.status()['degraded']
    assert [line for line in degraded if line.endswith(NO_LEASE)] == [
        f'c/{name}: {NO_LEASE}' for name in sorted(bundles.LISTS)]
    bundles.put(shown / 'containers/c/deny.list', '2.2.2.2\n')
    assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'


def test_attributes_that_are_remembered(elsewhere, mount):
    """A change from elsewhere, of the same length, is seen though the kernel has not heard of it."""
    behind, shown = elsewhere
    c = bundles.container(behind, 'c', profile=['1.1.1.1'], live=['2.2.2.2'])
    m = mount(shown)
    for i in range(3, 6):
        for name in ('effective', 'live.allowed'):
            os.stat(m.mnt / 'c' / name)
        bundles.put(c / 'live.allowed', f'{i}.{i}.{i}.{i}\n')
        assert (m.mnt / 'c/effective').read_bytes() == f'1.1.1.1\n{i}.{i}.{i}.{i}\n'.encode()
        assert os.stat(m.mnt / 'c/live.allowed').st_mtime_ns == os.stat(c / 'live.allowed').st_mtime_ns


def refused(m, path):
    m.expect_log('c/[a-z.]+: still being written after 100 ms: try again')
    with fails(errno.EBUSY):
        os.open(m.mnt / path, os.O_RDONLY)


@pytest.fixture
def hasty(mount, state):
    """A bundle on a mount that hardly waits for writers, and the mount at rest."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'], live=['2.2.2.2'], deny=['3.3.3.3'])
    m = mount(state, options=['settle=100'])
    return watching.settled(m), behind


def test_status_names_what_an_open_was_refused_for(hasty):
    """Only that, from then on, and until its writer is gone; watchers of the status file hear of both."""
    m, behind = hasty
    with watching.Watch(m.mnt, m.mnt / '.shieldfs/status') as watch:
        with opened(behind / 'deny.list', os.O_WRONLY | os.O_TRUNC), \
                opened(behind / 'profile.domains', os.O_WRONLY | os.O_CREAT):
            os.stat(m.mnt / 'c/effective')
            assert m.status()['problem'] == []
            refused(m, 'c/effective')
            watch.expect({'.shieldfs/status': watching.CHANGED})
            assert m.status()['problem'] == ['c/deny.list: being written, for longer than an open waits']
            refused(m, 'c/denied')
        watch.expect({'.shieldfs/status': watching.CHANGED})
        assert m.status()['problem'] == []
    assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n2.2.2.2\n'


def from_nowhere(behind, aside):
    """A file without a name, which gets one."""
    fd = os.open(behind, os.O_TMPFILE | os.O_WRONLY, 0o644)
    os.write(fd, b'1.1.1.1\n')
    assert libc.linkat(AT_FDCWD, f'/proc/self/fd/{fd}'.encode(), AT_FDCWD, os.fsencode(behind / 'deny.list'),
                       AT_SYMLINK_FOLLOW) == 0
    return fd


def from_another_place(behind, aside):
    """A file that is moved here by a link before it is closed."""
    fd = os.open(aside, os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(fd, b'1.1.1.1\n')
    os.link(aside, behind / 'deny.list')
    os.unlink(aside)
    return fd


def taken_away_and_back(behind, aside):
    """The list itself, which loses its name and gets it again."""
    fd = os.open(behind / 'deny.list', os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b'1.1.1.1\n')
    os.link(behind / 'deny.list', aside)
    os.unlink(behind / 'deny.list')
    os.link(aside, behind / 'deny.list')
    os.unlink(aside)
    return fd


@pytest.mark.parametrize('begin', [from_nowhere, from_another_place, taken_away_and_back])
def test_a_writer_whose_end_makes_no_event(hasty, base, begin):
    """What he wrote is announced all the same, of the list, of what is computed from it, and of the status."""
    m, behind = hasty
    if begin is not taken_away_and_back:
        os.unlink(behind / 'deny.list')
    with watching.Watch(m.mnt, m.mnt / 'c', m.mnt / '.shieldfs/status') as watch:
        fd = begin(behind, base / 'aside')
        try:
            watch.wait_for(('c/deny.list', 'CLOSE_WRITE'))
            refused(m, 'c/denied')
            watch.wait_for(('.shieldfs/status', 'CLOSE_WRITE'))
            os.write(fd, b'2.2.2.2\n')
            holds_for(lambda: not [e for e in watch.poll() if e[0] in ('c/effective', 'c/denied')], 0.2,
                      'nothing new before the end')
        finally:
            os.close(fd)
        watch.wait_for(*((path, 'CLOSE_WRITE') for path in (
            'c/deny.list', 'c/denied', 'c/effective', '.shieldfs/status')))
    assert m.status()['problem'] == []
    assert (m.mnt / 'c/denied').read_bytes() == b'1.1.1.1\n2.2.2.2\n'
    assert (m.mnt / 'c/effective').read_bytes() == b''
    wait_for(lambda: watching.at_rest(m), 'the server to come to rest')


def test_a_poller_hears_of_an_end_without_event(hasty, base):
    m, behind = hasty
    os.unlink(behind / 'deny.list')
    with opened(m.mnt / 'c/denied') as fd:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        wait_for(lambda: not os.pread(fd, 100, 0) and not poll.poll(0), 'no news')
        writer = from_nowhere(behind, None)
        os.write(writer, b'2.2.2.2\n')
        os.close(writer)
        assert poll.poll(TIMEOUT * 1000)
        assert os.pread(fd, 100, 0) == b'1.1.1.1\n2.2.2.2\n'


def test_a_list_that_is_open_for_long_costs_little(hasty):
    """It is looked at ever more seldom."""
    m, behind = hasty
    (server, *_) = watching.children(m)
    with opened(behind / 'deny.list', os.O_WRONLY | os.O_APPEND) as writer:
        os.write(writer, b'4.4.4.4\n')
        refused(m, 'c/denied')

        def turns():
            """How often the server's threads have gone to sleep."""
            return sum(int(re.search(r'^voluntary_ctxt_switches:\s*(\d+)$', path.read_text(), re.MULTILINE)[1])
                       for path in pathlib.Path(f'/proc/{server}/task').glob('*/status'))

        def is_left_alone():
            before = turns()
            holds_for(lambda: True, 3, '')
            return turns() - before < 60
        wait_for(is_left_alone, 'it to be looked at seldom')
    wait_for(lambda: not m.status()['problem'], 'the end')
