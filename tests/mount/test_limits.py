# SPDX-License-Identifier: Apache-2.0
"""What a bundle and a reader may cost has bounds: they are exceeded here, and all else goes on."""

import contextlib
import errno
import os

import bundles
import harness
import pytest
from harness import COMPUTED, NOBODY, STRANGER, fails

MAX_NAMES = 65536


def make_names(directory, names):
    """Names of as few files as there may be: that is quicker."""
    for i, name in enumerate(names):
        if i % 60000 == 0:
            bundles.put(first := directory / name, '')
        else:
            os.link(first, directory / name)


@pytest.mark.parametrize('below', ['', 'hooks'])
def test_names(mount, state, below):
    """What has a name in the view keeps it; what comes waits for room. Listings and look-ups are of one mind."""
    behind = bundles.container(state, 'c', {'live.allowed': '1.1.1.1\n'})
    (behind / below).mkdir(exist_ok=True)
    names = [f'f{i:05}' for i in range(MAX_NAMES + 100)]
    known = [] if below else [*COMPUTED, 'live.allowed']
    label = f'c/{below}'.rstrip('/')
    make_names(behind / below, names)
    m = mount(state)
    shown = m.mnt / 'c' / below
    assert sorted(os.listdir(shown)) == sorted(known + names[:MAX_NAMES])
    assert m.status()['problem'] == [f'{label}: more than 65536 names: 100 not shown']
    for name in (*known, *names[:MAX_NAMES:1000]):
        (shown / name).read_bytes()

    make_names(behind / below, ['aaa', *([] if below else ['deny.list'])])
    for name in ('aaa', names[MAX_NAMES], names[-1]):
        with fails(errno.ENOENT):
            os.stat(shown / name)
    if not below:  # the contract's names are always shown
        known.append('deny.list')
        os.stat(shown / 'deny.list')
    assert sorted(os.listdir(shown)) == sorted(known + names[:MAX_NAMES])
    assert m.status()['problem'] == [f'{label}: more than 65536 names: 101 not shown']

    (behind / below / names[7]).unlink()
    assert sorted(os.listdir(shown)) == sorted([*known, 'aaa', *names[:7], *names[8:MAX_NAMES]])
    for name in ('aaa', *known):
        os.stat(shown / name)
    with fails(errno.ENOENT):
        os.stat(shown / names[-1])
    assert m.status()['problem'] == [f'{label}: more than 65536 names: 100 not shown']


def test_problems(mount, state):
    """The status file has 100 problems of one bundle, and a line that counts the rest; other bundles have theirs."""
    for name, n in (('evil', 1000), ('good', 3)):
        behind = bundles.container(state, name, {'deny.list': b'\xff', 'hooks/x': ''})
        for i in range(n):
            os.symlink('x', behind / (f'hooks/{i:03}' if i % 2 else f'{i:03}'))
    m = mount(state)
    m.expect_log('evil/deny.list: .+')
    said = m.status()['problem']
    evil = [line for line in said if line.startswith('evil')]
    assert evil == [*(f'evil/{i:03}: symbolic link: not followed' for i in range(0, 198, 2)),
                    'evil/deny.list: line 1: not UTF-8 at byte 1', 'evil: more than 100 problems: 901 not listed']
    assert len(said) - len(evil) == 4
    with fails(errno.EILSEQ):
        (m.mnt / 'evil/denied').read_bytes()
    assert m.status()['problem'] == said


def test_problems_of_a_source(mount, base, state):
    """The same of what stands where bundles are looked for, for each source."""
    for source, n in ((state, 1000), (base / 'other', 3)):
        (source / 'containers').mkdir(parents=True)
        for i in range(n):
            os.symlink('x', source / f'containers/{i:03}')
    m = mount(state, base / 'other')
    said = m.status()['problem']
    assert f'{state}: more than 100 problems: 900 not listed' in said
    assert sum(line.startswith(f'{state}/containers/') for line in said) == 100
    assert sum(line.startswith(f'{base}/other/containers/') for line in said) == 3 == len(said) - 101


def test_degraded_of_other_owners(base, state, exe, root):
    """The same of what a plain user's announcer may not touch."""
    for name, n in (('evil', 300), ('good', 3)):
        behind = bundles.container(state, name, {f'{i:03}': '' for i in range(n)})
        os.chown(behind, NOBODY, NOBODY)

    def body(m):
        said = m.status()['degraded']
        evil = [line for line in said if line.startswith('evil') and 'no lease' not in line]
        assert len(evil) == 101 and len(said) - len(evil) == 3, said
        assert evil[-1] == 'evil: more than 100 files of another owner: 200 not listed'
    harness.for_others_too(base, [state], exe, body)


