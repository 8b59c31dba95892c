# SPDX-License-Identifier: Apache-2.0
"""Numbers of the view: inodes, link counts, modes, owners, sizes, times, statfs, and listings."""

import errno
import os
import stat

import bundles
import harness
from harness import fails

S = 10**9


def walk(top):
    """Every path below TOP as str, TOP itself included."""
    yield os.fspath(top)
    for here, dirs, files in os.walk(top):
        for name in dirs + files:
            yield os.path.join(here, name)


def test_inode_numbers(mount, state):
    """The same in listings as in stat, stable, unique, and never used again."""
    for name in ('a', 'b'):
        bundles.full(state / 'containers' / name)
    m = mount(state)

    def inodes():
        found = {os.fspath(m.mnt): os.lstat(m.mnt).st_ino}
        for here, dirs, files in os.walk(m.mnt):
            listed = {n.decode(): ino for ino, _, n in harness.getdents(here)}
            assert listed['.'] == os.lstat(here).st_ino
            if here != os.fspath(m.mnt):
                assert listed['..'] == os.lstat(os.path.dirname(here)).st_ino
            for name in dirs + files:
                path = os.path.join(here, name)
                found[path] = os.lstat(path).st_ino
                assert listed[name] == found[path], path
        return found
    first = inodes()
    assert len(set(first.values())) == len(first)
    assert inodes() == first
    if os.geteuid() == 0:
        m.drop_caches()
        assert inodes() == first, 'forgotten by the kernel, and other numbers after that'
    used = set(first.values())
    for _ in range(3):
        bundles.remove(state / 'containers/a')
        bundles.remove(state / 'containers/b/audit.jsonl')
        assert not os.path.lexists(m.mnt / 'a') and not os.path.lexists(m.mnt / 'b/audit.jsonl')
        bundles.full(state / 'containers/a')
        bundles.put(state / 'containers/b/audit.jsonl', '{}\n')
        now = inodes()
        inside = f'{m.mnt}/a'
        fresh = {p: now[p] for p in now if f'{p}/'.startswith(f'{inside}/') or p == f'{m.mnt}/b/audit.jsonl'}
        assert not used & set(fresh.values())
        assert all(first[p] == i for p, i in now.items() if p not in fresh)
        used |= set(fresh.values())


def test_inode_numbers_of_another_mount(mount, state):
    """The device has the same number again, so a file must not have another's of before. The root is the root.
    Programs that count with floating-point numbers can tell them apart."""
    bundles.full(state / 'containers/c')
    seen = [1]
    for _ in range(3):
        m = mount(state)
        places = [m.mnt, *m.mnt.rglob('*')]
        numbers = [os.lstat(p).st_ino for p in places]
        assert numbers[0] == 1
        assert min(numbers[1:]) > max(seen) and max(numbers) < 2**53
        seen += numbers
        m.stop()


def test_inode_of_a_replaced_file_stays(mount, state):
    behind = bundles.container(state, 'c', {'audit.jsonl': 'one\n'}, profile=['1.1.1.1'])
    m = mount(state)
    before = {n: os.stat(m.mnt / 'c' / n).st_ino for n in ('audit.jsonl', 'profile.allowed', 'effective')}
    for name in ('audit.jsonl', 'profile.allowed'):
        bundles.put(behind / 'new', 'replaced\n').rename(behind / name)
    assert {n: os.stat(m.mnt / 'c' / n).st_ino for n in before} == before
    assert (m.mnt / 'c/audit.jsonl').read_bytes() == (m.mnt / 'c/effective').read_bytes() == b'replaced\n'


def test_a_renamed_container_is_a_new_one(mount, state):
    bundles.container(state, 'old', profile=['1.1.1.1'])
    m = mount(state)
    before = os.stat(m.mnt / 'old').st_ino
    (state / 'containers/old').rename(state / 'containers/new')
    with fails(errno.ENOENT):
        os.stat(m.mnt / 'old')
    assert os.stat(m.mnt / 'new').st_ino != before
    assert (m.mnt / 'new/effective').read_bytes() == b'1.1.1.1\n'


