# SPDX-License-Identifier: Apache-2.0
"""Events of what changes fast, or back again, or without an event below: none too many, and the last one is final."""

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import time

import bundles
import harness
import pytest
import watching
from harness import holds_for, opened, wait_for
from test_events import append, make, put_over
from watching import CHANGED, Inotify, Watch

ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 1000)


@pytest.fixture
def mount(mount):
    """A mount whose first events are over."""
    return lambda *args, **kw: watching.settled(mount(*args, **kw))


def test_hot_file(mount, state):
    """One MODIFY in 10 ms at most; what is read after the last event is final."""
    behind = make(state)
    m = mount(state)
    names = ('live.allowed', 'effective', 'allowed')
    with Inotify() as inotify:
        wds = {inotify.add(m.mnt / 'c' / name): name for name in names}
        seen, counts = {}, dict.fromkeys(names, 0)

        def follow():
            for wd, mask, _ in inotify.read():
                if mask & watching.CLOSE_WRITE:
                    counts[wds[wd]] += 1
                    seen[wds[wd]] = (m.mnt / 'c' / wds[wd]).read_bytes()
            return seen
        start = time.monotonic()
        for i in range(1000):
            append(behind / 'live.allowed', f'10.0.{i // 256}.{i % 256}\n')
            if i % 50 == 0:
                follow()
        wait_for(lambda: follow() and all(b'10.0.3.231\n' in seen.get(n, b'') for n in names), 'the end')

        def most():
            return (time.monotonic() - start) * 100 + 1
        holds_for(lambda: follow() and max(counts.values()) <= most(), 0.2, counts)
        assert all(counts.values())
    for name in names:
        assert seen[name] == (m.mnt / 'c' / name).read_bytes()


def test_content_that_flaps(mount, state):
    """A, B, A while nobody could be told: announced if somebody has read B."""
    behind = make(state)
    make(state, 'other')
    m = mount(state)
    path = m.mnt / 'c/effective'
    first = path.read_bytes()
    with Watch(m.mnt, path, m.mnt / 'c/deny.list') as watch:
        def flap(read):
            """FALSE: too slow, so that there was another announcer in between."""
            asked = b'event other/audit.jsonl: the announcer is asked'
            pid, requests = watching.announcer(m), m.log_path.read_bytes().count(asked)
            harness.stop(pid)
            append(state / 'containers/other/audit.jsonl', 'x\n')
            wait_for(lambda: m.log_path.read_bytes().count(asked) > requests, 'a request that is not answered')
            before = (behind / 'deny.list').read_text()
            put_over(behind / 'deny.list', before + '3.3.3.3\n')
            if read:
                assert path.read_bytes() == b'1.1.1.1\n' != first
            put_over(behind / 'deny.list', before)
            assert not read or path.read_bytes() == first
            (m.mnt / 'other/deny.list').read_bytes()  # who opens has all that inotify says by then noted
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            return watching.announcer(m) == pid

        for read in (True, False):
            while not flap(read):
                m.patterns[r'.*/mnt: the announcer .*'] = 0
                wait_for(lambda: watching.at_rest(m), 'all to be announced')
                watch.poll().clear()
            watch.expect({'c/deny.list': CHANGED, **({'c/effective': CHANGED} if read else {})}, loose=['c/deny.list'])


def test_content_that_flaps_fast(mount, state):
    """Whoever was given B gets an event after it."""
    behind = make(state)
    m = mount(state)
    with Watch(m.mnt, m.mnt / 'c/denied') as watch:
        for i in range(50):
            for text in (f'10.0.0.{i}\n', 'B\n', f'10.0.0.{i}\n'):
                before = len(watch.poll())
                bundles.put(behind / 'deny.list', text)
                assert (m.mnt / 'c/denied').read_text() == text
            wait_for(lambda n=before: len(watch.poll()) > n, 'an event after the last change')


def store(path, data):
    """Changes the first bytes of a file through a mapping, which makes no event."""
    with opened(path, os.O_RDWR) as fd, mmap.mmap(fd, 0) as pages:
        pages[:len(data)] = data
        pages.flush()


def test_name_that_comes_and_goes(mount, state):
    """While somebody looks: those who saw it hear of its end, and then there is rest."""
    behind = make(state)
    m = mount(state)
    look = 'while True:\n try: os.stat(sys.argv[1])\n except FileNotFoundError: pass'
    readers = [subprocess.Popen([sys.executable, '-c', f'import os, sys\n{look}', m.mnt / 'c/gateway'])
               for _ in range(2)]
    try:
        with Watch(m.mnt, m.mnt / 'c') as watch:
            for i in range(3 * ROUNDS):
                bundles.put(behind / 'gateway', f'{i}\n')
                if i % 3:
                    os.listdir(m.mnt / 'c')
                os.unlink(behind / 'gateway')
                if i % 2:
                    os.listdir(m.mnt / 'c')
            wait_for(lambda: ('c/gateway', 'DELETE') in watch.poll()[-2:], 'its end')
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    wait_for(lambda: watching.at_rest(m), 'rest')


def find_by_cat(path):
    harness.run('cat', path)


def find_by_open(path):
    with opened(path) as fd:
        os.read(fd, 100)


def find_by_stat(path):
    os.stat(path)


@pytest.mark.parametrize('find', [find_by_cat, find_by_open, find_by_stat])
@pytest.mark.parametrize('name', ['audit.jsonl', 'deny.list', 'denied'])
def test_change_through_another_link(mount, state, base, find, name):
    """Makes no event below; is announced when an open or stat finds it."""
    behind = make(state)
    source = 'deny.list' if name == 'denied' else name
    os.link(behind / source, base / 'link')
    m = mount(state)
    with Watch(m.mnt, m.mnt / 'c' / name) as watch:
        append(base / 'link', '4.4.4.4\n')
        find(m.mnt / 'c' / name)
        watch.expect({f'c/{name}': CHANGED})
        find(m.mnt / 'c' / name)
        watch.expect_nothing()


@pytest.mark.parametrize('find', [find_by_cat, find_by_open, find_by_stat])
@pytest.mark.parametrize('name', ['deny.list', 'denied'])
def test_change_through_a_mapping(mount, state, find, name):
    behind = make(state)
    m = mount(state)
    with Watch(m.mnt, m.mnt / 'c' / name) as watch:
        store(behind / 'deny.list', b'7')

        def found():
            find(m.mnt / 'c' / name)
            return len(watch.poll()) > 1
        wait_for(found, 'the change to be announced')
        watch.expect({f'c/{name}': CHANGED})


def test_reader_in_time(mount, state):
    """A shell that waits for one event, as users write it."""
    behind = make(state)
    m = mount(state)
    for i in range(5):
        with subprocess.Popen(['inotifywait', '-e', 'close_write', m.mnt / 'c/effective'],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiter:
            while b'established' not in waiter.stderr.readline():
                pass
            append(behind / 'live.allowed', f'10.0.0.{i}\n')
            assert b'CLOSE_WRITE' in waiter.communicate(timeout=harness.TIMEOUT)[0]
        assert f'10.0.0.{i}\n' in (m.mnt / 'c/effective').read_text()
