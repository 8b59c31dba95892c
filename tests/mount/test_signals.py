# SPDX-License-Identifier: Apache-2.0
"""No signal but SIGKILL leaves a dead mount point, whether it is sent to the supervisor or to all three; whatever
was inherited about signals, and whatever is open at the start."""

import errno
import os
import pathlib
import resource
import signal
import subprocess

import bundles
import harness
import pytest
import watching
from bundles import append
from harness import wait_for
from watching import Watch

# What the kernel does with these is no end.
HARMLESS = {signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGURG,
            signal.SIGWINCH, signal.SIGCHLD, signal.SIGKILL}
GOES_ON = {signal.SIGHUP}
ALL = sorted(set(range(1, 65)) - {32, 33} - HARMLESS)
FAULTS = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP}


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Started:
    """shieldfs in the foreground, in a process group of its own."""

    def __init__(self, base, state, prepare=no_core, **kw):
        self.mnt = base / 'mnt'
        self.mnt.mkdir(exist_ok=True)
        self.log = base / 'log'
        with open(self.log, 'wb') as log:
            kw = {'stdin': subprocess.DEVNULL, 'stdout': log, 'stderr': log, **kw}
            self.process = subprocess.Popen([harness.SHIELDFS, '-f', state, self.mnt], preexec_fn=prepare,
                                            start_new_session=True, **kw)

    def __enter__(self):
        try:
            wait_for(self.answers, 'the mount')
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        harness.release(self.mnt)

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        return (self.mnt / '.shieldfs').exists() and b'announcer: ok' in (self.mnt / '.shieldfs/status').read_bytes()

    def ended(self):
        """It has ended in order: its status."""
        status = self.process.wait(harness.TIMEOUT)
        assert os.fspath(self.mnt) not in harness.mounts() and os.listdir(self.mnt) == []
        wait_for(lambda: not harness.servers(self.mnt), 'the others to end')
        return status


@pytest.mark.parametrize('signum, group', [
    *((signum, group) for signum in ALL for group in (False, True)),
    (32, False), (33, False)])  # glibc's own, which it hides from most calls
def test_each_signal(base, state, signum, group):
    bundles.container(state, 'c', live=['1.1.1.1'])
    with Started(base, state) as s:
        (os.killpg if group else os.kill)(s.process.pid, signum)
        if signum in GOES_ON:
            assert (s.mnt / 'c/effective').read_text() == '1.1.1.1\n'
            s.process.terminate()
        status = s.ended()
        # To the whole group a fault's signal is one for the server too.
        assert status == 0 or (group and signum in FAULTS), s.log.read_text()
        if signum not in GOES_ON | {signal.SIGTERM, signal.SIGINT}:
            assert f'{s.mnt}: ended by signal {signum} (' in s.log.read_text() or status == 1


def test_signals_to_the_others(base, state):
    """Server and announcer leave to the supervisor what is sent to them."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    with Started(base, state) as s:
        pids = watching.children_of(s.process.pid)
        for pid in pids:
            for signum in set(ALL) - FAULTS:
                os.kill(pid, signum)
        assert (s.mnt / 'c/effective').read_text() == '1.1.1.1\n'
        assert watching.children_of(s.process.pid) == pids and s.answers()
        s.process.terminate()
        assert s.ended() == 0


@pytest.mark.parametrize('limit', ['size', 'reader'])
def test_signals_of_our_own_writes(base, state, limit):
    """A log that has reached the limit of a file's size, or whose reader has gone, ends nobody who writes to it."""
    bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': b'\xff\n'})
    reader, writer = os.pipe()

    def prepare():
        no_core()
        if limit == 'size':
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with Started(base, state, prepare, **({'stderr': writer} if limit == 'reader' else {})) as s:
        os.close(writer)
        os.close(reader)
        with harness.fails(errno.EILSEQ):  # the server speaks of that
            (s.mnt / 'c/denied').read_bytes()
        announcer = sorted(watching.children_of(s.process.pid), key=watching.has_fuse)[0]
        os.kill(announcer, signal.SIGKILL)  # and the supervisor of that
        wait_for(lambda: announcer not in watching.children_of(s.process.pid) and s.answers(), 'another')
        assert s.log.read_bytes() == b'' and (s.mnt / 'c/allowed').read_text() == '1.1.1.1\n'
        s.process.terminate()
        assert s.ended() == 0


@pytest.mark.parametrize('how, group', [(signal.SIGINT, True), (signal.SIGQUIT, True), (signal.SIGHUP, True),
                                        (signal.SIGINT, False), (signal.SIGKILL, False)])
