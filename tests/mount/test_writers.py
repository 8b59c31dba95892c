# SPDX-License-Identifier: Apache-2.0
"""Who writes a list, and how it is known: on filesystems that are changed from elsewhere, without an event, for
hours, and in no one's way."""

import contextlib
import os
import subprocess

import bundles
import pytest
from harness import TIMEOUT, mounts, run, wait_for

NO_LEASE = 'no lease to be had: two equal readings stand for it'


@pytest.fixture
def elsewhere(base):
    """A directory, and the same through a filesystem behind which others may change it."""
    behind, shown = base / 'behind', base / 'shown'
    behind.mkdir()
    shown.mkdir()
    with subprocess.Popen(['bindfs', '-f', behind, shown]) as process:
        try:
            wait_for(lambda: os.fspath(shown) in mounts(), 'bindfs to mount')
            yield behind, shown
        finally:
            run('fusermount3', '-uz', shown)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TIMEOUT)
            process.kill()


def test_no_lease_on_what_is_changed_from_elsewhere(elsewhere, mount):
    """The kernel grants one there that says nothing: the status file names each list."""
    behind, shown = elsewhere
    bundles.container(behind, 'c', profile=['1.1.1.1'], live=['2.2.2.2'], deny=['1.1.1.1'])
    m = mount(shown, options=['settle=20000'])
    assert (m.mnt / 'c/effective').read_bytes() == b'2.2.2.2\n'
    degraded = m.status()['degraded']
    assert [line for line in degraded if line.endswith(NO_LEASE)] == [
        f'c/{name}: {NO_LEASE}' for name in sorted(bundles.LISTS)]
    bundles.put(shown / 'containers/c/deny.list', '2.2.2.2\n')
    assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
