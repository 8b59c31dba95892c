# SPDX-License-Identifier: Apache-2.0
"""Bundles and sources that are made to do harm, or come to it: whoever asks for one of them gets what is there or an
errno that says so, at whatever moment; and whoever asks for another notices nothing. Times are asserted only where
the machine has nothing else to do."""

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time

import bundles
import harness
import pytest
from harness import COMPUTED, fails, opened, wait_for

ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 1000)
SEED = int(os.environ.get('SHIELD_SEED') or random.randrange(1 << 32))
SOURCEFS = harness.SHIELDFS.parents[1] / 'tests/mount/sourcefs'
PROMPT = 5 if harness.SLOW else 0.5  # seconds: what needs no reading takes no longer, but now and then on a busy machine
GONE = (errno.ENOENT, errno.ESTALE, errno.ENOTDIR)


@pytest.fixture
def other(state):
    return bundles.container(state, 'other', {'hooks/x.json': '{}\n'}, profile=['1.1.1.1'], live=[], deny=[])


def look_at_other(m):
    """What needs no reading; gives the longest that one of it took."""
    longest = 0
    for act in (lambda: os.stat(m.mnt / 'other/effective'), lambda: os.listdir(m.mnt / 'other/hooks'),
                lambda: (m.mnt / 'other/effective').read_bytes(), lambda: os.listdir(m.mnt), lambda: os.statvfs(m.mnt)):
        begin = time.monotonic()
        act()
        longest = max(longest, time.monotonic() - begin)
    return longest


@contextlib.contextmanager
def again_and_again(act):
    """ACT in a loop, in a thread; gives how often it was done. Its failure is ours."""
    count, over, wrong = [0], threading.Event(), []

    def run():
        try:
            while not over.is_set():
                act()
                count[0] += 1
        except BaseException as error:
            wrong.append(error)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield lambda: count[0]
    finally:
        over.set()
        thread.join(harness.TIMEOUT)
    assert not wrong, wrong
    assert not thread.is_alive(), 'it hangs'


READER = r'''
import os, sys
while True:
    for path in sys.argv[1:]:
        try:
            if os.path.isdir(path):
                os.listdir(path)
            else:
                with open(path, "rb") as file:
                    for _ in range(64):
                        if not file.read(1 << 20):
                            break
        except OSError as error:
            pass
    print("read", flush=True)
'''


def long_lists(behind):
    for first, name in zip('abc', ('profile.allowed', 'live.allowed', 'deny.list')):
        bundles.put(behind / name, ''.join(f'{first}{i:07}\n' for i in range(200000)))


def sparse(behind):
    for name in ('deny.list', 'audit.jsonl'):
        with open(behind / name, 'wb') as file:
            file.truncate(1 << 40)


def many_files(behind):
    for i in range(100000):
        if i % 50000 == 0:
            bundles.put(first := behind / f'{i}', '')
        else:
            os.link(first, behind / f'{i}')


def full_hooks(behind):
    (behind / 'hooks').mkdir(exist_ok=True)
    for i in range(1000):
        (behind / f'hooks/{i}').mkdir()


def touched(behind):
    """What is in it must be read again."""
    for name in ('profile.allowed', 'deny.list'):
        with contextlib.suppress(FileNotFoundError):
            os.utime(behind / name)