@contextlib.contextmanager
def acting_as(uid):
    """What the body opens is opened by UID."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def open_all(stack, path, uid=0):
    """How often UID can open PATH; it stays open as long as STACK."""
    with acting_as(uid):
        for n in range(10000):
            try:
                stack.callback(os.close, os.open(path, os.O_RDONLY))
            except OSError as error:
                assert error.errno == errno.ENFILE, error
                return n
    raise AssertionError('there is no limit')


def test_descriptors(mount, base, state, root):
    """Of 400 descriptors 200 may be open files. Who holds as many as he gets takes nothing from others, and
    nobody takes what the server needs."""
    for i in range(300):
        bundles.container(state, f'c{i:03}', {'live.allowed': f'10.0.0.{i}\n'})
    limited = base / 'limited'
    limited.write_text(f'#!/bin/sh\nulimit -n 400\nexec {harness.SHIELDFS} "$@"\n', encoding='utf-8')
    limited.chmod(0o755)
    m = mount(state, options=['allow_other'], exe=limited)
    m.expect_log('c000/live.allowed: refused to user 65534, as too many are open: there may be 200 open files of '
                 'bundles in all, half of them for others than who mounted')

    def works():
        for i in range(300):  # more than there are directories to be kept open
            assert (m.mnt / f'c{i:03}/effective').read_text() == f'10.0.0.{i}\n'
        assert len(os.listdir(m.mnt)) == 301 and m.status()['problem'] == []
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as first:
            assert open_all(first, m.mnt / 'c000/live.allowed', NOBODY) == 50
            assert open_all(stack, m.mnt / 'c001/live.allowed', STRANGER) == 25
            for i in range(100):
                assert (m.mnt / f'c{i:03}/live.allowed').read_text() == f'10.0.0.{i}\n'
            works()
        harness.wait_for(lambda: open_all(stack, m.mnt / 'c002/live.allowed', NOBODY), 'the releases')
        assert open_all(stack, m.mnt / 'c000/live.allowed') >= 100
        works()
    assert len(m.log_lines()) == 1


def test_computed_files(mount, state, root):
    """What others have open of the cache leaves something to everybody; what is open already costs its holder nothing
    more, be it opened ever so often."""
    for i in range(30):
        bundles.container(state, f'c{i:02}', profile=[f'10.{100 + i}.{n // 256}.{n % 256}' for n in range(3000)])
    m = mount(state, options=['allow_other', 'cache=1M'])
    m.expect_log(r'c\d\d/effective: refused to user 65534, as too many are open: there may be 1048576 bytes of open '
                 'computed files in all, half of them for others than who mounted')
    size = os.stat(m.mnt / 'c00/effective').st_size

    def open_each(stack, uid):
        """How many different ones UID gets."""
        with acting_as(uid):
            for i in range(30):
                try:
                    stack.callback(os.close, os.open(m.mnt / f'c{i:02}/effective', os.O_RDONLY))
                except OSError as error:
                    assert error.errno == errno.ENOMEM, error
                    return i
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as first:
            assert open_each(first, NOBODY) == (1 << 18) // size
            assert open_each(stack, STRANGER) == ((1 << 19) - (1 << 18) // size * size) // 2 // size
            with acting_as(NOBODY):
                for _ in range(100):
                    first.callback(os.close, os.open(m.mnt / 'c00/effective', os.O_RDONLY))
            for i in range(30):
                assert len((m.mnt / f'c{i:02}/effective').read_bytes()) == size
        harness.wait_for(lambda: open_each(stack, NOBODY), 'the releases')
    assert len(m.log_lines()) == 1


def test_listings(mount, state, root):
    """Listings of full directories take so much that a user gets only a few at a time; others get theirs."""
    behind = bundles.container(state, 'evil')
    make_names(behind, [f'{i:05}'.ljust(255, 'x') for i in range(MAX_NAMES)])
    m = mount(state, options=['allow_other'])
    m.expect_log('evil: refused to user 65534, as too many are open: there may be 134217728 bytes of listings in all, '
                 'half of them for others than who mounted')

    def start_listing(stack, uid):
        with acting_as(uid):
            next(stack.enter_context(os.scandir(m.mnt / 'evil')))
        return True

    def may_list_again():
        with contextlib.suppress(OSError):
            return start_listing(stack, NOBODY)
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as first:
            start_listing(first, NOBODY)
            with fails(errno.ENFILE):
                start_listing(stack, NOBODY)
            start_listing(stack, STRANGER)
            with acting_as(NOBODY):
                assert os.listdir(m.mnt) == ['.shieldfs', 'evil']
        harness.wait_for(may_list_again, 'the release')
    assert len(m.log_lines()) == 1
