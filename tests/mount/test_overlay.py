# SPDX-License-Identifier: Apache-2.0
"""Sources on an overlayfs: the first write to what lies in a lower layer copies it up, and the directory has another
time of birth then. It is the same container all the same; a directory that takes its place is another one."""

import os
import signal

import bundles
import harness
import pytest
import watching
from harness import opened, wait_for
from watching import CHANGED, NEW, Watch


@pytest.fixture
def layers(root, base):
    """An overlay with a container in its lower layer: (what is seen, the container's directory there)."""
    space = base / 'space'
    space.mkdir()
    harness.run('mount', '-t', 'tmpfs', 'none', space)
    for name in ('lower', 'upper', 'work', 'state'):
        (space / name).mkdir()
    bundles.container(space / 'lower', 'c', profile=['1.1.1.1'], live=['2.2.2.2'], files={'hooks/a': 'a', 'x': 'x'})
    options = ','.join(f'{key}dir={space / key}' for key in ('lower', 'upper', 'work'))
    harness.run('mount', '-t', 'overlay', 'none', '-o', options, space / 'state')
    yield space / 'state', space / 'state/containers/c'
    harness.run('umount', '-l', space / 'state')
    harness.run('umount', '-l', space)


def test_first_write(mount, layers):
    """Nothing goes and comes but what was written; watches stay."""
    state, behind = layers
    m = watching.settled(mount(state))
    before = {path: os.stat(m.mnt / path).st_ino for path in ('c', 'c/effective', 'c/hooks', 'c/x')}
    with Watch(m.mnt, m.mnt, m.mnt / 'c', m.mnt / 'c/hooks') as watch:
        bundles.append(behind / 'live.allowed', '2.2.2.3\n')
        watch.expect({f'c/{name}': CHANGED for name in ('live.allowed', 'allowed', 'effective')}, loose=['c/live.allowed'])
        (behind / 'hooks/b').touch()
        watch.expect({'c/hooks/b': NEW})
        (behind / 'new').touch()
        watch.expect({'c/new': NEW})
        bundles.append(behind / 'live.allowed', '2.2.2.4\n')
        watch.expect({f'c/{name}': CHANGED for name in ('live.allowed', 'allowed', 'effective')}, loose=['c/live.allowed'])
    assert (m.mnt / 'c/effective').read_text() == '1.1.1.1\n2.2.2.2\n2.2.2.3\n2.2.2.4\n'
    assert before == {path: os.stat(m.mnt / path).st_ino for path in before}


def test_mode_alone(mount, layers):
    """Copied up by a change of its mode, which is all that is told."""
    state, behind = layers
    m = watching.settled(mount(state))
    with Watch(m.mnt, m.mnt) as watch:
        behind.chmod(0o700)
        (behind / 'x').chmod(0o600)
        watch.expect({})
    assert (m.mnt / 'c/effective').read_text() == '1.1.1.1\n2.2.2.2\n'


@pytest.mark.parametrize('names', [1, 2])
@pytest.mark.parametrize('name', ['live.allowed', 'x'])
def test_copied_up_without_a_change(mount, layers, name, names):
    """Opened for writing, but not written. A file with two names below has another number afterwards, too."""
    state, behind = layers
    for i in range(1, names):
        os.link(state.parent / 'lower/containers/c' / name, state.parent / f'lower/link{i}')
    number = os.stat(behind / name).st_ino
    m = watching.settled(mount(state))
    with Watch(m.mnt, m.mnt, m.mnt / 'c') as watch:
        with opened(behind / name, os.O_RDWR):
            pass
        assert (os.stat(behind / name).st_ino == number) == (names == 1)
        watch.expect({})
        bundles.append(behind / name, '2.2.2.3\n')
        changed = (name, 'allowed', 'effective') if name == 'live.allowed' else (name,)
        watch.expect({f'c/{n}': CHANGED for n in changed}, loose=[f'c/{name}'])


def test_replaced(mount, layers):
    """A directory in its place is another container, copied up before or not."""
    state, behind = layers
    m = watching.settled(mount(state))
    with Watch(m.mnt, m.mnt) as watch:
        for i in range(3):
            bundles.remove(behind)
            bundles.container(state, 'c', live=[f'3.3.3.{i}'])
            watch.wait_for(('c', 'DELETE,ISDIR'), ('c', 'CREATE,ISDIR'))
            wait_for(lambda text=f'3.3.3.{i}\n': (m.mnt / 'c/effective').read_text() == text, 'the new one')
            bundles.append(behind / 'live.allowed', '4.4.4.4\n')
            assert (m.mnt / 'c/effective').read_text() == f'3.3.3.{i}\n4.4.4.4\n'


def test_replaced_with_the_same_number(root, mount, base, state):
    """As ext4 does it with a directory that is made when another has just gone: between two looks, another container,
    for the watch has ended with the first."""
    m = watching.settled(mount(state))
    with Watch(m.mnt, m.mnt) as watch:
        same, reuses = 0, harness.run('stat', '-fc', '%T', base).stdout == b'ext2/ext3\n'
        server = watching.children(m)[0]
        for i in range(30):
            if i > 4 and (same or not reuses):
                break
            behind = bundles.container(state, f'c{i}', live=['1.1.1.1'])
            watch.expect({f'c{i}': ['CREATE,ISDIR']}, quiet=0)
            wait_for(lambda: watching.at_rest(m), 'rest')
            wait_for(lambda: not watching.open_directories(server), 'nobody to hold the first')
            number = os.stat(behind).st_ino
            harness.stop(server)
            bundles.remove(behind)
            bundles.container(state, f'c{i}', live=['2.2.2.2'])
            same += os.stat(behind).st_ino == number
            os.kill(server, signal.SIGCONT)
            assert (m.mnt / f'c{i}/effective').read_text() == '2.2.2.2\n'
            watch.expect({f'c{i}': ['DELETE,ISDIR', 'CREATE,ISDIR']}, quiet=0)
    assert same or not reuses, 'others always took the number: it was no trial'