@pytest.mark.parametrize('make', [long_lists, sparse, many_files, full_hooks], ids=lambda make: make.__name__)
def test_others_beside_it(mount, state, base, other, make):
    """While somebody reads and lists an evil bundle without end, and it changes all the time."""
    behind = bundles.container(state, 'evil', profile=['1.1.1.1'])
    make(behind)
    m = mount(state)
    m.patterns[r'evil[/a-z.]*: .*'] = 1
    evil = [m.mnt / 'evil' / name for name in ('', 'hooks', 'effective', 'denied', 'audit.jsonl')]
    reader = subprocess.Popen([sys.executable, '-c', READER, *evil], stdout=subprocess.PIPE)
    try:
        assert reader.stdout.readline() == b'read\n'
        os.set_blocking(reader.stdout.fileno(), False)
        read, took = 0, []
        while not read or len(took) < 20:
            touched(behind)
            took.append(look_at_other(m))
            read += (reader.stdout.read() or b'').count(b'\n')
        assert reader.poll() is None
        assert sorted(took)[len(took) // 2] < PROMPT and min(took) < PROMPT / 5, took
    finally:
        reader.kill()
        reader.communicate()
    assert all(line.startswith('evil') for line in m.status()['problem'])


def test_list_without_end(mount, state, other):
    """A list that grows while it is read: an open gets one that was whole, is refused while it is being written, and
    at last because it is too long. A raw file shows what is there."""
    behind = bundles.container(state, 'evil', profile=[], live=[], deny=[])
    m = mount(state, options=['max_size=256K', 'settle=50'])
    m.patterns[r'evil/[a-z.]*: (.*being written.*|longer than .*)'] = 1
    found, size = [], 0

    def grow():
        bundles.append(behind / 'deny.list', ''.join(f'{i:07}\n' for i in range(512)))
    with again_and_again(grow) as grown:
        while errno.EFBIG not in found:
            try:
                text = (m.mnt / 'evil/denied').read_bytes()
                assert len(text) % 8 == 0
                found.append(0)
            except OSError as error:
                found.append(error.errno)
            look_at_other(m)
            with opened(m.mnt / 'evil/deny.list') as fd:
                before, size = size, os.fstat(fd).st_size
                assert size >= before and (size == 0 or len(os.pread(fd, 100, size - 100)) == 100)
        assert grown() > 60
    assert set(found) <= {0, errno.EBUSY, errno.EFBIG}, set(found)
    with fails(errno.EFBIG):
        (m.mnt / 'evil/effective').read_bytes()


def test_one_tebibyte(mount, state, other):
    """Of a list so long nothing is read; of a raw file what is asked for."""
    behind = bundles.container(state, 'evil')
    sparse(behind)
    m = mount(state)
    m.expect_log('evil/deny.list: longer than the limit of 16777216 bytes')
    for name in ('denied', 'effective'):
        with fails(errno.EFBIG):
            os.open(m.mnt / 'evil' / name, os.O_RDONLY)
    assert os.stat(m.mnt / 'evil/audit.jsonl').st_size == 1 << 40
    with opened(m.mnt / 'evil/audit.jsonl') as fd:
        assert os.pread(fd, 100, (1 << 40) - 10) == bytes(10)
        assert os.pread(fd, 100, 1 << 40) == b''
    assert m.status()['problem'] == ['evil/deny.list: longer than the limit of 16777216 bytes']


ODD_NAMES = [b'x' * 255, b'\xff' * 255, b'two\nlines', b'\x1b[31mred\x1b[m', b'\x07\x7f', b'\xc0\xaf', b'caf\xc3\xa9',
             b'\xe2\x80\xae' * 85, b'shieldfs: fake: line', b' ', b'-rf', b'a\\x0ab', b'effective\n', b'.shieldfs']


def test_odd_names(mount, state, other):
    """Files are shown by their very bytes; what can't be shown is told of in one printable line each."""
    behind = os.fsencode(bundles.container(state, 'evil', {'hooks/x': ''}))
    for name in ODD_NAMES:
        bundles.put(os.path.join(behind, name), name)
        bundles.put(os.path.join(behind, b'hooks', name), name)
        if len(name) < 255:
            os.mkdir(os.path.join(behind, name + b'#'))
            os.mkdir(os.path.join(behind, b'hooks', name + b'#'))
        os.mkdir(os.path.join(os.fsencode(state), b'containers', name))
    m = mount(state)
    m.patterns['.*'] = 1  # each is checked to be printable
    evil = os.path.join(os.fsencode(m.mnt), b'evil')
    assert set(os.listdir(evil)) == {*ODD_NAMES, *map(os.fsencode, COMPUTED), b'hooks'}
    assert set(os.listdir(os.path.join(evil, b'hooks'))) == {*ODD_NAMES, b'x'}
    for name in ODD_NAMES:
        for place in (evil, os.path.join(evil, b'hooks')):
            with opened(os.path.join(place, name)) as fd:
                assert harness.read_fd(fd) == name
        with fails(errno.ENOENT, errno.ENAMETOOLONG):
            os.stat(os.path.join(evil, name + b'#'))
    shown = {b'evil', b'other', b'.shieldfs', b'x' * 255}
    assert set(os.listdir(os.fsencode(m.mnt))) == shown
    problems = m.status()['problem']
    assert len(problems) == 2 * sum(len(name) < 255 for name in ODD_NAMES) + len(ODD_NAMES) - 1, problems
    with opened(evil, os.O_RDONLY | os.O_DIRECTORY) as fd:
        for _ in range(3):  # and they come and go
            for name in ODD_NAMES:
                os.unlink(os.path.join(behind, name))
            wait_for(lambda: len(os.listdir(evil)) == len(COMPUTED) + 1, 'them to go')
            for name in ODD_NAMES:
                bundles.put(os.path.join(behind, name), name)
            assert len(os.listdir(fd)) == len(COMPUTED) + 1 + len(ODD_NAMES)


def test_bundle_that_comes_and_goes(mount, state, base, other):
    """It is removed, renamed, and replaced by a file, a link and another bundle, while it is listed and read."""
    rng = random.Random(SEED)
    print('seed', SEED)
    behind, away, wrong = state / 'containers/evil', base / 'away', []
    texts = {b'1.1.1.1\n', b'2.2.2.2\n', b''}  # it is removed file by file
    turn = 0

    def change():
        nonlocal turn
        turn += 1
        bundles.remove(away)
        if behind.exists() or behind.is_symlink():
            os.rename(behind, away) if rng.random() < 0.5 else bundles.remove(behind)
        kind = rng.randrange(4)
        if kind == 0:
            bundles.put(behind, 'a file\n')
        elif kind == 1:
            behind.symlink_to(other)
        elif kind == 2:
            bundles.bundle(base / 'new', {'hooks/y': ''}, profile=['1.1.1.1' if turn % 2 else '2.2.2.2'])
            os.rename(base / 'new', behind)

    def read():
        for act in (lambda: os.listdir(m.mnt / 'evil'), lambda: os.listdir(m.mnt / 'evil/hooks'),
                    lambda: (m.mnt / 'evil/effective').read_bytes(), lambda: (m.mnt / 'evil/profile.allowed').read_bytes(),
                    lambda: os.stat(m.mnt / 'evil/hooks/y')):
            try:
                got = act()
                if isinstance(got, bytes) and got not in texts:
                    wrong.append(got)
            except OSError as error:
                if error.errno not in GONE:
                    wrong.append(error)
    m = mount(state)
    with again_and_again(change) as changed, again_and_again(read) as first, again_and_again(read) as second:
        while min(changed(), first(), second()) < ROUNDS // 20:
            look_at_other(m)
            assert {'.shieldfs', 'other'} <= set(os.listdir(m.mnt)) <= {'.shieldfs', 'other', 'evil'}
    bundles.remove(behind)
    assert not wrong, wrong[:5]
    assert os.listdir(m.mnt) == ['.shieldfs', 'other'] and m.status()['problem'] == []


def test_hooks_full_of_directories(mount, state, other):
    """None is shown, a hundred are told of, and the file among them is one until it is another directory."""
    behind = bundles.container(state, 'evil')
    full_hooks(behind)
    bundles.put(behind / 'hooks/one', '1\n')
    m = mount(state)
    assert os.listdir(m.mnt / 'evil/hooks') == ['one']
    assert (m.mnt / 'evil/hooks/one').read_text() == '1\n'
    problems = m.status()['problem']
    assert len(problems) == 101 and problems[-1] == 'evil: more than 100 problems: 900 not listed'
    (behind / 'hooks/one').unlink()
    (behind / 'hooks/one').mkdir()
    with fails(errno.ENOENT):
        (m.mnt / 'evil/hooks/one').read_text()


def test_permissions_that_change(mount, state, other):
    """What is open stays so; what is opened anew is judged anew. Root may read all."""
    behind = bundles.container(state, 'evil', profile=['1.1.1.1'], live=['2.2.2.2'])
    m = mount(state)
    if os.geteuid() != 0:
        m.expect_log(r'evil[/a-z.]*: permission denied: check its mode and owner')

    def expect_open(path, text):
        if os.geteuid() == 0:
            assert path.read_bytes() == text
        else:
            with fails(errno.EACCES):
                path.read_bytes()
    with opened(m.mnt / 'evil/effective') as computed, opened(m.mnt / 'evil/live.allowed') as raw:
        for place, before in ((behind / 'live.allowed', 0o644), (behind, 0o755)):
            place.chmod(0)
            expect_open(m.mnt / 'evil/effective', b'1.1.1.1\n2.2.2.2\n')
            expect_open(m.mnt / 'evil/live.allowed', b'2.2.2.2\n')
            assert os.pread(computed, 100, 0) == b'1.1.1.1\n2.2.2.2\n' and os.pread(raw, 100, 0) == b'2.2.2.2\n'
            look_at_other(m)
            place.chmod(before)
            assert (m.mnt / 'evil/effective').read_bytes() == b'1.1.1.1\n2.2.2.2\n'
            assert (m.mnt / 'evil/live.allowed').read_bytes() == b'2.2.2.2\n'


@pytest.fixture
def disk(root, base):
    """A filesystem of its own, of 256 KiB, as a source."""
    path = base / 'disk'
    path.mkdir()
    harness.run('mount', '-t', 'tmpfs', '-o', 'size=256k', 'disk', path)
    yield path
    with contextlib.suppress(AssertionError):
        harness.run('umount', '-l', path)


def test_source_that_is_full(mount, disk, state, other):
    """What could be written is what there is."""
    behind = bundles.container(disk, 'c', live=['1.1.1.1'])
    m = mount(state, disk)
    with fails(errno.ENOSPC):
        bundles.put(behind / 'audit.jsonl', 'x' * (1 << 20))
    with fails(errno.ENOSPC):
        bundles.put(behind / 'live.allowed', '2.2.2.2\n' * 1000)
    assert (m.mnt / 'c/live.allowed').read_bytes() == (behind / 'live.allowed').read_bytes()
    assert (m.mnt / 'c/effective').read_bytes() in (b'', b'2.2.2.2\n')
    assert os.stat(m.mnt / 'c/audit.jsonl').st_size == os.stat(behind / 'audit.jsonl').st_size
    (behind / 'audit.jsonl').unlink()
    bundles.put(behind / 'live.allowed', '2.2.2.2\n')
    assert (m.mnt / 'c/effective').read_bytes() == b'2.2.2.2\n'
    assert not (m.mnt / 'c/audit.jsonl').exists()


def test_source_that_is_remounted(mount, disk, state, other):
    """Read-only and back, while it is in use."""
    behind = bundles.container(disk, 'c', live=['1.1.1.1'])
    m = mount(state, disk)
    with opened(m.mnt / 'c/live.allowed') as raw, opened(m.mnt / 'c/effective') as computed:
        for i in range(3):
            harness.run('mount', '-o', 'remount,ro', disk)
            assert (m.mnt / 'c/effective').read_text() == f'1.1.1.{1 + i}\n'
            assert os.pread(raw, 100, 0).decode() == f'1.1.1.{1 + i}\n' and os.pread(computed, 100, 0) == b'1.1.1.1\n'
            harness.run('mount', '-o', 'remount,rw', disk)
            bundles.put(behind / 'live.allowed', f'1.1.1.{2 + i}\n')
            assert (m.mnt / 'c/effective').read_text() == f'1.1.1.{2 + i}\n'


def test_source_that_is_unmounted(mount, disk, state, other):
    """Nothing keeps it busy but what is open of its own files, and the names of the other source stay."""
    bundles.container(disk, 'c', live=['1.1.1.1'])
    m = mount(state, disk)
    with opened(m.mnt / 'c/effective') as computed, opened(m.mnt / 'c/live.allowed') as raw:
        assert harness.run('umount', disk, ok=False).returncode != 0, 'not busy'
        harness.run('umount', '-l', disk)
        wait_for(lambda: os.listdir(m.mnt) == ['.shieldfs', 'other'], 'it to be gone')
        assert os.pread(computed, 100, 0) == b'1.1.1.1\n' and os.pread(raw, 100, 0) == b'1.1.1.1\n'
        with fails(*GONE):
            os.open(m.mnt / 'c/effective', os.O_RDONLY)
        look_at_other(m)
    bundles.container(disk, 'c', live=['2.2.2.2'])
    wait_for(lambda: 'c' in os.listdir(m.mnt), 'what lay below it')
    assert (m.mnt / 'c/effective').read_bytes() == b'2.2.2.2\n'


@contextlib.contextmanager
def sourcefs(directory, mnt):
    """DIRECTORY once more at MNT, of which reads can be stalled."""
    mnt.mkdir()
    process = subprocess.Popen([SOURCEFS, directory, mnt], stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: os.fspath(mnt) in harness.mounts(), 'the source to be mounted')
        yield process
    finally:
        (directory / 'stall').unlink(missing_ok=True)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(harness.TIMEOUT)
        harness.run('fusermount3', '-uz', mnt, ok=False)


def test_source_that_hangs(mount, state, base):
    """Ten of its bundles are asked for while no read of it is answered: lists of another source are read as ever, and
    these when it answers again."""
    slow = base / 'slow'
    for i in range(10):
        bundles.container(state, f'quick{i}', live=['1.1.1.1'])
        bundles.container(slow, f'slow{i}', live=['2.2.2.2'])
    with sourcefs(slow, base / 'source'):
        m = mount(state, base / 'source')
        try:
            bundles.put(slow / 'stall', '')
            for i in range(10):
                bundles.put(slow / f'containers/slow{i}/live.allowed', '3.3.3.3\n')
            cats = [subprocess.Popen(['cat', m.mnt / f'slow{i}/effective'], stdout=subprocess.PIPE) for i in range(10)]
            for turn in range(20):
                for i in range(10):
                    bundles.put(state / f'containers/quick{i}/live.allowed', f'1.1.1.{turn}\n')
                    assert (m.mnt / f'quick{i}/effective').read_text() == f'1.1.1.{turn}\n'
            wait_for(lambda: '{request="open"} 10\n' in (m.mnt / '.shieldfs/metrics').read_text().split('requests_held', 1)[1],
                     'the ten to be counted')
            assert all(cat.poll() is None for cat in cats)
            (slow / 'stall').unlink()
            assert {cat.communicate(timeout=harness.TIMEOUT)[0] for cat in cats} == {b'3.3.3.3\n'}
            m.stop()
        finally:
            m.kill()
