# SPDX-License-Identifier: Apache-2.0
"""Each of the three processes is killed, crashes or is stopped at the moments at which that is worst: while an open is
held, a directory is being announced, the mount is there and nobody knows, a queue is drained, the mount is taken away.
And all three at once: killed, frozen, out of memory. After each nobody waits in the kernel for longer than a second, the
mount point is free (if the supervisor was killed, the next start takes it over), and the sources are as they were.
The moments need a build with the option `faults`."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import bundles
import harness
import pytest
import watching
from harness import has_stopped, holds_for, wait_for
from test_harmless import listing, snapshot

UNINTERRUPTIBLE = 10  # seconds that anybody may wait so
LIMIT = harness.TIMEOUT
MOMENTS = {'open held': 'hold-open:1', 'mkdir announced': 'stop-mkdir:1', 'mounted': 'stop-mounted:1',
           'drain': 'stop-drain:1', 'unmount': 'stop-detach:1'}
WHO = ('supervisor', 'server', 'announcer')
HOW = {'killed': signal.SIGKILL, 'crashed': signal.SIGSEGV, 'aborted': signal.SIGABRT, 'stopped': signal.SIGSTOP}
CASES = [(moment, who, how) for moment in MOMENTS for who in WHO for how in HOW
         if (moment, who) not in (('mounted', 'announcer'), ('unmount', 'announcer'))]  # there is none then


def state_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='latin-1').rpartition(') ')[2][:1]
    return None


class Guard(threading.Thread):
    """Looks after the processes of a mount: those that stop of themselves go on, but the first after it was armed; and
    none waits in the kernel for long."""

    def __init__(self, m, armed):
        super().__init__(daemon=True)
        self.m, self.others, self.over = m, [], False
        self.armed, self.caught, self.spared = armed, None, None
        self.since, self.stuck = {}, []

    def family(self):
        pid = self.m.process.pid
        return [pid, *watching.children_of(pid)]

    def look_at(self, pid):
        if state_of(pid) != 'D':
            self.since.pop(pid, None)
        elif time.monotonic() - self.since.setdefault(pid, time.monotonic()) > UNINTERRUPTIBLE:
            self.stuck.append(pid)

    def run(self):
        while not self.over:
            family = self.family()
            for pid in [*family, *self.others]:
                self.look_at(pid)
            for pid in filter(has_stopped, family):
                if self.armed and not self.caught:
                    self.caught = pid
                elif pid not in (self.caught, self.spared):
                    self.go_on(pid)
            time.sleep(0.002)

    @staticmethod
    def go_on(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def let_go(self, spared=None):
        """Whoever was caught goes on, but SPARED."""
        self.armed, self.spared, caught, self.caught = False, spared, self.caught, None
        if caught and caught != spared:
            self.go_on(caught)


@contextlib.contextmanager
def guarded(m, armed):
    guard = Guard(m, armed)
    guard.start()
    try:
        yield guard
    finally:
        guard.let_go()
        guard.over = True
        guard.join()
    assert not guard.stuck, 'somebody has waited in the kernel for too long'


def cat(path):
    return subprocess.Popen(['cat', path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Case:
    """A mount at a moment."""

    def __init__(self, base, state, fault=None):
        faults = ','.join(filter(None, (os.environ.get('SHIELD_FAULTS'), fault)))
        self.m = harness.Mount(base, [state], options=['settle=20000'],
                               env={'SHIELD_FAULTS': faults, 'ASAN_OPTIONS': 'handle_segv=0'})
        self.state, self.readers = state, []

    def read(self, name):
        self.readers.append(cat(self.m.mnt / name))
        return self.readers[-1]

    def pid(self, who):
        if who == 'supervisor':
            return self.m.process.pid
        fuse = {watching.has_fuse(pid): pid for pid in watching.children_of(self.m.process.pid)}
        return fuse.get(who == 'server')

    def reach(self, moment, guard):
        """The mount is up, and then at MOMENT."""
        if moment != 'mounted':
            wait_for(self.m.answers, 'the view')
            watching.settled(self.m)
            guard.armed = moment != 'open held'
        if moment in ('open held', 'drain'):
            self.read('c/effective')
        elif moment == 'mkdir announced':
            bundles.container(self.state, 'new', live=['1.1.1.1'])
        elif moment == 'unmount':
            self.m.process.terminate()
        if moment == 'open held':
            holds_for(lambda: self.readers[0].poll() is None, 0.02, 'it is held')
        else:
            wait_for(lambda: guard.caught, f'the moment: {moment}')

    def expect_free(self):
        wait_for(lambda: self.m.process.poll() is not None, 'shieldfs to end')
        assert os.fspath(self.m.mnt) not in harness.mounts() and os.listdir(self.m.mnt) == []

    def expect_dead(self):
        """Only if the supervisor was killed: unless it was just taken away, the mount is there, and the next start
        takes it over."""
        wait_for(lambda: not harness.servers(self.m.mnt), 'all to end')
        if os.fspath(self.m.mnt) in harness.mounts():
            wait_for(lambda: harness.is_dead(self.m.mnt), 'the mount to be dead')
        again = harness.Mount(self.m.mnt.parent, [self.state], env={'SHIELD_FAULTS': ''})
        try:
            again.start()
            assert (again.mnt / 'other/effective').read_bytes() == b'2.2.2.2\n'
            again.process.terminate()
            assert again.process.wait(LIMIT) == 0
        finally:
            again.kill()

    def expect_life(self):
        """All is as ever, and so is the end."""
        wait_for(self.m.answers, 'the view to answer')
        assert (self.m.mnt / 'other/live.allowed').read_bytes() == b'2.2.2.2\n'
        self.m.process.terminate()
        self.expect_free()

    def expect_readers_to_end(self):
        for reader in self.readers:
            wait_for(lambda r=reader: r.poll() is not None, 'a reader to end')

    def kill(self):
        self.m.kill()
        for reader in self.readers:
            reader.kill()
            reader.wait()


@contextlib.contextmanager
def case_of(base, state, fault=None, armed=False):
    """The case, and its guard, who is armed before it begins or later; the sources must be in the end as they were when
    it has come to its moment."""
    bundles.container(state, 'c', {'hooks/x': ''}, profile=['1.1.1.1'])
    bundles.container(state, 'other', live=['2.2.2.2'])
    case = Case(base, state, fault)
    try:
        case.m.begin()
        with guarded(case.m, armed) as guard:
            yield case, guard
            case.expect_readers_to_end()
    finally:
        case.kill()


@contextlib.contextmanager
def untouched(state):
    paths = listing(state)
    before = snapshot(paths)
    yield
    assert listing(state) == paths and snapshot(paths) == before, 'a source has been touched'


@pytest.mark.parametrize('moment,who,how', CASES, ids=lambda word: word.replace(' ', '-'))
def test_at_a_moment(root, base, state, moment, who, how):
    with case_of(base, state, MOMENTS[moment], moment == 'mounted') as (case, guard):
        case.reach(moment, guard)
        guard.others = [reader.pid for reader in case.readers]
        pid = case.pid(who)
        with untouched(state):
            os.kill(pid, HOW[how])
            guard.let_go(spared=pid if how == 'stopped' else None)
            if how == 'stopped':
                if who != 'server' and moment != 'unmount':
                    wait_for(lambda: case.read('other/live.allowed').wait(LIMIT) == 0, 'others to read')
                guard.spared = None  # it goes on
            if moment == 'unmount' and (who, how) != ('supervisor', 'killed'):
                case.expect_free()
            elif who == 'announcer' or how == 'stopped':
                case.expect_life()
            elif (who, how) == ('supervisor', 'killed'):
                case.expect_dead()
            else:
                case.expect_free()


# ---- all at once, or by the kernel

@contextlib.contextmanager
def cgroup(kind):
    """A control group of our own with a file of this name, or None where there can be none."""
    for top in ('/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/memory'):
        path = pathlib.Path(top) / f'shieldfs-{os.getpid()}'
        try:
            path.mkdir()
        except OSError:
            continue
        if (path / kind).exists() and (path / 'cgroup.procs').exists():
            break
        path.rmdir()
    else:
        yield None
        return
    try:
        yield path
    finally:
        def emptied():
            for pid in map(int, (path / 'cgroup.procs').read_text().split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                path.rmdir()
            return not path.exists()
        wait_for(emptied, 'the control group to be empty')


def join(path, *pids):
    for pid in pids:
        (path / 'cgroup.procs').write_text(f'{pid}\n')


def family(case):
    return [case.pid(who) for who in WHO]


def test_all_killed(root, base, state):
    """By one write to cgroup.kill, or where there is none one after the other."""
    with case_of(base, state) as (case, _), cgroup('cgroup.kill') as group:
        wait_for(case.m.answers, 'the view')
        readers = [case.read('c/effective') for _ in range(20)]
        assert readers
        with untouched(state):
            if group:
                join(group, *family(case))
                (group / 'cgroup.kill').write_text('1\n')
            else:
                for pid in family(case):
                    os.kill(pid, signal.SIGKILL)
            case.m.process.wait(LIMIT)
            case.expect_dead()


def test_frozen(root, base, state):
    """Nobody is answered; when it goes on, all goes on. A signal to end that comes meanwhile ends it then."""
    with case_of(base, state) as (case, _), cgroup('cgroup.freeze') as group:
        wait_for(case.m.answers, 'the view')
        pids = family(case)

        def freeze(on):
            if not group:
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP if on else signal.SIGCONT)
                return
            (group / 'cgroup.freeze').write_text(f'{on:d}\n')
            wait_for(lambda: f'frozen {on:d}' in (group / 'cgroup.events').read_text(), 'it to be so')
        if group:
            join(group, *pids)
        with untouched(state):
            freeze(True)
            waits = case.read('c/effective')
            holds_for(lambda: waits.poll() is None, 0.1, 'it is frozen')
            freeze(False)
            assert waits.wait(LIMIT) == 0
            freeze(True)
            case.m.process.terminate()
            freeze(False)
            case.expect_free()


HOG = r'''
import sys
sys.stdin.readline()
hoard = []
while True:
    hoard.append(bytearray(b"x" * (1 << 20)))
'''


def out_of_memory(pid):
    """The kernel's OOM killer takes PID: it is the worst of a control group that has no memory left, of which several
    others have a part each. FALSE: there can be no such group here."""
    with cgroup('memory.limit_in_bytes') as old, cgroup('memory.max') as new, contextlib.ExitStack() as stack:
        group, limit = (old, 'memory.limit_in_bytes') if old else (new, 'memory.max')
        if not group:
            return False
        (group / limit).write_text(f'{64 << 20}\n')
        pathlib.Path(f'/proc/{pid}/oom_score_adj').write_text('1000\n')
        hogs = [subprocess.Popen([sys.executable, '-c', HOG], stdin=subprocess.PIPE) for _ in range(4)]
        for hog in hogs:
            stack.callback(hog.wait)
            stack.callback(hog.kill)
        join(group, pid, *(hog.pid for hog in hogs))
        for hog in hogs:
            hog.stdin.close()
        wait_for(lambda: state_of(pid) in (None, 'Z'), 'it to be killed')
    return True


@pytest.mark.parametrize('who', WHO)
def test_out_of_memory(root, base, state, who):
    with case_of(base, state) as (case, _):
        wait_for(case.m.answers, 'the view')
        pid = case.pid(who)
        with untouched(state):
            if not out_of_memory(pid):
                os.kill(pid, signal.SIGKILL)
            if who == 'announcer':
                wait_for(lambda: case.pid('announcer') not in (None, pid), 'another one')
                case.expect_life()
            elif who == 'server':
                case.expect_free()
            else:
                case.m.process.wait(LIMIT)
                case.expect_dead()
