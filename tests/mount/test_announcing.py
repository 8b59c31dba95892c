# SPDX-License-Identifier: Apache-2.0
"""Announcing that can't be done for a while, whatever the reason, or that takes too long: the status tells, nothing
is lost, and it is told when it can be. And what is kept of a node goes with it."""

import ctypes
import errno
import os
import re
import struct
import time

import bundles
import harness
import pytest
import watching
from bundles import append
from harness import wait_for
from watching import CHANGED, Inotify, Watch

FAILED = r'[^ ]+: could not be announced: .*'


def stuck(m):
    return m.status()['announcer'] == ['stuck']


def well(m):
    """All is announced, and the status says so."""
    words = m.status()
    return words['announcer'] == ['ok'] and words['degraded'] == []


def remount(m, flags):
    """By the old system call: FUSE refuses what a newer mount(8) does for `remount,ro`."""
    harness.run('mount', '-i', '-o', flags, m.mnt, env={'LIBMOUNT_FORCE_MOUNT2': 'always'})


@pytest.mark.parametrize('flags', ['remount,{}', 'remount,bind,{}'])
def test_read_only_for_a_while(root, mount, state, flags):
    """What changes on a mount that was made read-only is told when it is read-write again: each thing once."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'], live=['2.2.2.2'])
    bundles.container(state, 'gone', live=['3.3.3.3'])
    m = watching.settled(mount(state))
    m.expect_log(FAILED)
    with Watch(m.mnt, m.mnt, m.mnt / 'c', m.mnt / 'gone', m.mnt / '.shieldfs') as watch:
        remount(m, flags.format('ro'))
        append(behind / 'live.allowed', '2.2.2.3\n')
        bundles.container(state, 'new')
        bundles.remove(state / 'containers/gone')
        wait_for(lambda: stuck(m) and m.status()['degraded'], 'the status to tell')
        said = m.status()['degraded']
        assert len(said) == 1 and said[0].startswith(f'{m.mnt}: ') and 'Read-only' in said[0], said
        assert (m.mnt / 'c/effective').read_text() == '1.1.1.1\n2.2.2.2\n2.2.2.3\n'
        watch.expect_nothing()
        remount(m, flags.format('rw'))
        watch.wait_for(*((f'c/{name}', event) for name in ('live.allowed', 'effective', 'allowed')
                         for event in CHANGED),
                       ('new', 'CREATE,ISDIR'), ('gone', 'DELETE,ISDIR'), ('.shieldfs/status', 'MODIFY'))
        wait_for(lambda: well(m), 'the status to be as before')


def refuse(call, error):
    """A filter for this process and its children, as a container's or a unit's is: CALL fails with ERROR."""
    def step(code, jt, jf, k):
        return struct.pack('HBBI', code, jt, jf, k)
    program = (step(0x20, 0, 0, 0) + step(0x15, 0, 1, number(call)) + step(0x06, 0, 0, 0x00050000 | error)
               + step(0x06, 0, 0, 0x7fff0000))
    kept = ctypes.create_string_buffer(program)
    head = struct.pack('HxxxxxxP', len(program) // 8, ctypes.addressof(kept))
    if harness.libc.prctl(38, 1, 0, 0, 0) or harness.libc.prctl(22, 2, head, 0, 0):
        raise OSError(ctypes.get_errno(), 'prctl')


SYSCALLS = {'x86_64': {'openat2': 437, 'statx': 332, 'close_range': 436, 'mkdirat': 258},
            'aarch64': {'openat2': 437, 'statx': 291, 'close_range': 436, 'mkdirat': 34}}


def number(name):
    calls = SYSCALLS.get(os.uname().machine)
    if calls is None:
        pytest.skip(f'knows no numbers of system calls for {os.uname().machine}')
    return calls[name]


@pytest.mark.parametrize('error', [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize('call', ['openat2', 'statx', 'close_range'])
def test_refused_system_calls(root, mount, state, base, call, error):
    """An old kernel lacks them, a seccomp filter refuses them: the view is as ever, and announces."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'], live=['2.2.2.2'])

    def body():
        refuse(call, error)
        m = harness.Mount(base, [state])
        try:
            m.start()
            with Watch(m.mnt, m.mnt, m.mnt / 'c') as watch:
                append(behind / 'live.allowed', '2.2.2.3\n')
                watch.expect({f'c/{name}': CHANGED for name in ('live.allowed', 'allowed', 'effective')})
                bundles.container(state, 'new')
                watch.wait_for(('new', 'CREATE,ISDIR'))
                bundles.remove(state / 'containers/new')
                watch.wait_for(('new', 'DELETE,ISDIR'))
            assert well(m)
            m.stop()
        finally:
            m.kill()
    number(call)
    harness.in_child(body, lambda: None)


