# SPDX-License-Identifier: Apache-2.0
"""Whatever one bundle's owner does, the others' readers and watchers don't wait for it. Orders and counts are asserted,
no times: while something of his goes on, so much of theirs is done."""

import itertools
import os
import subprocess
import threading
import time

import bundles
import pytest
import watching
from counted import busy_announcer, undisturbed
from harness import wait_for
from test_index import traced
from watching import Inotify

LONG = 16 * 1024 * 1024 - 1


@pytest.fixture
def mount(mount):
    """A mount whose first events are over."""
    return lambda *args, **kw: watching.settled(mount(*args, **kw))


@pytest.fixture
def evil(state):
    bundles.container(state, 'other', profile=['192.0.2.1'], live=['1.1.1.1'], deny=[])
    return bundles.container(state, 'evil', profile=['192.0.2.1'], live=['1.1.1.1'], deny=[])


def lines(first, size):
    """Entries, each another, of SIZE bytes or a few less."""
    n = size // 9
    return ''.join(f'{first}{i:07}\n' for i in range(n))


def test_long_lists(mount, state, evil):
    """While one open of a bundle with long lists goes on, others with changed lists are opened again and again; and so
    while it is polled by more than the server has threads."""
    m = mount(state)
    for first, name in zip('abc', ('profile.allowed', 'live.allowed', 'deny.list')):
        bundles.put(evil / name, lines(first, LONG))
    opened = []
    readers = [threading.Thread(target=lambda: opened.append(len((m.mnt / 'evil/effective').read_bytes())))
               for _ in range(12)]
    for reader in readers:
        reader.start()
    others, i = 0, 0
    with Inotify() as inotify:
        inotify.add(m.mnt / 'other/effective')
        while not opened:
            i += 1
            bundles.put(state / 'containers/other/live.allowed', f'10.0.{i // 256}.{i % 256}\n')
            assert f'10.0.{i // 256}.{i % 256}\n'.encode() in (m.mnt / 'other/effective').read_bytes()
            wait_for(inotify.read, 'the event of it')
            others += not opened
    for reader in readers:
        reader.join()
    assert len(set(opened)) == 1 and opened[0] > LONG
    assert others >= 5, f'{others} meanwhile'


def test_many_names(mount, state, evil):
    """What there is to tell of one bundle does not come before what there is of another: the announcer is stopped until
    there is much."""
    content = itertools.count()

    @undisturbed
    def many(m):
        last = f'2.2.2.{next(content)}\n'
        with Inotify() as inotify:
            his = inotify.add(m.mnt / 'evil')
            theirs = inotify.add(m.mnt / 'other/live.allowed')
            with busy_announcer(m, state / 'containers/other/audit.jsonl'):
                for i in range(1000):
                    bundles.put(evil / f'{last[:-1]}-{i}', '')
                bundles.put(state / 'containers/other/live.allowed', last)
                assert (m.mnt / 'other/live.allowed').read_text(encoding='ascii') == last
            events = []

            def come():
                events.extend(wd for wd, _, _ in inotify.read())
                return theirs in events
            wait_for(come, 'the event of another bundle')
            assert events[:events.index(theirs)].count(his) < 100
            wait_for(lambda: not come() or events.count(his) >= 1000, 'all the others')
    many(mount(state))


def test_status_beside_long_lists(mount, state, evil):
    """The status file has what is wrong elsewhere."""
    m = mount(state)
    reader = None
    for i in range(5):
        for first, name in zip('abc', ('profile.allowed', 'live.allowed', 'deny.list')):
            bundles.put(evil / name, lines(first, LONG // 4))
        reader = subprocess.Popen(['cat', m.mnt / 'evil/effective'], stdout=subprocess.DEVNULL)
        os.mkfifo(state / f'containers/other/fifo{i}')
        wait_for(lambda i=i: f'other/fifo{i}: FIFO: not read' in m.status()['problem'], 'it to be told')
        reader.wait()


def test_directory_that_changes_all_the_time(root, mount, base, state, evil):
    """A chmod in a loop does not lead to a look for each."""
    m = mount(state)
    trace = base / 'trace'
    begin = time.monotonic()
    with traced(watching.children(m)[0], trace):
        for i in range(20000):
            os.chmod(evil, 0o755 if i % 2 else 0o750)
        mark = bundles.bundle(state / 'containers/last', live=['1.1.1.1'])
        wait_for(lambda: mark.name in os.listdir(m.mnt), 'it to be looked at')
    looks = trace.read_text().count(' inotify_add_watch(')
    assert 0 < looks < 10 + (time.monotonic() - begin) * 100
    mode = os.stat(evil).st_mode
    wait_for(lambda: os.stat(m.mnt / 'evil').st_mode & 0o111 == mode & 0o111, 'the last one to be seen')
