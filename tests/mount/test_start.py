# SPDX-License-Identifier: Apache-2.0
"""The start beside other starts and other mounts, and as mount(8) calls it: one mount at one place, one line on
standard error for whatever is refused."""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import signal
import subprocess

import bundles
import harness
import pytest
from harness import run

REFUSED = re.compile(r'shieldfs: \S+: (already mounted here: |another shieldfs is being started here)')


def entries(path):
    """How often PATH is in the mount table."""
    lines = pathlib.Path('/proc/self/mountinfo').read_text(encoding='utf-8').split('\n')
    return [harness.unescape(ln.split(' ')[4]) for ln in lines if ln].count(os.fspath(path))


def start(*argv, exe=harness.SHIELDFS, **kw):
    return subprocess.Popen([os.fspath(a) for a in (exe, *argv)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)


def begun(*argv, **kw):
    """A start that must succeed, without a word."""
    process = start(*argv, **kw)
    out, err = process.communicate(timeout=harness.TIMEOUT)
    assert (process.returncode, out, err) == (0, '', ''), (argv, process.returncode, err)


def refused(*argv, **kw):
    """What a start says in one line that must fail."""
    process = start(*argv, **kw)
    out, err = process.communicate(timeout=harness.TIMEOUT)
    assert (process.returncode, out) == (1, ''), (argv, process.returncode, err)
    assert err.startswith('shieldfs: ') and err.endswith('\n') and err.count('\n') == 1, (argv, err)
    assert err[:-1].isprintable(), err
    return err


def ended(place, *, below=0):
    """Unmount, and wait until nothing is left of it; BELOW: how many mounts it covered."""
    harness.unmount(place)
    harness.wait_for(lambda: not harness.servers(place), 'the servers to end')
    assert entries(place) == below


def supervisor(place):
    pids = harness.servers(place)
    parents = {p: int(re.search(r'PPid:\s*(\d+)', pathlib.Path(f'/proc/{p}/status').read_text())[1]) for p in pids}
    [pid] = [p for p in pids if parents[p] not in pids]
    return pid


def left_dead(state, place, **kw):
    """A mount whose supervisor was killed."""
    begun(state, place, **kw)
    os.kill(supervisor(place), signal.SIGKILL)
    harness.wait_for(lambda: harness.is_dead(place), 'the mount to be dead')


def race(state, place, options=(), **kw):
    """Several starts at once: one wins."""
    processes = [start(*options, state, place, **kw) for _ in range(4)]
    said = [p.communicate(timeout=harness.TIMEOUT)[1] for p in processes]
    codes = [p.returncode for p in processes]
    assert sorted(codes) == [0, 1, 1, 1], (codes, said)
    for code, text in zip(codes, said, strict=True):
        text = re.sub(r'^shieldfs: \S+: a dead mount of shieldfs was taken away\n', '', text)
        assert text == '' if code == 0 else REFUSED.match(text) and text.count('\n') == 1, (code, text)
    assert entries(place) == 1
    assert (place / 'c/effective').read_bytes() == b'1.1.1.1\n'


@pytest.mark.parametrize('options', [(), ('-o', 'nonempty')], ids=['plain', 'nonempty'])
def test_several_starts_at_once(place, state, options):
    for _ in range(8):
        race(state, place, options)
        ended(place)


def test_several_starts_on_a_dead_mount(place, state):
    for _ in range(5):
        left_dead(state, place)
        race(state, place)
        ended(place)


def test_several_starts_of_a_plain_user(place, state, exe, root):
    def body():
        for _ in range(4):
            race(state, place, exe=exe)
            ended(place)
            left_dead(state, place, exe=exe)
            race(state, place, exe=exe)
            ended(place)
    os.chown(place, harness.NOBODY, -1)
    harness.in_namespace(body, uid=harness.NOBODY)


@contextlib.contextmanager
def locked(path):
    with harness.opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield


def waits(process, path):
    """Has PROCESS the directory open, as it has when it waits for its lock?"""
    with contextlib.suppress(OSError):  # it has just been made, or ends
        fds = pathlib.Path(f'/proc/{process.pid}/fd')
        return os.fspath(path) in [os.readlink(fd) for fd in fds.iterdir()]
    return False


def test_start_waits_for_another(place, state):
    with locked(place):
        process = start(state, place)
        harness.wait_for(lambda: waits(process, place), 'the start to wait')
        assert entries(place) == 0
    assert process.communicate(timeout=harness.TIMEOUT) == ('', '')
    assert process.returncode == 0 and entries(place) == 1


def test_somebody_keeps_the_lock(place, state):
    """That is told in the end, and names the place."""
    with locked(place):
        said = refused(state, place)
    assert f'{place}: another shieldfs is being started here, or some program keeps a lock' in said
    begun(state, place)
    with locked(place.parent):  # is nobody's business
        assert 'already mounted here' in refused(state, place)


def test_lock_is_given_back(place, state):
    """Once mounted, neither of the processes holds the directory below, which may be another's to unmount."""
    place_fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        begun(state, place)
        fcntl.flock(place_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

        def seen():
            found = [p for p in harness.servers(place) if os.access(f'/proc/{p}/fd', os.R_OK)]
            return len(found) == (3 if os.geteuid() == 0 else 1) and found  # a plain user: one
        pids = harness.wait_for(seen, 'all to be confined')
        below = os.fstat(place_fd)
        for fd in (f'/proc/{p}/fd/{fd}' for p in pids for fd in os.listdir(f'/proc/{p}/fd')):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                assert not os.path.samestat(os.stat(fd), below), os.readlink(fd)
    finally:
        os.close(place_fd)


def test_helper_that_is_late(place, base, state, exe, root):
    """fusermount3 goes by path: while it clears a dead mount, no other start mounts there."""
    go = base / 'go'
    (base / 'late').mkdir()
    helper = bundles.put(base / 'late/fusermount3', f'#!/bin/sh\ntouch {base}/late/begun\n'
                         f'until [ -e {go} ]; do sleep 0.01; done\nexec {shutil.which("fusermount3")} "$@"\n')
    helper.chmod(0o755)
    for path in (place, base, helper.parent):
        os.chown(path, harness.NOBODY, -1)

    def body():
        left_dead(state, place, exe=exe)
        first = start(state, place, exe=exe, env=dict(os.environ, PATH=f'{helper.parent}:{os.environ["PATH"]}'))
        harness.wait_for(lambda: os.path.exists(base / 'late/begun'), 'the helper to begin')
        second = start(state, place, exe=exe)
        harness.wait_for(lambda: second.poll() is not None or waits(second, base), 'the second start to wait')
        go.touch()
        said = [p.communicate(timeout=harness.TIMEOUT)[1] for p in (first, second)]
        assert sorted([first.returncode, second.returncode]) == [0, 1], said
        assert entries(place) == 1
        assert (place / 'c/effective').read_bytes() == b'1.1.1.1\n'
        ended(place)
    harness.in_namespace(body, uid=harness.NOBODY)


def test_directory_that_cannot_be_read(place, state, exe, root):
    """There is no lock to be had then, and the start goes on."""
    os.chown(place, harness.NOBODY, -1)
    place.chmod(0o300)

    def body():
        begun('-o', 'nonempty', state, place, exe=exe)
        assert entries(place) == 1
        assert 'already mounted here' in refused('-o', 'nonempty', state, place, exe=exe)
        ended(place)
    harness.in_namespace(body, uid=harness.NOBODY)


def already_mounted(state, place, exe=harness.SHIELDFS):
    for options in ([], ['-f'], ['-o', 'nonempty']):
        said = refused(*options, state, place, exe=exe)
        for word in (f'{place}: already mounted here', 'fusermount3 -u', os.fspath(state), 'fuse.shieldfs'):
            assert word in said, (word, said)
    assert entries(place) == 1


def test_already_mounted(place, base, state):
    """Whoever looks, and however the place is written."""
    begun(state, place)
    (base / 'link').symlink_to(place)
    already_mounted(state, place)
    for other in (f'{place}/', f'{place}/.', base / 'link', f'{base}/link/'):
        assert f'{place}: already mounted here' in refused(state, other)
    assert (place / 'c/effective').read_bytes() == b'1.1.1.1\n'


def test_already_mounted_by_a_plain_user(place, state, exe, root):
    os.chown(place, harness.NOBODY, -1)

    def body():
        begun(state, place, exe=exe)
        already_mounted(state, place, exe=exe)
        ended(place)
    harness.in_namespace(body, uid=harness.NOBODY)


def test_already_mounted_by_another_user(place, state, exe, root):
    """He can't look into it, but the mount table can."""
    begun(state, place)
    harness.in_namespace(lambda: already_mounted(state, place, exe=exe), uid=harness.NOBODY)


def test_other_mounts_are_named(place, state, root):
    """And may be covered with -o nonempty, as before."""
    harness.system_mount('thing', place, 'tmpfs', 0, b'mode=755')
    try:
        begun(state, place)
        ended(place, below=1)
        bundles.put(place / 'file', '')
        said = refused(state, place)
        assert f'{place}: the mount point is not empty' in said and 'thing, a mount of tmpfs, is there' in said
        begun('-o', 'nonempty', state, place)
        ended(place, below=1)
    finally:
        run('umount', place)


def test_copy_of_the_mount_elsewhere(place, state, root):
    """Unmounted here, the view lives on where another mount namespace has it; SIGTERM ends it everywhere."""
    begun(state, place)
    pid = supervisor(place)
    with subprocess.Popen(['unshare', '-m', '--propagation', 'private', 'sleep', 'infinity']) as other:
        try:
            inside = pathlib.Path(f'/proc/{other.pid}/root{place}/c/effective')
            harness.wait_for(lambda: os.readlink(f'/proc/{other.pid}/ns/mnt') != os.readlink('/proc/self/ns/mnt') and
                             b'sleep' in pathlib.Path(f'/proc/{other.pid}/cmdline').read_bytes(), 'the namespace')
            harness.unmount(place)
            assert entries(place) == 0
            assert inside.read_bytes() == b'1.1.1.1\n'
            begun(state, place)  # the place itself is free
            os.kill(pid, signal.SIGTERM)
            harness.wait_for(lambda: pid not in harness.servers(place), 'the supervisor to end')
            with harness.fails(harness.errno.ENOTCONN):
                inside.read_bytes()
            assert (place / 'c/effective').read_bytes() == b'1.1.1.1\n'
        finally:
            other.kill()
    ended(place)


def test_other_mounts_are_named_to_a_plain_user(place, state, exe, root):
    """He may not write there, or not even look."""
    def tmpfs():
        harness.system_mount('thing', place, 'tmpfs', 0, b'mode=755')

    def fuse():
        fd = os.open('/dev/fuse', os.O_RDWR)  # nobody serves it
        harness.system_mount('other', place, 'fuse.other', 0, f'fd={fd},rootmode=40000,user_id=0,group_id=0'.encode())

    for prepare, words in ((tmpfs, ['must be writable', 'thing, a mount of tmpfs']),
                           (fuse, ['Permission denied', 'other, a mount of fuse.other'])):
        def body(words=words):
            said = refused(state, place, exe=exe)
            assert all(w in said for w in [f'{place}: ', *words]), said
        harness.in_namespace(body, uid=harness.NOBODY, prepare=prepare)


def test_dead_mount_behind_a_link(place, base, state):
    (base / 'link').symlink_to(place)
    for other in (base / 'link', f'{base}/link/', f'{place}/'):
        left_dead(state, place)
        process = start(state, other)
        assert process.communicate(timeout=harness.TIMEOUT)[1] == \
            f'shieldfs: {place}: a dead mount of shieldfs was taken away\n'
        assert process.returncode == 0 and entries(place) == 1
        ended(place)
        harness.wait_for(lambda other=other: not harness.servers(other), 'the servers to end')


def test_dead_mounts_over_each_other(place, base, state, root):
    other = base / 'other'
    other.mkdir()
    try:
        begun(state, place)
        begun(state, other)
        harness.system_mount(other, place, None, 0x1000)  # a bind mount
        for path in (other, place):
            os.kill(supervisor(path), signal.SIGKILL)
        harness.wait_for(lambda: not harness.servers(other) + harness.servers(place), 'the servers to end')
        assert entries(place) == 2
        process = start(state, place)
        said = process.communicate(timeout=harness.TIMEOUT)[1]
        assert said == f'shieldfs: {place}: a dead mount of shieldfs was taken away\n' * 2
        assert process.returncode == 0 and entries(place) == 1
    finally:
        harness.release(other)


def test_dead_mount_of_another_program(place, state, root):
    """It is not ours to take."""
    fuse = os.open('/dev/fuse', os.O_RDWR)
    harness.system_mount('other', place, 'fuse.other', 0, f'fd={fuse},rootmode=40000,user_id=0,group_id=0'.encode())
    try:
        os.close(fuse)
        assert f'{place}: a dead mount of another program is there' in refused(state, place)
        assert entries(place) == 1
    finally:
        run('umount', place)


@pytest.mark.parametrize('word', ['mnt/', './mnt', '.', 'link', 'link/', 'sub/../mnt', '-mnt'])
def test_place_in_other_words(place, base, state, word):
    """Relative to where the start is made; behind --, a word may begin with a dash."""
    (base / 'link').symlink_to(place)
    (base / 'sub').mkdir()
    (base / '-mnt').symlink_to(place)
    begun('--', state, word, cwd=place if word == '.' else base)
    assert (place / 'c/effective').read_bytes() == b'1.1.1.1\n'
    ended(place)
    harness.wait_for(lambda: not harness.servers(word), 'the servers to end')


ODD = ['a b', 'tab\t', 'line\nline', 'back\\slash', '\\040', '#', 'a,b', 'ümläut', '\x01', 'a - fuse b', '//deleted']


@pytest.mark.parametrize('name', ODD, ids=repr)
def test_place_with_an_odd_name(base, state, name):
    """The mount table writes it otherwise; it is found there all the same, dead and alive."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    place = base / f'mnt{name}'
    place.mkdir(parents=True)
    try:
        begun(state, place)
        assert entries(place) == 1
        assert 'already mounted here' in refused(state, place)
        ended(place)
        left_dead(state, place)
        process = start(state, place)
        assert process.communicate(timeout=harness.TIMEOUT)[1].endswith(': a dead mount of shieldfs was taken away\n')
        assert process.returncode == 0 and entries(place) == 1
        os.kill(supervisor(place), signal.SIGTERM)
        harness.wait_for(lambda: not harness.servers(place), 'the servers to end')
        assert entries(place) == 0
    finally:
        harness.release(place)


def test_place_that_goes_away(place, state):
    """Each start either mounts or says in one line what is wrong."""
    for _ in range(12):
        process = start(state, place)
        with contextlib.suppress(OSError):
            place.rmdir()
        out, err = process.communicate(timeout=harness.TIMEOUT)
        if process.returncode == 0:
            assert (out, err, entries(place)) == ('', '', 1)
            ended(place)
        else:
            assert process.returncode == 1 and out == '', (process.returncode, out, err)
            assert err.startswith('shieldfs: ') and err.count('\n') == 1, err
        with contextlib.suppress(FileExistsError):
            place.mkdir()
