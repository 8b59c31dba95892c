# SPDX-License-Identifier: Apache-2.0
"""What each of the three processes has given up, as /proc tells of it and as the status file does; and that all still
works. What is refused to them is tried in test_moments.py."""

import contextlib
import os
import pathlib
import re
import signal

import bundles
import harness
import pytest
import watching
from harness import NOBODY, in_namespace, wait_for
from watching import Watch

DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, SETPCAP, SYS_ADMIN, SYS_RESOURCE, LEASE = (
    1 << bit for bit in (1, 2, 3, 8, 21, 24, 28))
NAMES = ['supervisor', 'server', 'announcer']
KEPT = {False: {'supervisor': SYS_ADMIN | DAC_READ_SEARCH | SETPCAP | SYS_RESOURCE,
                'server': DAC_READ_SEARCH | LEASE | FOWNER,
                'announcer': DAC_READ_SEARCH},
        True: {'supervisor': SYS_ADMIN | DAC_READ_SEARCH | SETPCAP | SYS_RESOURCE | FOWNER | DAC_OVERRIDE,
               'server': DAC_READ_SEARCH | LEASE | FOWNER,
               'announcer': DAC_READ_SEARCH | FOWNER | DAC_OVERRIDE}}
FILTERED = b'libseccomp.so' in harness.SHIELDFS.read_bytes()
LANDLOCK_VERSION = harness.libc.syscall(444, None, 0, 1)
NEWEST = 7  # of those that shieldfs knows


def facts(pid):
    """/proc/PID/status of each thread, as {word: rest}."""
    found = []
    for status in pathlib.Path(f'/proc/{pid}/task').glob('*/status'):
        lines = status.read_text(encoding='utf-8', errors='replace').splitlines()
        found.append(dict(line.split(':\t', 1) for line in lines if ':\t' in line))
    return found


def processes(m):
    """{name: pid}"""
    return dict(zip(NAMES, [m.process.pid, *watching.children(m)]))


def check_threads(m, allow_other):
    mine = facts(os.getpid())[0]
    for name, pid in processes(m).items():
        kept = KEPT[allow_other][name] & int(mine['CapPrm'], 16)
        confined = name != 'supervisor'
        threads = facts(pid)
        assert len(threads) >= (8 if name == 'server' else 1), name
        for thread in threads:
            assert int(thread['CapPrm'], 16) == int(thread['CapEff'], 16) == kept, (name, thread)
            assert int(thread['CapInh'], 16) == int(thread['CapAmb'], 16) == 0, (name, thread)
            if int(mine['CapEff'], 16) & SETPCAP:  # a plain user's stays as it is
                assert int(thread['CapBnd'], 16) == KEPT[allow_other][name] & int(mine['CapBnd'], 16), (name, thread)
            assert thread['NoNewPrivs'] == ('1' if confined or os.geteuid() == 0 else '0'), (name, thread)
            assert thread['Seccomp'] == ('2' if confined and FILTERED else '0'), (name, thread)
        limits = pathlib.Path(f'/proc/{pid}/limits').read_text(encoding='ascii')
        assert re.search(r'^Max core file size +0 +0 ', limits, re.M), (name, limits)
        if os.geteuid() != 0:  # what can't be dumped belongs to root
            assert os.stat(f'/proc/{pid}/fd').st_uid == (0 if confined else os.geteuid()), name


def check_words(m):
    privs = 'no-new-privs capabilities'
    version = min(LANDLOCK_VERSION, NEWEST)
    landlock = {name: f' landlock-{version}:{name}' if version > 0 else '' for name in ('read-only', 'view-only')}
    filtered = ' seccomp' if FILTERED else ''
    assert m.status()['confined'] == [
        f'supervisor: {privs if os.geteuid() == 0 else "capabilities"}',
        f'server: {privs}{landlock["read-only"]}{filtered}',
        f'announcer: {privs}{landlock["view-only"]}{filtered}']


def check_working(m, behind):
    """Reading, what comes, changes and goes, and the events of it."""
    assert (m.mnt / 'c/effective').read_text() == '1.1.1.1\n'
    with Watch(m.mnt, m.mnt, m.mnt / 'c') as watch:
        bundles.put(behind / 'live.allowed', '2.2.2.2\n')
        bundles.put(behind / 'new', '')
        bundles.container(behind.parent.parent, 'd', live=['3.3.3.3'])
        watch.wait_for(('c/effective', 'CLOSE_WRITE'), ('c/new', 'CREATE'), ('d', 'CREATE,ISDIR'))
        assert (m.mnt / 'c/effective').read_text() == '2.2.2.2\n'
        assert (m.mnt / 'd/effective').read_text() == '3.3.3.3\n'
        os.unlink(behind / 'new')
        bundles.remove(behind.parent / 'd')
        watch.wait_for(('c/new', 'DELETE'), ('d', 'DELETE,ISDIR'))


