# SPDX-License-Identifier: Apache-2.0
"""Nobody waits in the log: one that takes nothing loses lines, and counts them. One thing that is wrong is one line
until it is right again, or wrong in another way."""

import contextlib
import errno
import os
import re
import signal
import socket
import subprocess

import bundles
import harness
import pytest
import watching
from harness import fails, wait_for
from test_signals import no_core, status_pid

BAD = b'ok\n\xff\n'
WRONG = 'c/deny.list: line 2: not UTF-8 at byte 4'


def open_bad(path, times=1):
    for _ in range(times):
        with fails(errno.EILSEQ):
            os.close(os.open(path, os.O_RDONLY))


def right_again(m):
    return m.log_path.read_text().count(f'shieldfs: c/deny.list{harness.RIGHT}\n')


def test_one_line_for_one_thing(mount, state):
    """A list that can't be decoded, opened a thousand times by all that is computed from it; and a FIFO."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    os.mkfifo(behind / 'fifo')
    m = watching.settled(mount(state))
    open_bad(m.mnt / 'c/denied', 500)
    open_bad(m.mnt / 'c/effective', 500)
    for _ in range(20):
        with fails(errno.EIO):
            os.open(m.mnt / 'c/fifo', os.O_RDONLY)
    (m.mnt / 'c/deny.list').read_bytes()  # as it is: that this works says nothing about the list
    assert m.take_log() == [WRONG, 'c/fifo: no regular file: not read']
    bundles.put(behind / 'deny.list', b'ok\nok\n\xff\n')  # wrong in another way
    open_bad(m.mnt / 'c/denied', 20)
    open_bad(m.mnt / 'c/effective', 20)
    assert m.take_log() == [WRONG.replace('line 2', 'line 3').replace('byte 4', 'byte 7')]
    bundles.put(behind / 'deny.list', 'ok\n')
    for _ in range(20):
        assert (m.mnt / 'c/denied').read_text() == 'ok\n'
    wait_for(lambda: right_again(m) == 1, 'the line')
    bundles.put(behind / 'deny.list', BAD)
    open_bad(m.mnt / 'c/effective', 20)
    assert m.take_log() == [WRONG]
    os.replace(bundles.put(behind / 'new', ''), behind / 'fifo')
    assert (m.mnt / 'c/fifo').read_bytes() == b'' and 'shieldfs: c/fifo: right again' in m.log_path.read_text()


def test_right_again_though_nobody_opened_it(mount, state):
    """What was right in between, and is wrong again, is told again, even if nobody has opened it meanwhile."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    m = watching.settled(mount(state))
    for times in range(1, 4):
        open_bad(m.mnt / 'c/denied', 20)
        assert m.take_log() == [WRONG]
        bundles.put(behind / 'deny.list', 'ok\n')
        wait_for(lambda times=times: right_again(m) == times, 'the list to be right again')
        bundles.put(behind / 'deny.list', BAD)


def start(state, mnt, **kw):
    mnt.mkdir(exist_ok=True)
    process = subprocess.Popen([harness.SHIELDFS, '-d', state, mnt], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, preexec_fn=no_core, **kw)
    return process


def answers(mnt):
    return b'announcer: ok' in bytes_of(mnt / '.shieldfs/status')


def bytes_of(path):
    try:
        return path.read_bytes()
    except OSError:
        return b''


def read_available(fd):
    said = b''
    try:
        while part := os.read(fd, 1 << 20):
            said += part
    except BlockingIOError:
        pass
    return said


@pytest.mark.parametrize('kind', ['pipe', 'terminal', 'stream', 'datagram'])
def test_reader_that_stalls(base, state, kind):
    """The log's reader reads nothing for a while: all is served, events come, and it ends when told to. What was lost
    is counted."""
    if kind == 'pipe':
        reader, writer = os.pipe()
    elif kind == 'terminal':
        reader, writer = os.openpty()
    else:
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM if kind == 'stream' else socket.SOCK_DGRAM)
        reader, writer = (s.detach() for s in pair)
    stalls(base / 'mnt', state, reader, writer, whole=kind == 'pipe')


