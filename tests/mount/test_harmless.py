# SPDX-License-Identifier: Apache-2.0
"""Nobody changes anything through the view, and the view changes nothing behind it."""

import ctypes
import errno
import os
import stat
import subprocess

import bundles
import harness
import pytest
from harness import fails, opened

PLACES = ['c/effective', 'c/denied', 'c/audit.jsonl', 'c/deny.list', 'c/hooks/terok-shield-poststop.json',
          '.shieldfs/status', '.shieldfs/version', '.shieldfs/metrics', 'c/terok-shield-hook']
DIRECTORIES = ['', 'c', 'c/hooks', '.shieldfs']


def listing(top):
    """Every path below TOP and TOP itself, as bytes."""
    found = [os.fsencode(top)]
    for here, dirs, files in os.walk(os.fsencode(top)):
        found += [os.path.join(here, n) for n in dirs + files]
    return sorted(found)


def snapshot(paths):
    """{path: everything that lstat tells of it}; looking at it does not touch it."""
    infos = {p: os.lstat(p) for p in paths}
    return {p: (*i, i.st_atime_ns, i.st_mtime_ns, i.st_ctime_ns) for p, i in infos.items()}


@pytest.fixture
def watched(state):
    """A state root whose access times are old, so that the kernel would move them, and its snapshot."""
    bundles.full(state / 'containers/c')
    bundles.task(state, 'p', '1', profile=['1.1.1.1'])
    behind = bundles.container(state, 'odd', {'deny.list': b'\xff'})
    (behind / 'link').symlink_to('deny.list')
    os.mkfifo(behind / 'fifo')
    paths = listing(state)
    for path in paths:
        if not os.path.islink(path):
            os.utime(path, ns=(10**9, os.lstat(path).st_mtime_ns))
    before = snapshot(paths)
    yield state
    assert snapshot(paths) == before, 'the view has touched what is behind it'
    assert listing(state) == paths


def meeting_names(count):
    """Names that a hash without a key takes for one: each pair of letters is either of two that it can't tell apart."""
    return [''.join('bA' if n >> pair & 1 else 'ab' for pair in range(13)) for n in range(count)]


def test_names_made_to_meet_in_one_slot(mount, state):
    names = set(meeting_names(5000))
    evil, other = bundles.container(state, 'evil'), bundles.container(state, 'other', live=['1.1.1.1'])
    m = mount(state)
    for name in names:
        bundles.put(evil / name, '')
    shown = {e.name: e.inode() for e in os.scandir(m.mnt / 'evil')}
    assert names <= shown.keys()
    assert len(set(shown.values())) == len(shown) == len(names) + 4
    bundles.put(other / 'live.allowed', '2.2.2.2\n')
    assert (m.mnt / 'other/effective').read_bytes() == b'2.2.2.2\n'
    for name in names:
        (evil / name).unlink()
    assert len(os.listdir(m.mnt / 'evil')) == 4


def test_reading_leaves_no_trace(mount, watched):
    m = mount(watched)
    m.expect_log(r'odd/(deny\.list|link|fifo): .+')
    for here, _, files in os.walk(m.mnt):
        for name in files:
            path = os.path.join(here, name)
            try:
                with opened(path) as fd:
                    harness.read_fd(fd)
            except OSError as error:
                assert error.errno in (errno.EILSEQ, errno.ELOOP, errno.EIO), path
    m.status()
    os.statvfs(m.mnt)


@pytest.mark.parametrize('place', PLACES)
def test_files_can_not_be_changed(mount, watched, place):
    m = mount(watched)
    path = m.mnt / place
    before = path.read_bytes()
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_TRUNC,
                  os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
        with fails(errno.EROFS):
            os.close(os.open(path, flags, 0o644))
    with fails(errno.EROFS):
        os.truncate(path, 0)
    with fails(errno.EROFS):
        os.truncate(path, len(before))
    with fails(errno.EROFS):
        os.unlink(path)
    for target in (path.parent / 'new', m.mnt / 'c/new', m.mnt / 'c/profile.allowed'):
        with fails(errno.EROFS):
            os.rename(path, target)
    for target in (path.parent / 'new', m.mnt / 'c/new'):
        with fails(errno.EROFS):
            os.link(path, target)
    with opened(path) as fd:
        with fails(errno.EROFS):
            os.fchmod(fd, 0o777)
        with fails(errno.EROFS):
            os.utime(fd, ns=(0, 0))
    assert path.read_bytes() == before or place == '.shieldfs/metrics'  # which has counted all that