def test_killed_at_any_moment_of_the_start(base, state, how, group):
    """Ctrl-C, which reaches all, or a kill of the launcher alone: the mount is there or not, but never dead."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    mnt = base / 'mnt'
    mnt.mkdir()

    def is_up():
        try:
            return (mnt / '.shieldfs/version').exists()
        except OSError:
            return False
    try:
        for i in range(10):
            launcher = subprocess.Popen([harness.SHIELDFS, state, mnt], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=no_core)
            harness.libc.usleep(2500 * i)  # whatever it is at by then
            (os.killpg if group else os.kill)(launcher.pid, how)
            launcher.wait(harness.TIMEOUT)
            wait_for(lambda: not harness.servers(mnt) or is_up(), 'it to end or to be up')
            if harness.servers(mnt):
                harness.run('fusermount3', '-uz', mnt, ok=False)
            wait_for(lambda: not harness.servers(mnt), 'all to end')
            assert os.fspath(mnt) not in harness.mounts() and os.listdir(mnt) == []
    finally:
        harness.release(mnt)


def inherit(ignored=(), blocked=()):
    def prepare():
        no_core()
        for signum in ignored:
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    return prepare


@pytest.mark.parametrize('prepare', [
    inherit(ignored=[signal.SIGCHLD]), inherit(ignored=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP]),
    inherit(blocked=range(1, 65))], ids=['children-ignored', 'nohup', 'all-blocked'])
def test_inherited(base, state, prepare):
    """As a shell's background job, nohup and some daemons start it."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    with Started(base, state, prepare) as s:
        with Watch(s.mnt, s.mnt / 'c/effective') as watch:
            for name in watching.children_of(s.process.pid):
                if not watching.has_fuse(name):
                    os.kill(name, signal.SIGKILL)  # its death is noticed, and it is replaced
            append(behind / 'live.allowed', '1.1.1.2\n')
            watch.wait_for(('c/effective', 'CLOSE_WRITE'), timeout=harness.TIMEOUT)
        s.process.terminate()
        assert s.ended() == 0


CLOSED = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]


def close(numbers):
    def prepare():
        no_core()
        for fd in numbers:
            os.close(fd)
    return prepare


@pytest.mark.parametrize('closed', CLOSED)
@pytest.mark.parametrize('background', [False, True])
def test_standard_descriptors_closed(base, state, closed, background):
    """As autofs, cron and some daemons start it: nothing else comes to lie at 0, 1 or 2, and it ends when told to."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    if background:
        (base / 'mnt').mkdir()
        done = subprocess.run([harness.SHIELDFS, state, base / 'mnt'], preexec_fn=close(closed),
                              timeout=harness.TIMEOUT, check=False)
        assert done.returncode == 0
        try:
            check_descriptors(base / 'mnt')
            os.kill(status_pid(base / 'mnt'), signal.SIGTERM)
            wait_for(lambda: not harness.servers(base / 'mnt'), 'all to end')
            assert os.fspath(base / 'mnt') not in harness.mounts()
        finally:
            harness.release(base / 'mnt')
        return
    with Started(base, state, close(closed), stdin=None) as s:
        check_descriptors(s.mnt)
        s.process.terminate()
        assert s.ended() == 0


def status_pid(mnt):
    lines = (mnt / '.shieldfs/status').read_text().splitlines()
    return int(next(ln for ln in lines if ln.startswith('pid: ')).removeprefix('pid: '))


def check_descriptors(mnt):
    assert (mnt / 'c/effective').read_text() == '1.1.1.1\n'
    pid = status_pid(mnt)
    for each in (pid, *(watching.children_of(pid) if os.geteuid() == 0 else ())):  # it alone may see the others'
        for fd in range(3):
            place = os.readlink(f'/proc/{each}/fd/{fd}')
            assert not place.startswith(('anon_inode', 'socket')) and place != '/dev/fuse', (each, fd, place)


def test_names(mount, state):
    """Three processes, told apart by name; the command line stays, and status names the one that takes signals."""
    m = mount(state)
    pids = [m.process.pid, *watching.children(m)]
    names = [pathlib.Path(f'/proc/{pid}/comm').read_text().strip() for pid in pids]
    assert names == ['shieldfs', 'shieldfs-server', 'shieldfs-events']
    lines = {pathlib.Path(f'/proc/{pid}/cmdline').read_bytes() for pid in pids}
    assert lines == {b'\0'.join(os.fsencode(a) for a in m.argv) + b'\0'}
    assert m.status()['pid'] == [str(m.process.pid)]


def test_own_group_until_mounted(root, base, state):
    """In the background it leaves the process group that it was started in, and its session: but not before the mount
    is there, for an automounter knows by the group who mounts for it. (A setuid fusermount3 mounts nothing when traced.)"""
    bundles.container(state, 'c')
    mnt = base / 'mnt'
    mnt.mkdir()
    trace = base / 'trace'
    tracer = subprocess.Popen(['strace', '-f', '-e', 'trace=setsid,mount,fsmount,move_mount', '-o', trace,
                               harness.SHIELDFS, state, mnt])
    try:
        wait_for(lambda: trace.exists() and trace.read_text().count('setsid(') == 2, 'both to leave')
        calls = [ln.split(maxsplit=1)[1] for ln in trace.read_text().splitlines()]
        names = [c.split('(')[0] for c in calls if c.startswith(('setsid(', 'mount(', 'move_mount('))]
        assert 'setsid' in names and names.index('setsid') > 0 and names[0] != 'setsid', calls
        pid = status_pid(mnt)
        wait_for(lambda: all(os.getsid(p) != os.getsid(0) for p in (pid, *watching.children_of(pid))), 'both to have left')
    finally:
        harness.release(mnt)
        tracer.wait()


@pytest.mark.parametrize('program', ['shieldfs', 'shield-state'])
@pytest.mark.parametrize('where', ['full', 'closed'])
def test_output_that_goes_nowhere(program, where):
    """What could not be printed is an error, not a success."""
    exe = harness.SHIELDFS if program == 'shieldfs' else harness.SHIELD_STATE
    word = '--version' if program == 'shieldfs' else 'version'
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([exe, word], stdout=full if where == 'full' else None, stderr=subprocess.PIPE,
                              preexec_fn=close([1]) if where == 'closed' else None, timeout=harness.TIMEOUT, check=False)
    assert done.returncode == 1
    said = done.stderr.decode()
    reason = os.strerror(errno.ENOSPC if where == 'full' else errno.EBADF)
    assert said == f'{program}: standard output: {reason}\n'
