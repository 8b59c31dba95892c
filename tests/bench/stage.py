# SPDX-License-Identifier: Apache-2.0
"""What is measured on: a state of N containers, a shieldfs that shows it, and the two floors, side by side."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / 'mount' / 'lib'))

import bundles
import harness
import watching

PROFILE = [f'192.0.{i // 250}.{i % 250}' for i in range(150)]
LIVE = [f'198.51.100.{i}' for i in range(60)]
DENY = PROFILE[:10]
EFFECTIVE = len(PROFILE) + len(LIVE) - len(DENY)
FIRST = 'c00000'
LIMIT = 120


class Failed(Exception):
    """A figure can't be measured, and why."""


def wait_for(predicate, what, pause=0.002, limit=LIMIT):
    end = time.monotonic() + limit
    while not (value := predicate()):
        if time.monotonic() > end:
            raise Failed(f'waited {limit} s in vain for {what}')
        time.sleep(pause)
    return value


@contextlib.contextmanager
def scratch():
    """A directory of our own, in memory if that is possible."""
    place = '/dev/shm' if os.access('/dev/shm', os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix='shieldfs-bench.', dir=place, ignore_cleanup_errors=True) as path:
        yield pathlib.Path(path)


def container(state, name):
    return bundles.container(state, name, profile=PROFILE, live=LIVE, deny=DENY)


def lists_size():
    return sum(len(e) + 1 for e in [*PROFILE, *LIVE, *DENY])


def make_state(state, count):
    (state / 'containers').mkdir(parents=True)
    for i in range(count):
        container(state, f'c{i:05d}')
    return state


class Server:
    """A program that serves MNT in the foreground."""

    def __init__(self, argv, mnt, probe):
        self.mnt, self.probe, self.log = mnt, mnt / probe, mnt.with_name(f'{mnt.name}.log')
        self.argv = [os.fspath(w) for w in (*argv, mnt)]
        mnt.mkdir(exist_ok=True)

    def start(self):
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(self.answers, f'{self.argv[0]} to answer', pause=0.0005)
        except BaseException:
            self.stop()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise Failed(f'{self.argv[0]} ended with {self.process.returncode}: {self.log.read_text()[-500:]}')
        try:
            os.close(os.open(self.probe, os.O_RDONLY))
        except OSError:
            return False
        return True

    def pids(self):
        return [self.process.pid, *watching.children_of(self.process.pid)]

    def server(self):
        """The process that answers requests."""
        return next(pid for pid in self.pids() if watching.has_fuse(pid))

    def pin(self, processors):
        for pid in self.pids():
            for task in os.listdir(f'/proc/{pid}/task'):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(task), processors)

    def cpu(self):
        """Seconds of processor time that its processes have had, of ended threads too."""
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self.pids())

    def pss(self):
        """Bytes of memory of its processes; what they share counts once."""
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text(encoding='ascii').split('\n'):
                if line.startswith('Pss:'):
                    total += int(line.split()[1]) * 1024
        return total

    def rest(self, seconds=0.15):
        """Wait until it has had nothing to do for a while: the status file is looked at 0.1 s after a change."""
        def quiet():
            before = self.cpu()
            time.sleep(seconds)
            return self.cpu() - before < 0.001
        wait_for(quiet, f'{self.argv[0]} to come to rest')

    def stop(self):
        try:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            harness.run('umount', '-l', self.mnt, ok=False)


class Stage:
    """A state of COUNT containers, and what serves it."""

    def __init__(self, base, build, count):
        self.base, self.build, self.count = base, build, count
        self.base.mkdir()
        self.state = make_state(self.base / 'state', count)
        self.bundle = self.state / 'containers' / FIRST
        self.size = len(self.effective())
        with contextlib.ExitStack() as up:  # all, or none
            self.up = up
            self.shieldfs = self.run(self.shieldfs_argv(), 'view', '.shieldfs/version')
            self.floor = self.run(self.floor_argv(), 'floor', '.shieldfs/status')
            self.strict = self.run([*self.floor_argv(), '--strict', self.bundle], 'strict', '.shieldfs/status')
            self.warm()
            self.up = up.pop_all()

    def restore(self, count=1):
        """The lists of the first COUNT containers as they were at the start."""
        for i in range(count):
            container(self.state, f'c{i:05d}')
        (self.bundle / 'dnsmasq.log').unlink(missing_ok=True)
        self.shieldfs.rest()

    def effective(self):
        return ''.join(f'{e}\n' for e in [*PROFILE, *LIVE] if e not in DENY)

    def shieldfs_argv(self, state=None, option='-f'):
        return [self.build / 'fs/shieldfs', option, state or self.state]

    def floor_argv(self):
        return [self.build / 'tests/bench/floor', '--containers', str(self.count), '--size', str(self.size)]

    def run(self, argv, name, probe):
        server = Server(argv, self.base / name, probe).start()
        self.up.callback(server.stop)
        return server

    def warm(self):
        """Everything has been read, and not just now: a list that has just been written is read again."""
        for server in (self.shieldfs, self.floor, self.strict):
            self.client('cat', server.mnt, 'effective', 1)
        self.shieldfs.rest()
        self.client('cat', self.shieldfs.mnt, 'effective', 1)
        self.shieldfs.rest()
        told = (self.shieldfs.mnt / '.shieldfs/status').read_text(encoding='utf-8').split('\n')
        if wrong := [line for line in told if line.startswith(('degraded:', 'problem:'))]:
            raise Failed(f'shieldfs is not at its best here: {wrong[0]}')

    def client(self, *words, cpu=None):
        """What the client measured, and the amount that it did it with."""
        argv = [self.build / 'tests/bench/client', *words]
        if cpu is not None:
            argv = ['taskset', '-c', str(cpu), *argv]
        done = subprocess.run([os.fspath(w) if isinstance(w, pathlib.Path) else str(w) for w in argv],
                              capture_output=True, text=True, check=False, timeout=LIMIT)
        if done.returncode != 0:
            raise Failed(f'client {words[0]}: {done.stderr.strip()}')
        return tuple(map(int, done.stdout.split()))

    def close(self):
        self.up.close()
