# SPDX-License-Identifier: Apache-2.0
"""Mounts that bring a source, take it away or cover a part of it: no inotify event tells of them, yet watchers hear
of what comes and goes, without anybody looking."""

import contextlib
import os
import signal

import bundles
import harness
import pytest
import watching
from harness import wait_for
from watching import CHANGED, Watch

SCAN = b': all bundles are looked for\n'
pytestmark = pytest.mark.usefixtures('root')


@pytest.fixture
def mount(mount):
    """A mount whose first events are over."""
    return lambda *args, **kw: watching.settled(mount(*args, **kw))


@pytest.fixture
def base(base):
    """One whose mounts stay here, and can be moved."""
    harness.run('mount', '--bind', base, base)
    harness.run('mount', '--make-private', base)
    yield base
    while places := [p for p in harness.mounts() if p == os.fspath(base) or p.startswith(f'{base}/')]:
        harness.run('umount', '-l', max(places, key=len))


def bind(what, place):
    harness.run('mount', '--bind', what, place)


def unbind(place):
    """When shieldfs has closed what it has read there: two seconds."""
    harness.unmount(place, 'umount')


@contextlib.contextmanager
def bound(what, place):
    bind(what, place)
    try:
        yield
    finally:
        unbind(place)


@contextlib.contextmanager
def stopped(m):
    """The server sees nothing of what is done meanwhile but the outcome."""
    server = watching.children(m)[0]
    harness.stop(server)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)


@pytest.mark.parametrize('given', ['x/state', 'x/sub/state', 'x', 'far/link/state', 'far/../x/state'])
def test_source_that_comes_by_a_mount(mount, base, given):
    """At the source, or on the way to it; by a link, too. What changes in it is announced as anywhere."""
    (base / 'far').mkdir()
    (base / 'far/link').symlink_to(base / 'x')
    (base / 'x').mkdir()
    below = os.path.relpath(base / given.replace('far/link', 'x').replace('far/../', ''), base / 'x')
    behind = bundles.container(base / 'disk' / below, 'c', live=['1.1.1.1'])
    m = mount(f'{base}/{given}')
    with Watch(m.mnt, m.mnt) as watch:
        for i in range(3):
            with bound(base / 'disk', base / 'x'):
                watch.expect({'c': ['CREATE,ISDIR']}, rest=m)
                with Watch(m.mnt, m.mnt / 'c/effective') as list_watch:
                    bundles.put(behind / 'live.allowed', f'2.2.2.{i}\n')
                    list_watch.expect({'c/effective': CHANGED})
            watch.expect({'c': ['DELETE,ISDIR']})


def test_source_that_is_covered(mount, base):
    """By an empty directory, at each place on the way; what is beneath is as it was when it is bare again."""
    bundles.container(base / 'x/y/state', 'c', live=['1.1.1.1'])
    (base / 'empty').mkdir()
    m = mount(base / 'x/y/state')
    with Watch(m.mnt, m.mnt) as watch:
        for place in ('x', 'x/y', 'x/y/state'):
            with bound(base / 'empty', base / place):
                watch.expect({'c': ['DELETE,ISDIR']})
            watch.expect({'c': ['CREATE,ISDIR']})


def test_source_that_is_moved(mount, base):
    """With the mount that it lies on."""
    for name in ('disk', 'here', 'there'):
        (base / name).mkdir()
    bundles.container(base / 'disk/state', 'c', live=['1.1.1.1'])
    m = mount(base / 'there/state')
    with Watch(m.mnt, m.mnt) as watch:
        bind(base / 'disk', base / 'here')
        for _ in range(2):
            harness.run('mount', '--move', base / 'here', base / 'there')
            watch.expect({'c': ['CREATE,ISDIR']})
            harness.run('mount', '--move', base / 'there', base / 'here')
            watch.expect({'c': ['DELETE,ISDIR']})
        unbind(base / 'here')


@pytest.mark.parametrize('place', ['containers', 'tasks'])
def test_half_that_is_covered(mount, base, place):
    """What it held goes, what is on top comes: such a mount is the operator's."""
    bundles.container(base / 'state', 'c', live=['1.1.1.1'])
    bundles.task(base / 'state', 'p', '7', live=['1.1.1.1'])
    bundles.container(base / 'other', 'c', live=['2.2.2.2'])
    bundles.task(base / 'other', 'p', '7', live=['2.2.2.2'])
    name = 'c' if place.startswith('containers') else 'p.7'
    m = mount(base / 'state')
    with Watch(m.mnt, m.mnt) as watch:
        for _ in range(2):
            with bound(base / 'other' / place, base / 'state' / place):
                watch.expect({name: ['DELETE,ISDIR', 'CREATE,ISDIR']})
                assert (m.mnt / name / 'effective').read_text() == '2.2.2.2\n'
            watch.expect({name: ['DELETE,ISDIR', 'CREATE,ISDIR']})
            assert (m.mnt / name / 'effective').read_text() == '1.1.1.1\n'


