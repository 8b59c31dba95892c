# SPDX-License-Identifier: Apache-2.0
"""What newer versions of libfuse can, and older ones can not."""

import pathlib
import re
import signal
import subprocess

import bundles
import harness
from harness import holds_for, wait_for
from test_hostile import sourcefs


def version():
    """Of the libfuse that the program runs with."""
    said = harness.run(harness.SHIELDFS, '-V').stdout.decode()
    return tuple(map(int, re.search(r'FUSE library (\d+)\.(\d+)', said).groups()))


def test_name_that_takes_long(mount, state, base):
    """A source that answers nothing is asked for a name: another name is looked up meanwhile, if libfuse tells the kernel
    that both may be done at once."""
    bundles.container(state, 'quick')
    bundles.container(base / 'slow', 'slow')
    with sourcefs(base / 'slow', base / 'source') as source:
        m = mount(state, base / 'source')
        try:
            harness.stop(source.pid)
            slow = subprocess.Popen(['test', '-e', m.mnt / 'missing'])
            wait_for(lambda: 'request_wait' in pathlib.Path(f'/proc/{slow.pid}/wchan').read_text(), 'it to be asked for')
            quick = subprocess.Popen(['test', '-e', m.mnt / 'quick'])
            if version() >= (3, 17):
                assert quick.wait(harness.TIMEOUT) == 0
                assert slow.poll() is None
            else:
                holds_for(lambda: quick.poll() is None, 0.3, 'the kernel to let one in after the other')
            source.send_signal(signal.SIGCONT)
            assert quick.wait(harness.TIMEOUT) == 0 and slow.wait(harness.TIMEOUT) == 1
            m.stop()
        finally:
            m.kill()