def test_types_modes_and_links(mount, state):
    bundles.full(state / 'containers/full')
    bundles.container(state, 'bare').chmod(0o700)
    bundles.put(state / 'containers/bare/profile.allowed', '').chmod(0o600)
    m = mount(state)
    links = {'.': 2 + 3, '.shieldfs': 2, 'full': 3, 'full/hooks': 2, 'bare': 2}
    for path in walk(m.mnt):
        info = os.lstat(path)
        name = os.path.relpath(path, m.mnt)
        if name in links:
            assert info.st_mode == stat.S_IFDIR | 0o555, path
            assert (info.st_nlink, info.st_size) == (links[name], 0), path
            for _, kind, entry in harness.getdents(path):
                below = os.lstat(os.path.join(os.fsencode(path), entry))
                assert kind == stat.S_IFMT(below.st_mode) >> 12, (path, entry)
        else:
            assert info.st_mode == stat.S_IFREG | 0o444, path
            assert info.st_nlink == 1, path


def test_mount_flags(mount, state):
    m = mount(state)
    options, kind, source = harness.mounts()[os.fspath(m.mnt)]
    assert {'nosuid', 'nodev', 'noexec'} <= set(options)
    assert (kind, source) == ('fuse.shieldfs', os.fspath(state))


def test_owners(mount, state, root):
    behind = bundles.full(state / 'containers/c')
    for i, path in enumerate(sorted(walk(behind))):
        os.chown(path, 5000 + i, 6000 + i)
    m = mount(state)
    for path in sorted(walk(behind)):
        seen, want = os.stat(path.replace(os.fspath(behind), f'{m.mnt}/c')), os.stat(path)
        assert (seen.st_uid, seen.st_gid) == (want.st_uid, want.st_gid), path
    for name in harness.COMPUTED:
        assert os.stat(m.mnt / 'c' / name).st_uid == os.stat(behind).st_uid
        assert os.stat(m.mnt / 'c' / name).st_gid == os.stat(behind).st_gid
    for path in (m.mnt, m.mnt / '.shieldfs', m.mnt / '.shieldfs/status'):
        assert (os.stat(path).st_uid, os.stat(path).st_gid) == (0, 0)


def test_raw_sizes_and_times(mount, state):
    behind = bundles.full(state / 'containers/c')
    for i, path in enumerate(sorted(walk(behind), reverse=True)):
        os.utime(path, ns=((1000 + i) * S, (2000 + i) * S + 123456789 + i))
    m = mount(state)
    for path in walk(behind):
        seen, want = os.stat(path.replace(os.fspath(behind), f'{m.mnt}/c')), os.stat(path)
        assert seen.st_mtime_ns == want.st_mtime_ns, path
        if stat.S_ISREG(want.st_mode):
            assert seen.st_atime_ns == seen.st_mtime_ns and seen.st_size == want.st_size, path