@pytest.mark.parametrize('kind', ['pipe', 'fifo'])
def test_reader_of_another_users_pipe_that_stalls(root, base, state, exe, kind, monkeypatch):
    """Which can't be opened anew: what we inherited stays as it is, waiting, for all who have it."""
    own = base / 'own'
    own.mkdir()
    for path in (own, state):
        os.chown(path, harness.NOBODY, harness.NOBODY)
    monkeypatch.setattr(harness, 'SHIELDFS', exe)
    if kind == 'pipe':
        reader, writer = os.pipe()
    else:
        os.mkfifo(base / 'fifo', 0o600)
        reader = os.open(base / 'fifo', os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(base / 'fifo', os.O_WRONLY)
    kept = os.dup(writer)
    harness.in_namespace(lambda: stalls(own / 'mnt', state, reader, writer, whole=True), uid=harness.NOBODY)
    assert os.get_blocking(kept)
    for fd in (reader, writer, kept):
        os.close(fd)


def stalls(mnt, state, reader, writer, whole):
    """whole: no line is ever written in part."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    os.set_blocking(reader, False)
    process = start(state, mnt, stderr=writer)
    os.close(writer)
    try:
        wait_for(lambda: answers(mnt), 'the mount')
        for _ in range(6000):  # each is a line or more, far beyond what waits for a reader
            os.stat(mnt / 'c/effective')
        with watching.Watch(mnt, mnt / 'c/effective') as watch:
            bundles.append(behind / 'live.allowed', '1.1.1.2\n')
            watch.wait_for(('c/effective', 'CLOSE_WRITE'), timeout=harness.TIMEOUT)
        assert (mnt / 'c/effective').read_text() == '1.1.1.1\n1.1.1.2\n'
        dropped = re.search(rb'^shieldfs_log_lines_dropped_total (\d+)$', bytes_of(mnt / '.shieldfs/metrics'), re.M)
        assert int(dropped[1]) > 1000
        said = read_available(reader)
        os.stat(mnt / 'c/effective')

        def lost():
            nonlocal said
            said += read_available(reader)
            return sum(map(int, re.findall(rb'shieldfs: (\d+) lines were lost', said)))
        wait_for(lambda: lost() > 1000, 'word of what was lost')
        if whole:
            assert all(line.startswith(b'shieldfs: ') for line in said.split(b'\n')[:-1])
        for _ in range(6000):
            os.stat(mnt / 'c/effective')
        process.terminate()
        assert process.wait(harness.TIMEOUT) == 0
        assert os.fspath(mnt) not in harness.mounts()
    finally:
        os.close(reader)
        process.kill()
        process.wait()
        harness.release(mnt)


@pytest.mark.parametrize('kind', ['pipe', 'stream'])
def test_reader_that_has_gone(base, state, kind):
    """As with `shieldfs -f … | head -1`: it goes on without a log."""
    bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    mnt = base / 'mnt'
    if kind == 'pipe':
        reader, writer = os.pipe()
    else:
        reader, writer = (s.detach() for s in socket.socketpair())
    process = start(state, mnt, stderr=writer)
    os.close(writer)
    try:
        wait_for(lambda: answers(mnt), 'the mount')
        os.close(reader)
        open_bad(mnt / 'c/denied', 10)
        assert (mnt / 'c/allowed').read_text() == '1.1.1.1\n'
        process.send_signal(signal.SIGHUP)
        process.terminate()
        assert process.wait(harness.TIMEOUT) == 0
        assert os.fspath(mnt) not in harness.mounts()
    finally:
        process.kill()
        process.wait()
        harness.release(mnt)


class Syslog:
    """A daemon at /dev/log, in a mount namespace of our own."""

    def __init__(self):
        harness.hide('/dev', [('null', 1, 3), ('full', 1, 7), ('urandom', 1, 9), ('fuse', 10, 229)])
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind('/dev/log')
        self.socket.setblocking(False)
        self.lines = []

    def poll(self):
        try:
            while line := self.socket.recv(65536):
                self.lines.append(line.decode())
        except BlockingIOError:
            pass
        return self.lines


def test_syslog(root, base, state):
    """In the background lines go to syslog: as the supervisor's, whichever process speaks; the first one names the mount
    point; deaths are told, and at a higher level than a bad list. A daemon that hangs holds nobody up."""
    bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    mnt = base / 'mnt'
    mnt.mkdir()

    def body():
        syslog = Syslog()
        harness.run(harness.SHIELDFS, state, mnt)
        pid = status_pid(mnt)

        def said(text, priority):
            pattern = rf'<{24 + priority}>\w+ [ \d]\d \d\d:\d\d:\d\d shieldfs\[{pid}\]: {text}'
            return any(re.fullmatch(pattern, line) for line in syslog.poll())
        wait_for(lambda: said(f'{mnt}: mounted', 6), 'the start')
        open_bad(mnt / 'c/denied')
        wait_for(lambda: said(WRONG, 4), 'the bad list')
        wait_for(lambda: len(watching.children_of(pid)) == 2, 'the announcer')
        server, announcer = sorted(watching.children_of(pid), key=lambda p: not watching.has_fuse(p))
        os.kill(announcer, signal.SIGKILL)
        wait_for(lambda: said(rf'{mnt}: the announcer was killed by signal 9 \(Killed\): there will be another', 4),
                 "the announcer's death")
        for i in range(harness.SOCKET_KEEPS + 100):  # nobody takes them: more than a socket keeps
            bundles.put(state / 'containers/c/deny.list', b'x' * i + b'\n\xff\n')
            open_bad(mnt / 'c/denied')
        assert (mnt / 'c/allowed').read_text() == '1.1.1.1\n'
        syslog.poll()
        bundles.put(state / 'containers/c/deny.list', BAD)
        open_bad(mnt / 'c/denied')
        wait_for(lambda: said(r'\d+ lines were lost: the log did not take them', 4), 'the number of lost lines')
        os.kill(server, signal.SIGKILL)
        wait_for(lambda: said(rf'error: {mnt}: the server was killed by signal 9 \(Killed\)', 3), "the server's death")
        wait_for(lambda: not harness.servers(mnt), 'the end')
    harness.in_child(body, harness.private_namespace)


def test_launcher_that_is_killed(root, mount, base, state):
    """Ctrl-C while the start takes its time: nobody was told that there is a mount, and there is none."""
    for i in range(1500):
        bundles.container(state, f'c{i}')
    mnt = base / 'mnt'
    mnt.mkdir()
    for how in (signal.SIGKILL, signal.SIGINT):
        launcher = subprocess.Popen([harness.SHIELDFS, state, mnt], start_new_session=True,
                                    stderr=subprocess.DEVNULL)
        wait_for(lambda: len(harness.servers(mnt)) > 2 or launcher.poll() is not None, 'the server')
        with contextlib.suppress(ProcessLookupError):
            (os.kill if how == signal.SIGKILL else os.killpg)(launcher.pid, how)
        if launcher.wait() == 0 or os.fspath(mnt) in harness.mounts():  # it was too fast for us
            harness.unmount(mnt)
        wait_for(lambda: not harness.servers(mnt), 'all to end')
        assert os.fspath(mnt) not in harness.mounts() and os.listdir(mnt) == []
