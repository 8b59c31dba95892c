# SPDX-License-Identifier: Apache-2.0
"""Promise 2: what is read is a state that writers completed, all of it from one cut, while other processes
rewrite the lists without a pause, in memory and on a busy disk; an open that would have to show less waits,
at most for the settle time, and is in nobody's way meanwhile. SHIELD_ROUNDS: reads of each reader."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import bundles
import harness
import pytest
import versions
from harness import fails, holds_for, opened, wait_for

ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 1000)
CUTS = 4 * ROUNDS  # only a few in a thousand would go wrong
READERS = 3
SETTLE = 0.2  # seconds, where a test waits for its end
SLACK = 10  # seconds that a loaded machine may add to a time,
LEAST = 10 if harness.SLOW else 0.6  # and to the shortest of several


@pytest.fixture
def memory():
    path = pathlib.Path(tempfile.mkdtemp(prefix='shieldfs.', dir='/dev/shm'))
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def helper(*args):
    """A process that does what versions.py says until the end of the body."""
    with subprocess.Popen([sys.executable, versions.__file__, *map(os.fspath, args)],
                          stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def judged_by_readers(container, rounds, writers):
    """What READERS processes found, in one."""
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(helper('reader', container, str(rounds), writers))
                   for _ in range(READERS)]
        found = [json.loads(r.communicate(timeout=5 * harness.TIMEOUT)[0]) for r in readers]
    return {'reads': sum(f['reads'] for f in found), 'busy': sum((f['busy'] for f in found), []),
            'wrong': sum((f['wrong'] for f in found), []), 'seen': sum(f['seen'] for f in found),
            'slowest': max(f['slowest'] for f in found)}


@pytest.mark.parametrize('writers', ['one', 'three'])
@pytest.mark.parametrize('place', ['memory', 'busy disk'])
def test_never_torn(mount, base, memory, place, writers):
    state = memory if place == 'memory' else base / 'state'
    # There each list is open for writing nearly all the time: a read takes long, and may be refused.
    hard = (place, writers) == ('busy disk', 'three')
    rounds = ROUNDS // (20 if hard else 2 if writers == 'three' else 1)
    behind = bundles.bundle(state / 'containers/c')
    versions.write_all(behind, 1)
    m = mount(state, options=['settle=2000'])
    with contextlib.ExitStack() as stack:
        if place == 'busy disk':
            stack.enter_context(helper('busy', base))
        for names in [[]] if writers == 'one' else [[name] for name in versions.LISTS]:
            stack.enter_context(helper('writer', behind, *names))
        wait_for(lambda: versions.version_of('p', (behind / 'profile.allowed').read_bytes()) > 10,
                 'the writers to be at work')
        found = judged_by_readers(m.mnt / 'c', rounds, writers)
    m.take_log()  # the reads that were refused
    print({k: v if k != 'busy' else len(v) for k, v in found.items()})
    wrong = found['wrong']
    assert not wrong, f'{len(wrong)} of {found["reads"]} reads are torn: {wrong[:3]}'
    refusals = len(found['busy'])
    assert found['reads'] > READERS * rounds / (20 if hard else 2), f'{refusals} reads were refused'
    assert all(2 <= seconds < 2 + SLACK for seconds in found['busy']), found['busy']
    assert found['seen'] > READERS * rounds / 20, 'the writers hardly wrote'


def test_cut_that_only_events_tell(mount, memory):
    """The stamps of both lists stay as they are: whether the first has moved while the second was read,
    only the events that came meanwhile can say."""
    behind = bundles.bundle(memory / 'containers/c')
    for letter, name in zip('pl', versions.LISTS):
        versions.rewrite(behind / name, versions.tagged(letter, 0))
    m = mount(memory, options=['settle=20000'])
    reads, mixed, seen = 0, [], set()
    with helper('mapper', behind):
        while reads < CUTS or len(seen) <= CUTS / 100:  # a writer may take his time to begin
            reads += 1
            got = (m.mnt / 'c/allowed').read_bytes()
            p, l = (int(line[1:]) for line in got.split())
            seen.add(got)
            if p not in (l, l + 1):
                mixed.append(got)
    assert not mixed, f'{len(mixed)} of {reads} reads are of no one cut: {mixed[:3]}'


def refused(path):
    """The seconds after which an open of PATH was refused with EBUSY."""
    start = time.monotonic()
    with fails(errno.EBUSY):
        os.open(path, os.O_RDONLY)
    return time.monotonic() - start


@pytest.fixture
def lists(mount, state):
    """A bundle with the three lists in version 1, on a mount with a short settle time."""
    behind = bundles.bundle(state / 'containers/c')
    versions.write_all(behind, 1)
    m = mount(state, options=[f'settle={SETTLE * 1000:.0f}'])
    m.expect_log(f'c/[a-z.]+: still being written after {SETTLE * 1000:.0f} ms: try again')
    return m, behind, m.mnt / 'c/effective'


def test_two_overlapping_writers(lists):
    """One of two has closed: the events look as if all were done."""
    _, behind, path = lists
    new, took = versions.whole('live.allowed', 2), []
    for _ in range(3):
        with opened(behind / 'live.allowed', os.O_WRONLY) as late:
            with opened(behind / 'live.allowed', os.O_WRONLY | os.O_TRUNC) as early:
                os.write(late, new[:50])
                os.write(early, new[:50])
            took.append(refused(path))
            assert SETTLE <= took[-1] < SETTLE + SLACK
            os.write(late, new[50:])
        assert path.read_bytes() == versions.computed('effective', 1, 2, 1)
    assert min(took) < SETTLE + LEAST, took


def test_descriptor_kept_open_after_a_write(lists):
    """It may be written once more at any time; whoever waits for its close gets what is there then."""
    m, behind, path = lists
    versions.rewrite(behind / 'deny.list', versions.whole('deny.list', 2))
    assert path.read_bytes() == versions.computed('effective', 1, 1, 2)
    with opened(behind / 'deny.list', os.O_WRONLY) as writer:
        for i in (3, 4):
            os.ftruncate(writer, 0)
            os.pwrite(writer, versions.whole('deny.list', i), 0)
            assert SETTLE <= refused(path) < SETTLE + SLACK
            assert (m.mnt / 'c/allowed').read_bytes() == versions.computed('allowed', 1, 1, 0)
    assert path.read_bytes() == versions.computed('effective', 1, 1, 4)


def test_somebody_has_a_write_lease(mount, state):
    """He may write without a further open: whoever reads waits until the lease is gone."""
    behind = bundles.bundle(state / 'containers/c')
    versions.write_all(behind, 1)
    m = mount(state, options=['settle=30000'])
    with opened(behind / 'deny.list', os.O_RDWR) as writer:
        fcntl.fcntl(writer, fcntl.F_SETSIG, signal.SIGURG)  # ignored
        fcntl.fcntl(writer, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        os.ftruncate(writer, 0)  # else what was read before would do
        cat = subprocess.Popen(['cat', m.mnt / 'c/denied'], stdout=subprocess.PIPE)
        holds_for(lambda: cat.poll() is None, 0.2, 'cat waits')
        os.pwrite(writer, versions.whole('deny.list', 2), 0)
        fcntl.fcntl(writer, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    assert cat.communicate(timeout=harness.TIMEOUT)[0] == versions.whole('deny.list', 2)


def test_truncate_by_path(lists):
    """A complete change of its own, after which no close comes: nobody waits for one."""
    m, behind, path = lists
    took = []
    os.truncate(behind / 'deny.list', 0)  # so that what is refused below has been read before
    for i in range(2, 30):
        versions.rewrite(behind / 'live.allowed', versions.whole('live.allowed', i))
        start = time.monotonic()
        os.truncate(behind / 'live.allowed', 0)
        assert path.read_bytes() == versions.whole('profile.allowed', 1)
        took.append(time.monotonic() - start)
    assert max(took) < SLACK and min(took) < LEAST, took
    with opened(behind / 'live.allowed', os.O_WRONLY | os.O_TRUNC):
        os.truncate(behind / 'live.allowed', 0)
        refused(path)
    assert path.read_bytes() == versions.whole('profile.allowed', 1)
    assert (m.mnt / 'c/denied').read_bytes() == b''


def test_watch_younger_than_the_truncation(mount, state):
    """A bundle that comes while one of its lists is half written: there was no event of that."""
    (state / 'containers').mkdir()
    m = mount(state, options=['settle=30000'])
    torn = []
    for i in range(max(10, ROUNDS // 25)):
        behind = bundles.bundle(state / 'elsewhere')
        versions.write_all(behind, i)
        new = versions.whole('live.allowed', i + 1)
        with opened(behind / 'live.allowed', os.O_WRONLY | os.O_TRUNC) as writer:
            os.write(writer, new[:40])
            behind.rename(state / 'containers/c')
            got = []
            reader = threading.Thread(target=lambda: got.append((m.mnt / 'c/effective').read_bytes()))
            reader.start()
            holds_for(lambda: not got, 0.02, f'the reader waits, instead of {got}')
            os.write(writer, new[40:])
        reader.join(harness.TIMEOUT)
        if got != [versions.computed('effective', i, i + 1, i)]:
            torn.append(got)
        bundles.remove(state / 'containers/c')
    assert not torn, torn[:3]


def seconds_of(*argv):
    start = time.monotonic()
    harness.run(*argv)
    return time.monotonic() - start


@pytest.mark.parametrize('args', [[], ['-s']], ids=['threads', 'single'])
def test_waiting_delays_nobody(mount, state, args):
    """Twenty opens wait for one writer: listings, other files and other containers are answered as ever,
    and the time of all that wait is up together."""
    settle, others = 3, ('-R {m}', '{m}/c', '-l {m}/c/effective')
    for name in ('c', 'other'):
        versions.write_all(bundles.bundle(state / f'containers/{name}'), 1)
    m = mount(state, options=[f'settle={settle}000'], args=args)
    m.expect_log(f'c/deny.list: still being written after {settle}000 ms: try again')
    todo = [['ls', *words.format(m=m.mnt).split()] for words in others]
    files = ('c/allowed', 'c/live.allowed', 'other/effective', 'other/denied')
    todo += [['cat', m.mnt / path] for path in files]
    with opened(state / 'containers/c/deny.list', os.O_WRONLY | os.O_TRUNC), contextlib.ExitStack() as stack:
        start = time.monotonic()
        cats = [stack.enter_context(subprocess.Popen(['cat', m.mnt / 'c/effective'], stderr=subprocess.PIPE))
                for _ in range(20)]
        all_started = time.monotonic()
        slowest = max(seconds_of(*argv) for argv in todo for _ in range(3))
        assert all(cat.poll() is None for cat in cats) or time.monotonic() - start >= settle, 'somebody did not wait'
        said = {cat.communicate(timeout=harness.TIMEOUT)[1].split(b': ')[-1] for cat in cats}
        over = time.monotonic()
    assert slowest < SLACK, f'something else took {slowest:.3f} s'
    assert said == {b'Device or resource busy\n'}
    assert settle <= over - start and over - all_started < settle + SLACK
    assert (m.mnt / 'c/denied').read_bytes() == b''
