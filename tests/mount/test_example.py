# SPDX-License-Identifier: Apache-2.0
"""The example of fs/doc/inotify-on-fuse.md: who watches its mount hears of what happens behind it, and nobody hangs when it
dies."""

import errno
import os
import subprocess

import bundles
import harness
import pytest
import watching
from harness import fails, wait_for
from watching import Watch

MIRRORFS = os.environ.get('MIRRORFS') or os.path.join(os.path.dirname(harness.SHIELDFS), '../tests/example/mirrorfs')


@pytest.fixture
def mirror(base):
    (base / 'behind').mkdir()
    (base / 'behind/old').write_text('1\n')
    (base / 'mnt').mkdir()
    process = subprocess.Popen([MIRRORFS, base / 'behind', base / 'mnt'])
    wait_for(lambda: os.path.ismount(base / 'mnt'), 'the mount')
    yield process, base / 'behind', base / 'mnt'
    if process.poll() is None:
        harness.unmount(base / 'mnt')
    process.wait(harness.TIMEOUT)


def test_events(mirror):
    _, behind, mnt = mirror
    with Watch(mnt, mnt, mnt / 'old') as watch:
        with open(behind / 'old', 'a', encoding='ascii') as file:
            file.write('2\n')
        watch.wait_for(('old', 'MODIFY'), ('old', 'CLOSE_WRITE'))
        assert (mnt / 'old').read_text() == '1\n2\n'
        bundles.put(behind / 'new', 'n\n')
        watch.wait_for(('new', 'CREATE'), ('new', 'CLOSE_WRITE'))
        assert sorted(os.listdir(mnt)) == ['new', 'old']
        os.rename(behind / 'new', behind / 'old')
        watch.wait_for(('new', 'DELETE'), ('old', 'CLOSE_WRITE'))
        assert (mnt / 'old').read_text() == 'n\n'
        os.unlink(behind / 'old')
        watch.wait_for(('old', 'DELETE'), ('old', 'DELETE_SELF'))
        bundles.put(behind / 'old', '3\n')
        watch.wait_for(('old', 'CREATE'))
        assert (mnt / 'old').read_text() == '3\n'


def test_nothing_is_changed_through_it(mirror):
    _, behind, mnt = mirror
    for change in (lambda: os.unlink(mnt / 'old'), lambda: os.truncate(mnt / 'old', 0),
                   lambda: (mnt / 'new').touch(), lambda: os.open(mnt / 'old', os.O_WRONLY)):
        with fails(errno.EROFS):
            change()
    assert os.listdir(behind) == ['old'] and (behind / 'old').read_text() == '1\n'


def test_death_while_it_announces(mirror):
    """The announcer has no /dev/fuse: so the connection ends with the server."""
    process, behind, mnt = mirror
    child = watching.children_of(process.pid)[0]
    with Watch(mnt, mnt) as watch:
        bundles.put(behind / 'new', 'n\n')
        watch.wait_for(('new', 'CREATE'))
        harness.stop(process.pid)
        bundles.put(behind / 'more', 'n\n')
        process.kill()
        process.wait(harness.TIMEOUT)
    wait_for(lambda: harness.has_ended(child), 'the announcer to end')
    with fails(errno.ENOTCONN):
        os.listdir(mnt)
    harness.unmount(mnt)
