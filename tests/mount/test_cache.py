# SPDX-License-Identifier: Apache-2.0
"""A cache that is too small for what there is: all is right, nothing is announced without a change, memory is bounded,
and only an open for which what is open leaves no room fails."""

import errno
import os
import pathlib
import re
import subprocess

import bundles
import harness
import pytest
import reference
import watching
from harness import fails, opened, wait_for
from test_index import traced
from watching import CHANGED, Watch

COMPUTED = ('effective', 'allowed', 'denied', 'effective.domains')


def entries(seed, n=7000):
    """About 100 KiB, of which half is the next seed's too."""
    return [f'10.{100 + seed + i // 3500}.{i % 3500 // 256}.{i % 256}' for i in range(n)]


def make(state, name, seed):
    return bundles.container(state, name, profile=entries(seed), live=entries(seed + 1), deny=entries(seed + 2, 3600))


@pytest.fixture
def crowd(mount, state):
    """A view of thirty containers with 9 MB of lists, kept in one."""
    for i in range(30):
        make(state, f'c{i}', i)
    return watching.settled(mount(state, options=['cache=1M']))


def expected(state, name, file):
    return reference.render(state / 'containers' / name, file)


def times(m):
    return {(i, file): os.stat(m.mnt / f'c{i}' / file).st_mtime_ns for i in range(30) for file in COMPUTED}


def read_calls(m, base, act):
    """How often the server reads from a file while ACT is done."""
    with traced(watching.children(m)[0], base / 'trace'):
        act()
    return len(re.findall(r'^\d+ +pread64\(', (base / 'trace').read_text(), re.M))


def memory(m, what='RssAnon'):
    """Of the server, in bytes. A sanitizer's own says nothing of ours."""
    if harness.SLOW:
        return 0
    text = pathlib.Path(f'/proc/{watching.children(m)[0]}/status').read_text(encoding='ascii')
    return int(re.search(rf'^{what}:\s+(\d+) kB', text, re.M)[1]) * 1024


def test_all_is_right(crowd, state):
    """However often what is kept of a file goes and comes, it is the same file; what changes is another one."""
    m = crowd
    contents = {(i, file): expected(state, f'c{i}', file) for i in range(30) for file in ('effective', 'allowed')}
    with Watch(m.mnt, m.mnt, recursive=True) as watch:
        before = times(m)
        for _ in range(3):
            for (i, file), text in contents.items():
                assert (m.mnt / f'c{i}' / file).read_bytes() == text
                assert os.stat(m.mnt / f'c{i}' / file).st_size == len(text)
        assert times(m) == before
        watch.expect_nothing()
        bundles.put(state / 'containers/c7/live.allowed', 'new\n')
        watch.expect({f'c7/{file}': CHANGED for file in ('live.allowed', 'effective', 'allowed')},
                     loose=['c7/live.allowed', 'c7/effective', 'c7/allowed'])
    for file in ('effective', 'allowed'):
        assert (m.mnt / 'c7' / file).read_bytes() == expected(state, 'c7', file)
        assert b'new\n' in (m.mnt / 'c7' / file).read_bytes()
    assert m.status()['problem'] == []


def test_rewritten_as_it_was(crowd, state):
    """The content is known, though the text is not kept: nothing is announced of the computed files but their time."""
    m = crowd
    for i in range(30):
        assert (m.mnt / f'c{i}/effective').read_bytes()
    with Watch(m.mnt, *(m.mnt / 'c0' / file for file in COMPUTED)) as watch:
        same = (state / 'containers/c0/live.allowed').read_bytes()
        stat = os.stat(state / 'containers/c0/live.allowed')
        bundles.put(state / 'containers/c0/other', same)
        os.utime(state / 'containers/c0/other', ns=(stat.st_mtime_ns, stat.st_mtime_ns))
        os.rename(state / 'containers/c0/other', state / 'containers/c0/live.allowed')
        wait_for(lambda: watching.at_rest(m), 'the announcements')
        watch.expect_nothing()


def test_nothing_is_read_for_attributes(root, crowd, base):
    """What was known of a content outlives it. It is read again when it is opened."""
    m = crowd
    times(m)
    assert read_calls(m, base, lambda: times(m)) == 0
    assert read_calls(m, base, m.status) == 0

    def open_all():
        for i in range(30):
            (m.mnt / f'c{i}/effective').read_bytes()
    assert read_calls(m, base, open_all) >= 90


def test_memory_is_bounded(crowd):
    """Of 20 MB of lists and computed files 1 MB is kept, and what malloc needs."""
    m = crowd
    for _ in range(2):
        for i in range(30):
            for file in COMPUTED:
                (m.mnt / f'c{i}' / file).read_bytes()
    assert memory(m) < 12 << 20


def test_no_room_for_an_open(crowd, state):
    """What is open stays what it is, and who asks for more is told so. All else goes on, and the open too, when there
    is room again."""
    m = crowd
    wanted = [m.mnt / f'c{i}/effective' for i in range(30)]
    held = []
    m.expect_log(r'c\d+/effective: not enough of the cache \(cache=1M\): close files or raise it')
    try:
        with fails(errno.ENOMEM):
            for path in wanted:
                held.append(os.open(path, os.O_RDONLY))
        size = os.stat(wanted[0]).st_size
        assert len(held) == (1 << 20) // size
        refused = wanted[len(held)]
        assert os.stat(refused).st_size == size
        assert m.status()['problem'] == []
        with Watch(m.mnt, *(m.mnt / 'c29' / file for file in COMPUTED)) as watch:
            bundles.put(state / 'containers/c29/live.allowed', 'new\n')
            watch.expect({f'c29/{file}': CHANGED for file in ('effective', 'allowed')},
                         loose=['c29/effective', 'c29/allowed'])
        with opened(m.mnt / 'c0/live.allowed') as fd:  # a raw file is none of the cache's business
            assert harness.read_fd(fd) == (state / 'containers/c0/live.allowed').read_bytes()
        for i, fd in enumerate(held):
            assert harness.read_fd(fd) == expected(state, f'c{i}', 'effective')
        with opened(wanted[0]):  # it is open already: the same text
            pass
    finally:
        for fd in held:
            os.close(fd)

    def opens():
        return subprocess.run(['cat', refused], check=False, capture_output=True).stdout
    wait_for(opens, 'room for another file')
    assert opens() == expected(state, refused.parent.name, 'effective')


def test_giant_lists_of_little(mount, state):
    """Duplicates are not kept, not even from one list to the next."""
    bundles.container(state, 'c', {file: b'a\n' * (16 << 19) for file in ('profile.allowed', 'live.allowed')},
                      deny=['b'])
    m = watching.settled(mount(state, options=['cache=1M', 'max_size=16M']))
    before = memory(m, 'VmRSS')
    assert (m.mnt / 'c/effective').read_bytes() == b'a\n'
    assert memory(m) < 12 << 20
    assert memory(m, 'VmHWM') < before + (22 << 20)  # one list, not two
