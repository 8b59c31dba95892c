# SPDX-License-Identifier: Apache-2.0
"""What the system has no more of: address space, processes, inotify instances. Whoever asks for what it takes gets an
errno, or the start a line; nobody aborts, all else goes on, and so does what was refused, when there is more again."""

import contextlib
import errno
import os
import pathlib
import pwd
import re
import resource
import signal
import subprocess

import bundles
import harness
import pytest
import watching
from harness import wait_for

LONG = 2 << 20
NO_MEMORY = r'evil(/[a-z.]+)?: (Cannot allocate memory|not enough of the cache .*)'
NO_THREAD = r'(libfuse: |fuse: )?.*thread.*'
USER = pwd.getpwnam('games').pw_uid  # has no other processes, but a name, which fusermount3 asks for


ENTRIES = [f'{i:07}\n' for i in range(LONG // 9)]


def put_lists(behind, turn):
    """Many entries each, which are others each time."""
    for first, name in zip('abc', ('profile.allowed', 'live.allowed', 'deny.list')):
        bundles.put(behind / name, f'{turn}\n' + first + first.join(ENTRIES))


def address_space(pid):
    text = pathlib.Path(f'/proc/{pid}/status').read_text(encoding='ascii')
    return int(re.search(r'^VmSize:\s+(\d+) kB', text, re.M)[1]) * 1024


def test_address_space(mount, state, root):
    """At whatever step of reading and computing it ends, who opens the long lists is refused, and nobody else."""
    behind = bundles.container(state, 'evil')
    bundles.container(state, 'other', live=['1.1.1.1'])
    put_lists(behind, 0)
    m = watching.settled(mount(state, env={'MALLOC_ARENA_MAX': '1'}))  # more of these are address space to spare
    m.patterns[NO_MEMORY] = m.patterns[NO_THREAD] = 1
    server, found = watching.children(m)[0], []
    usual = address_space(server)
    for turn in range(10):
        if not harness.SLOW:  # a sanitizer's own can't be limited
            resource.prlimit(server, resource.RLIMIT_AS, (usual + (turn * 4 << 20), resource.RLIM_INFINITY))
        put_lists(behind, turn)
        found.append(harness.errno_of_read(m.mnt / 'evil/effective'))
        bundles.put(state / 'containers/other/live.allowed', f'1.1.1.{turn}\n')
        assert (m.mnt / 'other/effective').read_text() == f'1.1.1.{turn}\n'
        assert 'evil' in os.listdir(m.mnt) and m.process.poll() is None
    assert set(found) <= {0, errno.ENOMEM}, [errno.errorcode.get(e, e) for e in found]
    assert harness.SLOW or (errno.ENOMEM in found and 0 in found), found
    resource.prlimit(server, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert len((m.mnt / 'evil/effective').read_bytes()) == 2 * 9 * len(ENTRIES)
    assert watching.children(m)[0] == server
    wait_for(lambda: m.status()['problem'] == [], 'nothing to be wrong any more')


def test_address_space_at_the_start(state, base):
    """However little there is, the start says so or the view is right."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    if harness.SLOW:
        return
    served = []
    for mib in (8, 16, 24, 32, 64, 128, 256, 512):
        mnt = base / f'mnt{mib}'
        mnt.mkdir()
        served.append(serves(state, mnt, limited(mib)))
        assert said_or_served(state, mnt, limited(mib)) or mib < 64
    assert all(served[4:]), served  # as the manual says


def limited(mib):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))


def said_or_served(state, mnt, limit):
    """The same for a start in the background, which has said why before it ends."""
    done = subprocess.run([harness.SHIELDFS, state, mnt], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          preexec_fn=limit, timeout=harness.TIMEOUT)
    if done.returncode == 0:
        assert (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
        harness.unmount(mnt)
    else:
        assert done.returncode == 127 or done.stderr.startswith(b'shieldfs: '), done
    wait_for(lambda: os.fspath(mnt) not in harness.mounts(), 'the end of the mount')
    return done.returncode == 0


def serves(state, mnt, limit, exe=harness.SHIELDFS):
    """Does a server that is limited come up? Then it is right, and ends as it should. Else it has said why."""
    process = subprocess.Popen([exe, '-f', state, mnt], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, preexec_fn=limit)

    def come():
        with contextlib.suppress(OSError):
            return process.poll() is not None or (mnt / '.shieldfs/version').read_bytes()
    try:
        wait_for(come, 'the view, or the end of the start')
        served = process.poll() is None
        if served:
            assert (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
            process.terminate()
        said = process.communicate(timeout=harness.TIMEOUT)[1]
        assert process.returncode == (0 if served else 1 if said.startswith(b'shieldfs: ') else 127), said
        assert os.fspath(mnt) not in harness.mounts() and os.listdir(mnt) == []
        return served
    finally:
        process.kill()
        harness.release(mnt)


def test_processes_at_the_start(base, state, exe, root):
    """However few of them a user may have, threads counted: the start says so, or the view is right."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    (base / 'own').mkdir()
    os.chown(base / 'own', USER, USER)

    def body():
        served = []
        for limit in range(2, 20):  # this one counts too
            mnt = base / f'own/mnt{limit}'
            mnt.mkdir()
            served.append(serves(state, mnt, lambda n=limit: resource.setrlimit(resource.RLIMIT_NPROC, (n, n)), exe))
        assert not served[0] and served[-1], served
    harness.in_namespace(body, uid=USER)


def test_processes(base, state, exe, root):
    """A server that gets no further thread serves with those it has; an announcer that can't be replaced is, later."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    (base / 'own').mkdir()
    os.chown(base / 'own', USER, USER)

    def body():
        m = harness.Mount(base / 'own', [state], exe=exe)
        m.patterns.update({r'.*: no process for an announcer: .*': 1, NO_THREAD: 1})
        try:
            watching.settled(m.start())
            limits = [(pid, resource.prlimit(pid, resource.RLIMIT_NPROC)) for pid in (m.process.pid, *watching.children(m))]
            for pid, (_, hard) in limits:
                resource.prlimit(pid, resource.RLIMIT_NPROC, (1, hard))
            m.expect_log('.*: the announcer was killed by signal 9 .*')
            os.kill(watching.announcer(m), signal.SIGKILL)
            wait_for(lambda: 'no process for' in m.log_path.read_text(), 'no other one to be had')
            for i in range(20):
                (state / 'containers/c/live.allowed').write_text(f'1.1.1.{i}\n')
                cats = [subprocess.Popen(['cat', m.mnt / 'c/effective'], stdout=subprocess.PIPE) for _ in range(8)]
                assert {cat.communicate(timeout=harness.TIMEOUT)[0] for cat in cats} == {f'1.1.1.{i}\n'.encode()}
            for pid, limit in limits[:2]:
                resource.prlimit(pid, resource.RLIMIT_NPROC, limit)
            wait_for(lambda: m.status()['announcer'] == ['ok'], 'another one')
            m.stop()
        finally:
            m.kill()
    os.chown(state / 'containers/c/live.allowed', USER, USER)
    harness.in_namespace(body, uid=USER)


@pytest.mark.parametrize('what', ['instances', 'watches'])
def test_inotify(root, base, state, what):
    """Without an instance there is no view, and a line that says what to raise; without watches there is one, and
    status says the same."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    (base / 'mnt').mkdir()

    def body():
        pathlib.Path(f'/proc/sys/user/max_inotify_{what}').write_text('0\n')
        if what == 'instances':
            done = harness.run(harness.SHIELDFS, state, base / 'mnt', ok=False)
            assert done.returncode == 1 and b'raise fs.inotify.max_user_instances' in done.stderr, done
            assert os.fspath(base / 'mnt') not in harness.mounts()
            return
        m = harness.Mount(base, [state], options=['poll=1'])
        try:
            m.start()
            assert all('raise fs.inotify.max_user_watches' in line for line in m.status()['degraded'])
            for i in range(3):
                bundles.put(state / 'containers/c/live.allowed', f'2.2.2.{i}\n')
                assert (m.mnt / 'c/effective').read_text() == f'2.2.2.{i}\n'
            m.stop()
        finally:
            m.kill()
    harness.in_user_namespace(body)