def check_all(m, behind, allow_other=False):
    watching.announcer(m)
    check_threads(m, allow_other)
    check_words(m)
    check_working(m, behind)
    check_threads(m, allow_other)  # those of later threads too


@pytest.mark.parametrize('allow_other', [False, True])
def test_each_process(mount, state, allow_other):
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    check_all(mount(state, options=['allow_other'] if allow_other else []), behind, allow_other)


def own(place, uid):
    for path in (place, *place.rglob('*')):
        os.chown(path, uid, uid)


def test_as_a_plain_user(root, base, state, exe):
    """Who unmounts by a set-uid program, though the server may use none any more."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    (base / 'own').mkdir()
    own(base, NOBODY)

    def body():
        m = harness.Mount(base / 'own', [state], exe=exe)
        try:
            check_all(m.start(), behind)
            m.stop(signal.SIGTERM)
        finally:
            m.kill()
    in_namespace(body, uid=NOBODY)


def test_others_state(root, mount, state):
    """As root over what belongs to somebody else and is closed to all others: leases, times, events."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    own(state, NOBODY)
    for path in (state, behind.parent, behind):
        path.chmod(0o700)
    (behind / 'live.allowed').chmod(0o600)
    os.utime(behind / 'live.allowed', ns=(10**9, 10**18))
    m = mount(state)
    assert (m.mnt / 'c/effective').read_text() == '1.1.1.1\n'
    assert (m.mnt / 'c/live.allowed').read_text() == '1.1.1.1\n'
    assert os.stat(behind / 'live.allowed').st_atime_ns == 10**9
    assert m.status()['degraded'] == []  # so there are leases
    check_all(m, behind)


def test_in_a_container(root, base, state):
    """Root of a user namespace, who has no privilege outside, and /dev/fuse."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'])

    def body():
        m = harness.Mount(base, [state])
        try:
            check_all(m.start(), behind)
            m.stop(signal.SIGTERM)
        finally:
            m.kill()
    harness.in_user_namespace(body)


def sockets(pid):
    links = []
    for fd in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError):  # a directory that it no longer needs
            links.append(os.readlink(f'/proc/{pid}/fd/{fd}'))
    return links.count('/dev/fuse'), {link for link in links if link.startswith('socket:')}


def in_one_hand_each(m):
    found = {name: sockets(pid) for name, pid in processes(m).items()}
    counts = {name: (fuse, len(ends)) for name, (fuse, ends) in found.items()}
    return (counts == {'supervisor': (0, 1), 'server': (1, 2), 'announcer': (0, 1)} and
            len(set.union(*(ends for _, ends in found.values()))) == 4)


def test_descriptors(root, mount, state):
    """/dev/fuse is the server's alone; each end of a socket is where it belongs, after a new announcer too."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    m = mount(state)
    m.expect_log('.*: the announcer was killed by signal 9 .*')
    for _ in range(3):
        watching.announcer(m)
        wait_for(lambda: in_one_hand_each(m), 'each end to be where it belongs')
        gone = processes(m)['announcer']
        os.kill(gone, signal.SIGKILL)
        wait_for(lambda p=gone: p not in watching.children(m), 'it to be reaped')


def test_another_announcer(mount, state):
    """Is as confined as the first; while there is none, there is no line of it."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    m = mount(state)
    m.expect_log('.*: the announcer was killed by signal 9 .*')
    check_words(m)
    for _ in range(2):
        gone = watching.announcer(m)
        os.kill(gone, signal.SIGKILL)
        wait_for(lambda p=gone: p not in watching.children(m), 'it to be reaped')
        watching.announcer(m)
        check_words(m)
        check_threads(m, False)
    check_all(m, behind)


def test_a_view_that_is_covered_when_the_announcer_starts(root, mount, base, state):
    """It can't be bound to the view then; and is at work when that is bare again."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    m = mount(state)
    m.expect_log('.*: the announcer was killed by signal 9 .*')
    gone = watching.announcer(m)
    harness.system_mount('tmpfs', m.mnt, 'tmpfs', 0)
    try:
        os.kill(gone, signal.SIGKILL)
        wait_for(lambda: gone not in watching.children(m) and len(watching.children(m)) == 2, 'another')
        wait_for(lambda: 'shieldfs-events' in names(m), 'it to be at work')
    finally:
        harness.unmount(m.mnt, 'umount')
    check_working(m, behind)


def names(m):
    return [pathlib.Path(f'/proc/{pid}/comm').read_text(encoding='ascii').strip() for pid in watching.children(m)]
