# SPDX-License-Identifier: Apache-2.0
"""A SOURCE that is not what the operator meant: the status says so, with what to do, and it is no more than what is on
disk at that moment. And the lines on what is not watched."""

import os
import subprocess

import bundles
import harness
import pytest
import watching
from harness import NOBODY, wait_for
from watching import Inotify

WHAT = 'neither containers nor tasks is in it'


@pytest.mark.parametrize('below, like, give', [
    ('containers', 'the directory containers itself', ''),
    ('containers/c', 'a bundle', ''),
    ('tasks', 'the directory tasks itself', ''),
    ('tasks/p', 'a project of tasks', ''),
    ('tasks/p/7', 'a task', ''),
    ('tasks/p/7/shield', 'a bundle', ''),
])
def test_a_level_too_deep(mount, state, below, like, give):
    bundles.container(state, 'c', live=['1.1.1.1'])
    bundles.task(state, 'p', '7', live=['1.1.1.1'])
    m = mount(state / below)
    words = m.status()
    assert words['source'] == [f'ok {state / below}'] and words['complete'] == ['yes']
    assert words['problem'] == [f'{state / below}: {WHAT}; it looks like {like}: give {state}{give}']
    assert os.listdir(m.mnt) == ['.shieldfs']


def test_a_bundle_elsewhere(mount, state):
    """Of which nothing tells where its source may be."""
    bundles.bundle(state / 'x', live=['1.1.1.1'])
    m = mount(state / 'x')
    said = f'{state}/x: {WHAT}; it looks like a bundle: give the directory that has it as containers/NAME'
    assert m.status()['problem'] == [said]


def test_it_becomes_right(mount, state):
    """An empty directory says no more; and both changes are announced."""
    m = watching.settled(mount(state))
    assert m.status()['problem'] == [f'{state}: {WHAT}']
    with Inotify() as inotify:
        inotify.add(m.mnt / '.shieldfs/status')
        (state / 'containers').mkdir()
        wait_for(inotify.read, 'word of a change')
        wait_for(lambda: m.status()['problem'] == [], 'the problem to go')
        (state / 'containers').rmdir()
        wait_for(lambda: inotify.read() and m.status()['problem'] == [f'{state}: {WHAT}'], 'it to be back')


def test_none_exists(base, state):
    """One line at the start, in the background too; it is mounted, and waits."""
    mnt = base / 'mnt'
    mnt.mkdir()
    try:
        done = harness.run(harness.SHIELDFS, f'{base}/not\n:{base}/there', mnt, ok=False)
        assert done.returncode == 0
        said = f'shieldfs: {base}/not\\x0a, {base}/there: no such directory: the view is empty until there is one\n'
        assert done.stderr.decode() == said
        assert (mnt / '.shieldfs/status').read_text().startswith(f'source: waiting {base}/not\\x0a\n')
    finally:
        harness.release(mnt)
    try:
        done = harness.run(harness.SHIELDFS, f'{base}/not:{state}', mnt)
    finally:
        harness.release(mnt)


def test_no_directory(base, state):
    """What is no directory, or can't be found out, is a line of its own; the others are shown."""
    mnt = base / 'mnt'
    mnt.mkdir()
    (base / 'file').write_text('')
    (base / 'link').symlink_to('link')
    bundles.container(state, 'c', live=['1.1.1.1'])
    try:
        done = harness.run(harness.SHIELDFS, f'{base}/file:{base}/link:{state}', mnt, ok=False)
        assert done.returncode == 0
        assert done.stderr.decode() == f'shieldfs: {base}/file: Not a directory: nothing of it is shown while that is so\n' \
            f'shieldfs: {base}/link: Too many levels of symbolic links: nothing of it is shown while that is so\n'
        assert (mnt / '.shieldfs/status').read_text().startswith(f'source: ENOTDIR {base}/file\nsource: ELOOP {base}/link\n')
        assert (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
    finally:
        harness.release(mnt)


@pytest.mark.parametrize('which', ['state', 'state/containers', 'above'])
def test_not_to_be_entered(root, base, exe, which):
    """The state says EACCES when the source may not be entered, or a directory on the way; the rest is shown."""
    state = base / 'above/state'
    bundles.container(state, 'c', live=['1.1.1.1'])
    bundles.container(base / 'other', 'd', live=['1.1.1.1'])
    closed = base / 'above' if which == 'above' else base / 'above' / which
    mnt = base / 'own/mnt'
    mnt.mkdir(parents=True)
    for path in (base / 'own', mnt):
        os.chown(path, NOBODY, NOBODY)
    closed.chmod(0o700)

    def body():
        with open(base / 'own/log', 'wb') as log:
            process = subprocess.Popen([exe, '-f', f'{state}:{base}/other', mnt], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log)
        try:
            wait_for((mnt / '.shieldfs').exists, 'the mount')
            text = (mnt / '.shieldfs/status').read_text()
            if which == 'state/containers':
                assert f'source: ok {state}\n' in text and f'problem: {state}/containers: Permission denied' in text
            else:
                assert f'source: EACCES {state}\nsource: ok {base}/other\n' in text, text
            assert 'complete: no\n' in text and os.listdir(mnt / 'd')
        finally:
            process.terminate()
            process.wait()
            harness.release(mnt)
    harness.in_namespace(body, uid=NOBODY)


def test_source_that_goes(mount, state, base):
    """The log tells once that a source is away, is something else, or is closed, and when it is right again."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    m = mount(state)

    def told(text, turn):
        return wait_for(lambda: m.log_path.read_text().count(f'shieldfs: {state}: {text}\n') == turn, text)
    for turn in (1, 2):
        os.rename(state, base / 'away')
        told('no such directory: nothing of it is shown while that is so', turn)
        assert os.listdir(m.mnt) == ['.shieldfs'] and m.status()['source'] == [f'waiting {state}']
        bundles.put(state, '')
        told('Not a directory: nothing of it is shown while that is so', turn)
        harness.exchange(base / 'away', state)
        (base / 'away').unlink()
        told('right again', turn)
        assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
    m.expect_log('.*: Not a directory: nothing of it is shown while that is so')
