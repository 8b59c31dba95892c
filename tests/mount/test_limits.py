# SPDX-License-Identifier: Apache-2.0
"""What a bundle and a reader may cost has bounds: they are exceeded here, and all else goes on."""

import errno
import os

import bundles
import pytest
from harness import COMPUTED, fails

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