@pytest.mark.parametrize('place', ['containers/c', 'tasks/p', 'tasks/p/7', 'tasks/p/7/shield'])
def test_part_that_is_covered(mount, base, place):
    """What is mounted further down is not entered, be it of the same filesystem, and is no bundle: it is a problem."""
    bundles.container(base / 'state', 'c', live=['1.1.1.1'])
    bundles.task(base / 'state', 'p', '7', live=['1.1.1.1'])
    bundles.container(base / 'other', 'c', live=['2.2.2.2'])
    bundles.task(base / 'other', 'p', '7', live=['2.2.2.2'])
    name = 'c' if place.startswith('containers') else 'p.7'
    m = mount(base / 'state')
    with Watch(m.mnt, m.mnt) as watch:
        for _ in range(2):
            with bound(base / 'other' / place, base / 'state' / place):
                watch.expect({name: ['DELETE,ISDIR']})
                assert name not in os.listdir(m.mnt) and not (m.mnt / name).exists()
                where = 'c' if place == 'containers/c' else f'{base}/state/{place}'
                assert f'{where}: something is mounted over it: not entered' in m.status()['problem']
            watch.expect({name: ['CREATE,ISDIR']})
            assert (m.mnt / name / 'effective').read_text() == '1.1.1.1\n'
    assert m.status()['problem'] == []


def test_hooks_that_are_covered(mount, base):
    """Empty ones, too, of which nothing goes."""
    behind = bundles.container(base / 'state', 'c', files={'hooks/old': ''})
    for name in ('empty', 'full'):
        (base / name).mkdir()
    bundles.put(base / 'full/one', '')
    m = mount(base / 'state')
    with Watch(m.mnt, m.mnt / 'c') as watch:
        with bound(base / 'full', behind / 'hooks'):
            watch.expect({'c/hooks': ['DELETE,ISDIR']})
            assert m.status()['problem'] == ['c/hooks: something is mounted over it: not entered']
        watch.expect({'c/hooks': ['CREATE,ISDIR']})
        assert os.listdir(m.mnt / 'c/hooks') == ['old']


def test_list_that_is_covered(mount, base):
    """A file over a file: what is computed from it changes as well."""
    behind = bundles.container(base / 'state', 'c', live=['1.1.1.1'])
    bundles.put(base / 'other', '2.2.2.2\n')
    m = mount(base / 'state')
    changed = {f'c/{name}': CHANGED for name in ('live.allowed', 'allowed', 'effective')}
    with Watch(m.mnt, m.mnt / 'c') as watch:
        for _ in range(2):
            with bound(base / 'other', behind / 'live.allowed'):
                watch.expect(changed)
                assert (m.mnt / 'c/effective').read_text() == '2.2.2.2\n'
            watch.expect(changed)


def test_source_that_is_replaced(mount, base):
    """One filesystem makes way for another between two looks, with the same device and inode numbers."""
    (base / 'disk').mkdir()

    def fill(text):
        harness.run('mount', '-t', 'tmpfs', 'none', base / 'disk')
        bundles.container(base / 'disk/state', 'c', live=[text])
        st = os.stat(base / 'disk/state/containers/c')
        return st.st_dev, st.st_ino
    before, same = fill('1.1.1.1'), False
    m = mount(base / 'disk/state')
    with Watch(m.mnt, m.mnt) as watch:
        for i in range(50):
            if i > 1 and same:
                break
            text = f'2.2.2.{i}'
            server = watching.children(m)[0]
            wait_for(lambda: not watching.open_directories(server), 'the directories to be closed')
            with stopped(m):
                unbind(base / 'disk')
                now = fill(text)
            same |= now == before
            before = now
            watch.expect({'c': ['DELETE,ISDIR', 'CREATE,ISDIR']})
            assert (m.mnt / 'c/effective').read_text() == f'{text}\n'
    assert same, 'others always took the device number: it was no trial'


def test_source_that_takes_names_from_a_later_one(mount, base):
    """The first of two comes by a mount, and has the name as long as it is there."""
    for i in (1, 2):
        bundles.container(base / f'disk{i}/state', 'c', live=[f'{i}.{i}.{i}.{i}'])
    (base / 'x').mkdir()
    m = mount(base / 'x/state', base / 'disk2/state')
    with Watch(m.mnt, m.mnt) as watch:
        with bound(base / 'disk1', base / 'x'):
            watch.expect({'c': ['DELETE,ISDIR', 'CREATE,ISDIR']})
            assert (m.mnt / 'c/effective').read_text() == '1.1.1.1\n'
        watch.expect({'c': ['DELETE,ISDIR', 'CREATE,ISDIR']})
        assert (m.mnt / 'c/effective').read_text() == '2.2.2.2\n'


def test_mounts_that_are_nobodys_business(mount, base):
    """Beside a source, and in it where no bundle is looked for: no look at the bundles."""
    bundles.container(base / 'state', 'c', live=['1.1.1.1'])
    bundles.task(base / 'state', 'p', '7', live=['1.1.1.1'])
    for place in ('other', 'state/logs', 'state/tasks/p/7/workspace', 'empty', 'x'):
        (base / place).mkdir()
    m = mount(base / 'state', base / 'x/later')
    with Watch(m.mnt, m.mnt) as watch:
        wait_for(lambda: watching.at_rest(m), 'rest')
        before = m.log_path.read_bytes().count(SCAN)
        for place in ('other', 'state/logs', 'state/tasks/p/7/workspace'):
            for _ in range(10):
                with bound(base / 'empty', base / place):
                    pass
        assert watch.poll() == []
        bind(base / 'empty', base / 'state/containers')  # what is told is told after those
        watch.expect({'c': ['DELETE,ISDIR']})
        assert m.log_path.read_bytes().count(SCAN) - before <= 2
        unbind(base / 'state/containers')
        watch.expect({'c': ['CREATE,ISDIR']})
