# SPDX-License-Identifier: Apache-2.0
"""Ends at bad moments and in bad ways: a signal before the mount is there, a connection that was aborted, a
mount point that was moved, a server that does not listen, another shieldfs that mounts at the same place at once.
However it ends, the mount point is free, and what is another's is left alone."""

import contextlib
import os
import pathlib
import random
import re
import signal
import subprocess

import bundles
import harness
import pytest
import watching
from harness import opened, wait_for

ROUNDS = 6 if harness.SLOW else 20


def start(state, mnt):
    return subprocess.Popen([harness.SHIELDFS, '-f', state, mnt], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.fixture
def mnt(base):
    path = base / 'mnt'
    path.mkdir()
    yield path
    harness.release(path)


def is_free(mnt):
    return os.fspath(mnt) not in harness.mounts() and not harness.servers(mnt)


def test_term_at_any_moment_of_the_start(state, mnt):
    """Before the mount is there, while it is made, and after it."""
    for i in range(60):
        bundles.container(state, f'c{i}', live=['1.1.1.1'])
    for i in range(ROUNDS):
        process = start(state, mnt)
        harness.libc.usleep(random.randrange(3000 * (i + 1)))  # whatever it is at by then
        process.terminate()
        said = process.communicate(timeout=harness.TIMEOUT)[1]
        wait_for(lambda: is_free(mnt), f'the mount point to be free; it said {said}', harness.TIMEOUT / 6)
        assert os.listdir(mnt) == []


def test_aborted_connection(root, mount, state):
    """umount -f on a busy mount ends the connection, and leaves the mount there."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    m = mount(state)
    with opened(m.mnt / 'c', os.O_RDONLY | os.O_DIRECTORY):
        assert harness.run('umount', '-f', m.mnt, ok=False).returncode != 0, 'not busy'
        wait_for(lambda: m.process.poll() is not None, 'shieldfs to end')
        assert m.process.returncode == 1 and is_free(m.mnt) and os.listdir(m.mnt) == []
    assert m.take_log() == [f'{m.mnt}: the connection to the kernel was aborted (by umount -f, or in '
                            '/sys/fs/fuse/connections): the view has ended']
    m.kill()


def test_term_while_covered(root, mount, state):
    """Nobody's mount is taken away, and the log says so, once."""
    m = mount(state)
    harness.run('mount', '-t', 'tmpfs', 'none', m.mnt)
    try:
        m.process.terminate()
        assert m.process.wait(harness.TIMEOUT) == 0
        assert harness.mounts()[os.fspath(m.mnt)][1] == 'tmpfs'
        assert m.take_log() == [f'{m.mnt}: something else is mounted over the view: unmount both']
    finally:
        harness.unmount(m.mnt, 'umount')
    m.kill()


def test_mount_point_that_was_moved(mount, state, base):
    """With a directory above it; it is unmounted where it is."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    (base / 'above').mkdir()
    m = mount(state)
    below = harness.Mount(base / 'above', [state])
    try:
        below.start()
        os.rename(base / 'above', base / 'moved')
        assert (base / 'moved/mnt/c/effective').read_bytes() == b'1.1.1.1\n'
        below.process.terminate()
        assert below.process.wait(harness.TIMEOUT) == 0
        assert is_free(base / 'moved/mnt') and os.listdir(base / 'moved/mnt') == []
    finally:
        below.kill()
        harness.release(base / 'moved/mnt')
    assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'


def test_server_that_does_not_listen(mount, state):
    """However many hangups have come for it meanwhile, it ends with the first SIGTERM."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    m = mount(state)
    harness.stop(watching.children(m)[0])
    for _ in range(3000):
        m.process.send_signal(signal.SIGHUP)
        harness.libc.usleep(100)  # so that they are taken one by one
    m.process.terminate()
    assert m.process.wait(harness.TIMEOUT / 6) == 0
    assert is_free(m.mnt) and os.listdir(m.mnt) == []
    assert m.take_log() == [f'{m.mnt}: the server does not end: it is killed']
    m.kill()


def numbers(mnt):
    """By which the kernel knows the mount at MNT."""
    with opened(mnt, os.O_PATH) as fd:
        told = pathlib.Path(f'/proc/self/fdinfo/{fd}').read_text(encoding='ascii')
        return re.search('^mnt_id:\t(.*)', told, re.MULTILINE)[1], os.stat(mnt).st_dev


def holds_a_lock(pid):
    """While it starts, the supervisor has the mount point's."""
    found = False
    for info in pathlib.Path(f'/proc/{pid}/fdinfo').iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed by then
            found |= 'lock:' in info.read_text(encoding='ascii')
    return found


@pytest.mark.parametrize('term', [False, True])
def test_another_with_the_same_numbers(state, mnt, term):
    """The first learns that it was unmounted, or that it is to end, only when the next one is there."""
    bundles.container(state, 'c', live=['1.1.1.1'])

    def started():
        process = start(state, mnt)
        wait_for((mnt / 'c/effective').exists, 'it to answer')
        wait_for(lambda: not holds_a_lock(process.pid), 'the start to be over')
        return process
    before, same = started(), 0
    for _ in range(ROUNDS):
        server, seen = next(filter(watching.has_fuse, watching.children_of(before.pid))), numbers(mnt)
        harness.stop(before.pid)
        harness.unmount(mnt)
        wait_for(lambda s=server: not watching.has_fuse(s), 'the server to end')
        process = started()
        same += numbers(mnt) == seen
        if term:
            before.terminate()
        before.send_signal(signal.SIGCONT)
        assert before.wait(harness.TIMEOUT) == 0, before.stderr.read()
        assert (mnt / 'c/effective').exists() and process.poll() is None, 'it was taken away by the one before'
        before.stderr.close()
        before = process
    assert same, 'the kernel has never used them again'
    before.terminate()
    assert before.wait(harness.TIMEOUT) == 0 and is_free(mnt)
    before.stderr.close()


def test_dead_one_with_the_same_device(base, state, mnt):
    """A view was unmounted, and learns that only when the kernel has given its device to another one, which has died:
    that is not its own."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    (base / 'other').mkdir()

    def started(source, place):
        process = start(source, place)
        wait_for((place / '.shieldfs/version').exists, 'it to answer')
        wait_for(lambda: not holds_a_lock(process.pid), 'the start to be over')
        return process, os.stat(place).st_dev

    def ended(*processes):
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            assert process.wait(harness.TIMEOUT) in (0, -signal.SIGKILL), process.stderr.read()
            process.stderr.close()

    def tried(other):
        """FALSE: somebody else has the device by now."""
        other.mkdir()
        first, dev = started(state, mnt)
        server = next(filter(watching.has_fuse, watching.children_of(first.pid)))
        harness.stop(first.pid)
        harness.unmount(mnt)
        wait_for(lambda: not watching.has_fuse(server), 'the server to end')
        second, same = started(base / 'other', other)
        if same == dev:
            for pid in (second.pid, *watching.children_of(second.pid)):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: harness.is_dead(other), 'the other to be dead')
            first.send_signal(signal.SIGCONT)
            assert first.wait(harness.TIMEOUT) == 0, first.stderr.read()
            assert harness.is_dead(other), 'it was taken away'
        ended(first, second)
        return same == dev
    assert any(tried(base / f'other{i}') for i in range(30)), 'the kernel has never used it again'


def test_another_at_the_same_place_at_once(state, mnt):
    """The view is unmounted by hand, and the next one is there before the first has noticed."""
    bundles.container(state, 'c', live=['1.1.1.1'])

    def answers():
        try:
            return (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
        except FileNotFoundError:
            return False
    before = start(state, mnt)
    wait_for(answers, 'the first to answer')
    for _ in range(ROUNDS):
        harness.unmount(mnt)
        process = start(state, mnt)
        wait_for(answers, 'the next to answer')
        assert before.wait(harness.TIMEOUT) == 0, before.stderr.read()
        assert answers() and process.poll() is None, 'it was taken away by the one before'
        before.stderr.close()
        before = process
    before.terminate()
    assert before.wait(harness.TIMEOUT) == 0 and is_free(mnt)
    before.stderr.close()
