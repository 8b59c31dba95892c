# SPDX-License-Identifier: Apache-2.0
"""Users of whom not all is known, or who ask at a bad moment, on a view with allow_other: what can't be told counts
against them, and what they ask makes nothing wrong for others. (Who may do what otherwise: test_others.py.)"""

import contextlib
import errno
import os
import resource
import select
import signal

import bundles
import harness
import pytest
from harness import NOBODY, as_user, become, errno_of_read, fails, opened, read_fd, wait_for

pytestmark = pytest.mark.usefixtures('root')

ALICE, BOB, STAFF = 4001, 4002, 5001
UNMAPPED = 70000  # of no number in harness.in_user_namespace
ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 3000)


def refused(path):
    with fails(errno.EACCES):
        path.read_bytes()


@pytest.fixture
def secret(state):
    """A list that not everybody may read, and so neither what is computed from it."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'], live=['2.2.2.2'])
    (behind / 'live.allowed').chmod(0o600)
    return behind


def test_stat_of_a_stranger(mount, state, secret):
    """Who has a file open, by that finds its end: whatever others, who may not read it, are told of its size."""
    m = mount(state, options=['allow_other'])
    path = m.mnt / 'c/effective'

    def ask():
        while True:
            try:
                assert os.stat(path).st_size == 0
            except PermissionError:
                pass

    strangers = []
    for _ in range(2):
        strangers.append(os.fork())
        if strangers[-1] == 0:
            try:
                become(ALICE)
                ask()
            finally:
                os._exit(1)
    try:
        for _ in range(ROUNDS):
            with opened(path) as fd:
                assert os.lseek(fd, 0, os.SEEK_END) == 16
            assert os.stat(path).st_size == 16
        assert all(os.waitpid(pid, os.WNOHANG) == (0, 0) for pid in strangers)
    finally:
        for pid in strangers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_stat_of_what_is_open(mount, state, secret):
    """Who may not read it is told nothing while it is open, and that it is empty otherwise."""
    m = mount(state, options=['allow_other'])
    path = m.mnt / 'c/effective'

    def is_empty():
        assert os.stat(path).st_size == 0

    def is_empty_to_her():
        with contextlib.suppress(AssertionError):
            as_user(ALICE, is_empty)
            return True

    def stat_fails():
        with fails(errno.EACCES):
            os.stat(path)
    for _ in range(2):
        as_user(ALICE, is_empty)
        with opened(path) as fd, opened(path):
            as_user(ALICE, stat_fails)
            assert read_fd(fd) == b'1.1.1.1\n2.2.2.2\n' and os.lseek(fd, 0, os.SEEK_END) == 16
        wait_for(is_empty_to_her, 'the release')


@pytest.mark.parametrize('mode', [0o604, 0o640])
def test_hidden_processes(mount, state, mode):
    """Whose groups can't be told may be in any: he has neither what one gives, nor what others have that one has not."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'], live=['2.2.2.2'])
    os.chown(behind / 'live.allowed', -1, STAFF)
    (behind / 'live.allowed').chmod(mode)
    hooks = behind / 'hooks'
    hooks.mkdir()
    bundles.put(hooks / 'h', 'x')
    os.chown(hooks, -1, STAFF)
    hooks.chmod(0o705 if mode == 0o604 else 0o750)

    def body():
        harness.system_mount('proc', '/proc', 'proc', 0, b'hidepid=2,gid=12345')
        m = harness.Mount(behind.parents[2], [state], options=['allow_other'])
        try:
            m.start()
            for uid, groups in (ALICE, [STAFF]), (BOB, []):
                as_user(uid, lambda: refused(m.mnt / 'c/live.allowed'), groups)
                as_user(uid, lambda: refused(m.mnt / 'c/effective'), groups)
                as_user(uid, lambda: refused(m.mnt / 'c/hooks/h'), groups)
                as_user(uid, lambda: (m.mnt / 'c/profile.allowed').read_bytes(), groups)
            m.stop()
        finally:
            m.kill()
    harness.in_child(body, harness.private_namespace)


@pytest.mark.parametrize('owner, group, mode', [(0, UNMAPPED, 0o640), (UNMAPPED, 0, 0o440), (UNMAPPED, 0, 0o044),
                                                (0, UNMAPPED, 0o604)])
def test_owners_without_a_number(state, base, owner, group, mode):
    """In a user namespace one number stands for all whom it has none for, and for `nobody`: who has that, or is in that
    group, is not for that the owner, nor in the file's group."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'])
    os.chown(behind / 'profile.allowed', owner, group)
    (behind / 'profile.allowed').chmod(mode)

    def body():
        m = harness.Mount(base, [state], options=['allow_other'])

        def check():
            for name in ('c/profile.allowed', 'c/effective'):
                shown, there = errno_of_read(m.mnt / name), errno_of_read(behind / 'profile.allowed')
                assert shown in (errno.EACCES, there), (name, shown, there)
        try:
            m.start()
            info = os.stat(behind / 'profile.allowed')
            assert NOBODY in (info.st_uid, info.st_gid)
            as_user(NOBODY, check, [NOBODY])
            as_user(ALICE, check, [NOBODY])
            assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
            m.stop()
        finally:
            m.kill()
    harness.in_user_namespace(body)


def test_polled_by_a_stranger(mount, state):
    """Each change wakes all who poll: so others than who mounts may poll so many, and each leaves some to the next."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    m = mount(state, options=['allow_other'])
    m.expect_log('c/effective: refused to user 4001, as too many are open: there may be 8192 polled files in all, .*')

    def poll(fd):
        waiting = select.poll()
        waiting.register(fd, select.POLLPRI)
        return waiting.poll(0)

    def alice():
        fds = [os.open(m.mnt / 'c/effective', os.O_RDONLY) for _ in range(2100)]
        found = [poll(fd) for fd in fds]
        assert found.count([]) == 2048 and found[2048:] == [[(fd, select.POLLERR)] for fd in fds[2048:]]
        assert read_fd(fds[-1]) == b'1.1.1.1\n'
        os.close(fds[0])
        wait_for(lambda: poll(fds[-1]) == [], 'the place of the one that was closed')

    def many():
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        become(ALICE)
    harness.in_child(alice, many)

    def bob():
        with opened(m.mnt / 'c/effective') as fd:
            assert poll(fd) == []
    as_user(BOB, bob)