def test_refused_for_good(root, mount, state, base):
    """What the filter keeps the announcer from is named in the status and the log; the rest is announced."""
    behind = bundles.container(state, 'c', live=['2.2.2.2'])

    def body():
        refuse('mkdirat', errno.EPERM)
        m = harness.Mount(base, [state])
        try:
            m.start()
            m.expect_log(r'new: could not be announced: Operation not permitted')
            with Watch(m.mnt, m.mnt / 'c') as watch:
                bundles.container(state, 'new')  # by mkdir(2)
                wait_for(lambda: m.status()['degraded'], 'the status to tell')
                assert (m.mnt / 'new/effective').read_text() == ''
                append(behind / 'live.allowed', '2.2.2.3\n')
                watch.wait_for(('c/effective', 'CLOSE_WRITE'))
                said = m.status()['degraded']
                assert any('be announced: Operation not permitted' in line for line in said), said
            m.stop()
        finally:
            m.kill()
    number('mkdirat')
    harness.in_child(body, lambda: None)


def test_one_node_alone(root, mount, state, base):
    """What is mounted on one file of the view keeps its changes from being told, and nothing else."""
    behind = bundles.container(state, 'c', live=['2.2.2.2'], deny=['4.4.4.4'])
    m = watching.settled(mount(state))
    m.expect_log(r'c/deny.list: could not be announced: .*')
    covered = m.mnt / 'c/deny.list'
    harness.run('mount', '--bind', bundles.put(base / 'other', 'precious\n'), covered)
    try:
        with Watch(m.mnt, m.mnt / 'c') as watch:
            append(behind / 'deny.list', '4.4.4.5\n')
            wait_for(lambda: any(d.startswith('c/deny.list: ') for d in m.status()['degraded']), 'the status to name it')
            for i in range(20):
                append(behind / 'live.allowed', f'2.2.3.{i}\n')
                watch.wait_for(('c/effective', 'CLOSE_WRITE'))
                wait_for(lambda: m.status()['announcer'] == ['ok'], 'it to be at work')
            harness.unmount(covered, 'umount')
            watch.wait_for(('c/deny.list', 'CLOSE_WRITE'))
            wait_for(lambda: well(m), 'the status to be as before')
        assert (base / 'other').read_text() == 'precious\n'
    finally:
        if os.fspath(covered) in harness.mounts():
            harness.run('umount', '-l', covered)


def test_hanging_announcer(mount, state):
    """One that does not answer is killed and replaced; what it was about to tell is told by the next."""
    behind = bundles.container(state, 'c', live=['2.2.2.2'])
    m = watching.settled(mount(state))
    m.expect_log(r'.*the announcer .*')
    with Watch(m.mnt, m.mnt / 'c') as watch:
        for i in range(2):
            before = watching.announcer(m)
            harness.stop(before)
            append(behind / 'live.allowed', f'2.2.3.{i}\n')
            wait_for(lambda: stuck(m), 'the status to tell')
            watch.wait_for(*((f'c/{name}', event) for name in ('live.allowed', 'effective', 'allowed')
                             for event in CHANGED))
            assert watching.announcer(m) != before
            wait_for(lambda: well(m), 'the status to be as before')


def looks_kept(m):
    """How many nodes the announcing part remembers, when it has come to rest."""
    found = re.findall(r'shieldfs: debug: all is announced, (\d+) nodes are kept in mind\n', m.log_path.read_text())
    return int(found[-1]) if found else None


@pytest.mark.parametrize('patient', [True, False])
def test_short_lives(mount, state, patient):
    """A container that is gone again before its files were announced, or it itself was, leaves nothing behind."""
    bundles.container(state, 'other', live=['2.2.2.2'])
    m = watching.settled(mount(state))
    before = looks_kept(m)
    with Watch(m.mnt, m.mnt) as watch:
        for i in range(100):
            place = bundles.container(state, 'x', live=['1.1.1.1'], files={'hooks/a': 'a', 'b': 'b'})
            if patient:
                watch.wait_for(('x', 'CREATE,ISDIR'))
            bundles.remove(place)
            if patient:
                watch.wait_for(('x', 'DELETE,ISDIR'))
        (state / 'containers/other/end').touch()
        (state / 'containers/other/end').unlink()
        wait_for(lambda: watching.at_rest(m) and looks_kept(m) <= before + 20,
                 f'it to come to rest with hardly more than {before} nodes in mind')


def test_hot_log(mount, state):
    """A file that keeps changing is announced once in 10 ms at most, however long it takes to tell."""
    behind = bundles.container(state, 'c', files={'dnsmasq.log': 'x'})
    m = watching.settled(mount(state))
    with Inotify() as inotify:
        inotify.add(m.mnt / 'c/dnsmasq.log', watching.CLOSE_WRITE)
        count, start = 0, time.monotonic()
        while count < 150:
            append(behind / 'dnsmasq.log', 'x\n')
            count += len(inotify.read())
        elapsed = time.monotonic() - start
        assert count <= elapsed * 100 + 1, (count, elapsed)
