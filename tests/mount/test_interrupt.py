# SPDX-License-Identifier: Apache-2.0
"""A request that waits for a writer, and whose caller gets a signal: it is answered at once, though the writer
and the settle time go on; and whoever else waits gets what he waits for."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import threading

import bundles
import pytest
from harness import TIMEOUT, holds_for, wait_for

# Each says `now` when there is but the one request left to make: what follows is an OPEN, or a READ, alone.
OPEN = '''
import os, sys
fd = os.open(sys.argv[1], os.O_PATH)
sys.stdin.readline()
print('now', flush=True)
sys.stdout.write(open(f'/proc/self/fd/{fd}').read())
'''
READ = '''
import os, select, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
poll = select.poll()
poll.register(fd, select.POLLPRI)
poll.poll(0)
print('polled', flush=True)
sys.stdin.readline()
print('now', flush=True)
sys.stdout.write(os.pread(fd, 65536, 0).decode())
'''


class Reader(subprocess.Popen):
    def __init__(self, code, path):
        super().__init__([sys.executable, '-c', code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)

    def wait_for(self, word):
        assert self.stdout.readline() == word + b'\n'

    def waits(self):
        """Has it gone to sleep since it said `now`?"""
        return pathlib.Path(f'/proc/{self.pid}/stat').read_text().rpartition(') ')[2][0] == 'S'

    def begin(self):
        """Let it make its request, and wait until it waits."""
        self.stdin.write(b'\n')
        self.stdin.flush()
        self.wait_for(b'now')
        wait_for(self.waits, 'the reader to wait')


@pytest.fixture
def held(mount, state):
    """A mount that waits for an hour, a list, and what is computed from it."""
    bundles.container(state, 'c', profile=['1.1.1.1'], live=['2.2.2.2'], deny=['3.3.3.3'])
    m = mount(state, options=['settle=3600000'])
    return m, state / 'containers/c/deny.list', m.mnt / 'c/denied'


@contextlib.contextmanager
def rewriting(path, code, shown, number):
    """(readers of SHOWN who wait, a function that writes PATH to its end): PATH is open for writing meanwhile. In
    the end the writer goes first, so that nobody is left waiting, whatever has gone wrong."""
    with contextlib.ExitStack() as stack:
        readers = [Reader(code, shown) for _ in range(number)]
        stack.callback(lambda: [(r.kill(), r.communicate()) for r in readers])
        if code == READ:
            for reader in readers:
                reader.wait_for(b'polled')
            bundles.put(path, '5.5.5.5\n')  # there are news, and
            assert shown.read_bytes() == b'5.5.5.5\n'
        writer = stack.enter_context(open(path, 'wb'))  # before they are read, others are on their way
        for reader in readers:
            reader.begin()
        yield readers, lambda: (writer.write(b'4.4.4.4\n'), writer.close())


@pytest.mark.parametrize('code', [OPEN, READ], ids=['open', 'read'])
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_who_gets_a_signal_goes(held, code, how):
    _, behind, path = held
    with rewriting(behind, code, path, 6) as (readers, finish):
        for reader in readers[::2]:
            reader.send_signal(how)
            assert reader.wait(TIMEOUT) != 0
        holds_for(lambda: all(r.waits() for r in readers[1::2]), 0.1, 'the others wait')
        finish()
        assert [r.stdout.read() for r in readers[1::2]] == [b'4.4.4.4\n'] * 3


def test_signals_while_the_writer_ends(held):
    """Whichever comes first, each reader has the one answer or the other."""
    _, behind, path = held
    for _ in range(10):
        with rewriting(behind, OPEN, path, 4) as (readers, finish):
            killer = threading.Thread(target=lambda: [r.send_signal(signal.SIGINT) for r in readers[:2]])
            killer.start()
            finish()
            killer.join()
            assert {r.stdout.read() for r in readers[:2]} <= {b'', b'4.4.4.4\n'}
            assert [r.stdout.read() for r in readers[2:]] == [b'4.4.4.4\n'] * 2


def test_the_end_of_the_view(held):
    """The rest is answered when it ends."""
    m, behind, path = held
    with rewriting(behind, OPEN, path, 4) as (readers, _):
        readers[0].kill()
        readers[0].wait(TIMEOUT)
        m.process.send_signal(signal.SIGTERM)
        assert m.process.wait(TIMEOUT) == 0, m.log_lines()
        assert all(r.wait(TIMEOUT) != 0 for r in readers)
    m.check_log()
    m.kill()