def test_computed_times(mount, state):
    """The latest source's time; without sources the bundle's; forward with every change of the content."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'], live=['2.2.2.2'], deny=['3.3.3.3'])
    bundles.container(state, 'bare', {'audit.jsonl': '{}\n'})
    times = {'profile.allowed': 3000 * S + 7, 'live.allowed': 2000 * S + 8, 'deny.list': 4000 * S + 9}
    for name, ns in times.items():
        os.utime(behind / name, ns=(S, ns))
    os.utime(state / 'containers/bare', ns=(S, 5000 * S + 1))
    m = mount(state)

    def mtime(name, container='c'):
        info = os.stat(m.mnt / container / name)
        assert info.st_atime_ns == info.st_mtime_ns
        return info.st_mtime_ns
    assert mtime('allowed') == 3000 * S + 7
    assert mtime('denied') == mtime('effective') == 4000 * S + 9
    assert [mtime(n, 'bare') for n in harness.COMPUTED] == [5000 * S + 1] * 4
    last = mtime('allowed')
    for i in range(5):
        bundles.put(behind / 'new', f'2.2.2.{i}\n')  # under its name at once, so that no other time is ever seen
        os.utime(behind / 'new', ns=(S, 1000 * S))
        os.rename(behind / 'new', behind / 'live.allowed')
        assert (m.mnt / 'c/allowed').read_text() == f'1.1.1.1\n2.2.2.{i}\n'
        assert mtime('allowed') > last, 'the content changed, the mtime did not move forward'
        last = mtime('allowed')
    (behind / 'live.allowed').unlink()
    assert mtime('allowed') > last
    assert mtime('denied') == 4000 * S + 9
    os.utime(behind / 'profile.allowed', ns=(S, 9000 * S))
    assert mtime('allowed') == mtime('effective') == 9000 * S


def test_size_without_open(mount, state):
    """stat gives the size of what an open would give, also when nobody ever opened it, and after changes."""
    behind = bundles.full(state / 'containers/c')
    m = mount(state)
    for content in (None, b'', b'9.9.9.9\r\n\r\n 8.8.8.8 \n9.9.9.9', b'\xff\n', b'7.7.7.7\n'):
        if content is not None:
            bundles.put(behind / 'profile.allowed', content)
        for name in harness.COMPUTED:
            size = os.stat(m.mnt / 'c' / name).st_size
            try:
                assert size == len((m.mnt / 'c' / name).read_bytes()), name
            except OSError as error:
                assert (error.errno, size) == (errno.EILSEQ, 0)
                assert name in ('effective', 'allowed') and content == b'\xff\n'
    m.expect_log('c/profile.allowed: line 1: not UTF-8 at byte 1')


def test_stat_in_error(mount, state):
    """Size 0 and the sources' times; access(2) and statx go on too."""
    behind = bundles.container(state, 'c', {'deny.list': b'\x80'}, profile=['1.1.1.1'])
    os.utime(behind / 'deny.list', ns=(S, 7000 * S))
    os.utime(behind / 'profile.allowed', ns=(S, 6000 * S))
    m = mount(state)
    for name in ('denied', 'effective'):
        info = os.stat(m.mnt / 'c' / name)
        assert (info.st_size, info.st_mtime_ns, info.st_mode & ~0o444) == (0, 7000 * S, stat.S_IFREG)
        assert os.access(m.mnt / 'c' / name, os.F_OK)
        m.expect_log('c/deny.list: line 1: not UTF-8 at byte 1')
        with fails(errno.EILSEQ):
            os.open(m.mnt / 'c' / name, os.O_RDONLY)


def test_statfs(mount, state):
    for name in ('a', 'b', 'c'):
        bundles.container(state, name)
    m = mount(state)
    for path in (m.mnt, m.mnt / 'a', m.mnt / 'a/effective'):
        info = os.statvfs(path)
        assert (info.f_blocks, info.f_bfree, info.f_bavail) == (0, 0, 0)
        assert (info.f_bsize, info.f_files, info.f_namemax) == (4096, 3, 255)


def test_listings(mount, state):
    """Sorted by bytes after `.` and `..`; taken when offset 0 is read, whole in small pieces."""
    made = sorted([f'c{i}' for i in range(300)] + ['Z', '_', 'a-b', 'a.b', 'a_b'], key=os.fsencode)
    for name in made:
        bundles.container(state, name)
    m = mount(state)
    listing = [n.decode() for _, _, n in harness.getdents(m.mnt)]
    assert listing == ['.', '..', '.shieldfs', *made]

    def meddle():
        bundles.container(state, 'c0-new')
        bundles.remove(state / 'containers/c299')
    assert [n.decode() for _, _, n in harness.getdents(m.mnt, 256, meddle)] == listing
    after = [n for n in listing if n != 'c299'] + ['c0-new']
    assert [n.decode() for _, _, n in harness.getdents(m.mnt)] == sorted(after, key=os.fsencode)
    with harness.opened(m.mnt, os.O_RDONLY | os.O_DIRECTORY) as fd:
        assert len(os.listdir(fd)) == len(after) - 2
        bundles.remove(state / 'containers/c298')
        assert len(os.listdir(fd)) == len(after) - 3, 'rewinding takes a new listing'


def test_one_bundle_of_many_files(mount, state):
    behind = bundles.container(state, 'c', {f'file-{i:04}': str(i) for i in range(1500)})
    m = mount(state)
    assert os.listdir(m.mnt / 'c') == sorted([*os.listdir(behind), *harness.COMPUTED])
    for i in (0, 777, 1499):
        assert (m.mnt / f'c/file-{i:04}').read_text() == str(i)