@pytest.mark.parametrize('place', PLACES + DIRECTORIES)
def test_attributes_can_not_be_changed(mount, watched, place):
    m = mount(watched)
    path = m.mnt / place
    before = os.stat(path)
    for mode in (0o777, stat.S_IMODE(before.st_mode)):
        with fails(errno.EROFS):
            os.chmod(path, mode)
    for owner in ((1, 1), (before.st_uid, -1), (-1, before.st_gid)):
        with fails(errno.EROFS):
            os.chown(path, *owner)
    for times in (None, (0, 0), (before.st_atime_ns, before.st_mtime_ns)):
        with fails(errno.EROFS):
            os.utime(path, ns=times) if times else os.utime(path)
    for name in ('user.x', *(('trusted.x', 'security.x') if os.geteuid() == 0 else ())):
        with fails(errno.EROFS):
            os.setxattr(path, name, b'1')
        with fails(errno.EROFS):
            os.removexattr(path, name)
        with fails(errno.ENOTSUP):
            os.getxattr(path, name)
    with fails(errno.ENOTSUP):
        os.listxattr(path)
    assert os.stat(path) == before


@pytest.mark.parametrize('place', DIRECTORIES)
def test_directories_can_not_be_changed(mount, watched, place):
    m = mount(watched)
    path = m.mnt / place
    before = os.listdir(path)
    for name in ('new', '.new', 'x' * 255):
        for act in (lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o644)),
                    lambda p: os.close(os.open(p, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o644)),
                    os.mkdir, os.mkfifo, lambda p: os.mknod(p, stat.S_IFREG | 0o644),
                    lambda p: os.symlink('x', p),
                    lambda p: os.link(m.mnt / 'c/effective', p),
                    lambda p: os.rename(m.mnt / 'c/effective', p)):
            with fails(errno.EROFS):
                act(path / name)
    for name in before:
        remove = os.rmdir if (path / name).is_dir() else os.unlink
        with fails(errno.EROFS):
            remove(path / name)
    if place:
        with fails(errno.EROFS):
            os.rename(path, path.parent / 'other')
        with fails(errno.EROFS):
            os.rmdir(path)
    if place == 'c':
        for flags in (1, 2):
            ends = [os.fsencode(path / n) for n in ('allowed', 'denied' if flags == 2 else 'fresh')]
            assert harness.libc.renameat2(-100, ends[0], -100, ends[1], flags) == -1
            assert ctypes.get_errno() == errno.EROFS, flags
    with fails(errno.EROFS, errno.EOPNOTSUPP):
        os.close(os.open(path, os.O_TMPFILE | os.O_WRONLY))
    assert os.listdir(path) == before


def test_nothing_blocks(mount, state):
    """FIFOs, endless devices and links, in a list's place and beside: opening ends at once."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'])
    os.mkfifo(behind / 'deny.list')
    os.mkfifo(behind / 'audit.jsonl')
    m = mount(state)
    m.expect_log(r'c/(deny\.list|audit\.jsonl): .+')
    done = subprocess.run(['cat', m.mnt / 'c/effective', m.mnt / 'c/denied', m.mnt / 'c/audit.jsonl'],
                          capture_output=True, timeout=harness.TIMEOUT, check=False)
    assert (done.returncode, done.stdout) == (1, b'1.1.1.1\n')
    assert b'audit.jsonl: Input/output error' in done.stderr
    with opened(behind / 'deny.list', os.O_RDWR | os.O_NONBLOCK) as fifo:
        os.write(fifo, b'1.1.1.1\n')
        assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
        assert os.read(fifo, 100) == b'1.1.1.1\n', 'the server has read from the FIFO'


def test_links_are_never_followed(mount, base, state):
    secret = bundles.put(base / 'secret', '6.6.6.6\n')
    behind = bundles.container(state, 'c', profile=['1.1.1.1'])
    (behind / 'live.allowed').symlink_to(secret)
    (behind / 'audit.jsonl').symlink_to(secret)
    m = mount(state)
    m.expect_log(r'c/(live\.allowed|audit\.jsonl): .+')
    for name in ('allowed', 'effective', 'live.allowed', 'audit.jsonl'):
        with fails(errno.ELOOP):
            os.open(m.mnt / 'c' / name, os.O_RDONLY)
    assert (m.mnt / 'c/denied').read_bytes() == b''


def test_swapped_directories(mount, base, state):
    """A bundle that becomes a link, or a file, is gone."""
    other = bundles.container(base / 'other', 'c', profile=['6.6.6.6'])
    behind = bundles.container(state, 'c', {'hooks/x': 'x'}, profile=['1.1.1.1'])
    m = mount(state)
    with opened(m.mnt / 'c', os.O_RDONLY | os.O_DIRECTORY) as fd:
        assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
        behind.rename(base / 'away')
        behind.symlink_to(other)
        assert os.listdir(m.mnt) == ['.shieldfs']
        with fails(errno.ENOENT, errno.ESTALE):
            os.open('effective', os.O_RDONLY, dir_fd=fd)
    behind.unlink()
    bundles.put(behind, 'a file')
    assert os.listdir(m.mnt) == ['.shieldfs']
