# SPDX-License-Identifier: Apache-2.0
"""Promise 8: whichever of the three processes dies, and however, while changes are being announced to
watchers: within a second nobody hangs on the mount, readers get an error or go on, and the mountpoint is
free again (when the supervisor died: as soon as the next one starts). A stopped announcer is nobody's loss
but the watchers'. SHIELD_ROUNDS: a fiftieth of it is how often each process dies of each signal."""

import contextlib
import errno
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import bundles
import harness
import pytest
import watching
from harness import wait_for

ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 1000)
TIMES = max(3, ROUNDS // (200 if harness.SLOW else 50))  # for each process and each signal
LIMIT = harness.TIMEOUT  # seconds until all is well again, at the latest
DEATHS = [signal.SIGKILL, signal.SIGSEGV]
GONE = ['ENOTCONN', 'ECONNABORTED', 'ENOENT']
MANUAL = (harness.REPO / 'fs/doc/shieldfs.1').read_text(encoding='utf-8')
DOCUMENTED = re.findall(r'E[A-Z]+', ' '.join(re.findall(r'^\.It Er (.*)$', MANUAL, re.M)))

# Changes of all kinds, without a pause.
WRITER = r'''
import os, sys
bundle, i = sys.argv[1], 0
while True:
    i += 1
    for name in ("live.allowed", "deny.list", "come-and-go"):
        with open(f"{bundle}/{name}", "w") as file:
            file.write(f"10.0.0.{i % 256}\n" * (1 + i % 5))
    os.unlink(f"{bundle}/come-and-go")
    if i % 5 == 0:
        os.makedirs(f"{bundle}-new", exist_ok=True)
        os.rmdir(f"{bundle}-new")
'''

# Everything on the mount, until that fails; then says why.
READER = r'''
import errno, os, sys
bundle, count = sys.argv[1], 0
try:
    while True:
        os.listdir(bundle)
        for name in ("effective", "denied", "live.allowed"):
            try:
                with open(f"{bundle}/{name}", "rb") as file:
                    file.read()
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
        os.stat(bundle + "/effective")
        count += 1
        if count == 3:
            print("ready", flush=True)
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
'''


def stat_of(pid):
    """The fields of /proc/PID/stat after the name: the state first, then the parent; None if there is no such
    process, or nothing but its exit status."""
    try:
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='latin-1').rpartition(')')[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in 'ZX' else fields


class Family:
    """The three processes of a mount that has just come up."""

    def __init__(self, m):
        self.supervisor = m.process.pid
        pids = self.children()
        self.server = next(pid for pid in pids if watching.has_fuse(pid))
        self.announcer = self.find_announcer()

    def children(self):
        return watching.children_of(self.supervisor)

    def find_announcer(self):
        """It is the other child that lives."""
        found = [pid for pid in self.children() if pid != self.server and stat_of(pid)]
        return found[0] if len(found) == 1 else None


@contextlib.contextmanager
def script(text, *args, **kw):
    with subprocess.Popen([sys.executable, '-c', text, *map(os.fspath, args)], stdout=subprocess.PIPE,
                          **kw) as process:
        try:
            yield process
        finally:
            process.kill()


class Watcher:
    """inotifywait on the mount: how many events it has told of."""

    def __init__(self, directory):
        self.process = subprocess.Popen(['inotifywait', '-m', '-e', 'modify,create,delete', directory],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.count = 0
        said = b''
        while b'established' not in said:
            line = self.process.stderr.readline()
            assert line, f'inotifywait has ended: {said}'
            said += line
        os.set_blocking(self.process.stdout.fileno(), False)

    def events(self):
        self.count += (self.process.stdout.read(1 << 20) or b'').count(b'\n')
        return self.count

    def more(self, count):
        wanted = self.events() + count
        wait_for(lambda: self.events() >= wanted, f'{count} more events')


@contextlib.contextmanager
def watched(directory):
    watcher = Watcher(directory)
    try:
        yield watcher
    finally:
        watcher.process.kill()
        watcher.process.communicate()


@contextlib.contextmanager
def load(m, behind):
    """A writer, readers and a watcher at work on the container C; gives the readers and the watcher."""
    with script(WRITER, behind) as writer, watched(m.mnt / 'c') as watcher, \
            script(READER, m.mnt / 'c') as first, script(READER, m.mnt / 'c') as second:
        for reader in (first, second):
            assert reader.stdout.readline() == b'ready\n'
        watcher.more(random.randrange(1, 30))
        yield [first, second], watcher
        assert writer.poll() is None, 'the writer has ended'


def log_of(m):
    """Its new log lines, but for what a reader is told who meets a writer for too long."""
    return [line for line in m.take_log() if not re.fullmatch(r'c/[a-z.]+: still being written after \d+ ms: try again', line)]


def check_end(readers, start):
    """Every reader has been given an error that says what is the matter; gives the seconds since START."""
    for reader in readers:
        wait_for(lambda r=reader: stat_of(r.pid) is None, f'a reader to end: {stat_of(reader.pid)}')
        said = reader.communicate(timeout=harness.TIMEOUT)[0].decode().strip()
        assert said in GONE and said in DOCUMENTED, said
    return time.monotonic() - start


def check_times(seconds):
    """All is well again within a second; a busy machine may take longer now and then."""
    assert min(seconds) < 1 or harness.SLOW, seconds


@pytest.fixture
def behind(state):
    bundles.container(state, 'other', profile=['2.2.2.2'])
    return bundles.container(state, 'c', profile=['1.1.1.1'], live=[], deny=[])


@pytest.mark.parametrize('how', DEATHS)
def test_death_of_the_server(mount, state, behind, how):
    took = []
    for _ in range(TIMES):
        m = mount(state, env={'ASAN_OPTIONS': 'handle_segv=0'})
        family = Family(m)
        with load(m, behind) as (readers, _):
            start = time.monotonic()
            os.kill(family.server, how)
            assert m.process.wait(LIMIT) == 1
            assert os.fspath(m.mnt) not in harness.mounts() and os.listdir(m.mnt) == []
            took.append(check_end(readers, start))
        assert not stat_of(family.server) and not stat_of(family.announcer)
        said = f'error: {m.mnt}: the server was killed by signal {how:d} '
        assert any(line.startswith(said) for line in m.take_log())
        m.kill()
    check_times(took)


def test_death_of_the_supervisor(mount, state, behind):
    """Of SIGKILL, which alone leaves the mount point to the next start."""
    how, took = signal.SIGKILL, []
    m = mount(state)
    for _ in range(TIMES):
        family = Family(m)
        with load(m, behind) as (readers, _):
            start = time.monotonic()
            os.kill(family.supervisor, how)
            assert m.process.wait(LIMIT) == -how
            check_end(readers, start)
        for pid in (family.server, family.announcer):
            wait_for(lambda p=pid: not stat_of(p), 'the others to end')
        took.append(time.monotonic() - start)
        with harness.fails(errno.ENOTCONN):
            os.listdir(m.mnt)
        harness.Mount.running.remove(m)
        m.start()
        m.take_log()  # that a dead mount was taken away
        assert (m.mnt / 'other/effective').read_bytes() == b'2.2.2.2\n'
    check_times(took)


@pytest.mark.parametrize('how', DEATHS)
def test_death_of_the_announcer(mount, state, behind, how):
    """It is replaced; readers notice nothing, and watchers hear of what comes."""
    took = []
    for _ in range((TIMES + 4) // 5):
        m = mount(state, env={'ASAN_OPTIONS': 'handle_segv=0'})
        family = Family(m)
        with load(m, behind) as (readers, watcher):
            for _ in range(5):  # more than that, and the supervisor takes its time
                before = family.find_announcer()
                start = time.monotonic()
                os.kill(before, how)
                wait_for(lambda old=before: family.find_announcer() not in (None, old), 'another one')
                wait_for(lambda: m.status()['announcer'] == ['ok'], 'it to be at work')
                took.append(time.monotonic() - start)
                watcher.more(random.randrange(5, 30))
                wait_for(lambda: m.status()['announcer'] == ['ok'], 'it to be at work still')
            assert all(reader.poll() is None for reader in readers)
        assert m.process.poll() is None
        said = [f'{m.mnt}: the announcer was killed by signal {how:d} ({signal.strsignal(how)}): there will be another']
        assert log_of(m) == said * 5
        m.stop()
    check_times(took)


def test_stopped_announcer(mount, state, behind):
    """Reads go on, the status tells; and it takes up its work again, unless it was so long that it was replaced."""
    m = mount(state)
    announcer, longest = Family(m).announcer, 0
    with load(m, behind) as (readers, watcher):
        for _ in range(2):
            start = time.monotonic()
            harness.stop(announcer)
            wait_for(lambda: m.status()['announcer'] == ['stuck'], 'the status to tell')
            for name in ('effective', 'allowed', 'live.allowed'):
                with contextlib.suppress(BlockingIOError):
                    harness.run('cat', m.mnt / 'other' / name.replace('live', 'profile'), timeout=LIMIT)
            assert all(reader.poll() is None for reader in readers)
            before = watcher.events()
            with contextlib.suppress(ProcessLookupError):
                os.kill(announcer, signal.SIGCONT)
            longest = max(longest, time.monotonic() - start)
            if longest > 4:
                break
            watcher.more(20)
            assert watcher.events() > before
            wait_for(lambda: m.status()['announcer'] == ['ok'], 'the status to tell')
    if longest <= 4:
        assert Family(m).announcer == announcer, 'it was not replaced'
        assert log_of(m) == []
    m.take_log()


def test_a_thousand_readers(mount, state, behind):
    """At once, each its own process: all get what is there, and the kernel has forgotten them in the end."""
    m = mount(state)
    loop = 'for i in $(seq 1000); do cat "$1" & done; wait'
    said = harness.run('sh', '-c', loop, 'sh', m.mnt / 'other/effective').stdout
    assert said == b'2.2.2.2\n' * 1000


def test_readers_that_never_read(mount, state, behind):
    """What they have open is in nobody's way, and goes with them."""
    m = mount(state)
    holder = 'import os, sys\nfds = [os.open(sys.argv[1], os.O_RDONLY) for _ in range(900)]\nprint("open", flush=True)\n' \
             'sys.stdin.read()'
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(script(holder, m.mnt / name, stdin=subprocess.PIPE))
                   for name in ('c/effective', 'c/denied', 'c/live.allowed', 'other')]
        for process in holders:
            assert process.stdout.readline() == b'open\n'
        for i in range(20):
            bundles.put(behind / 'live.allowed', f'1.1.1.{i}\n')
            assert f'1.1.1.{i}\n'.encode() in (m.mnt / 'c/effective').read_bytes()


@pytest.mark.parametrize('how', ['TERM', 'lazily', 'aborted'])
def test_unmount_under_load(mount, state, behind, how):
    """Everybody gets an error at once, or goes on with what he has open until it is closed; the place is free."""
    if how == 'aborted' and os.geteuid() != 0:
        how = 'lazily'
    m = mount(state)
    with load(m, behind) as (readers, _):
        start = time.monotonic()
        if how == 'TERM':
            m.process.terminate()
        elif how == 'lazily':
            harness.run('fusermount3', '-uz', m.mnt)
        else:
            harness.run('umount', '-f', m.mnt, ok=False)
        check_end(readers, start)
        wait_for(lambda: m.process.poll() is not None, 'shieldfs to end')
        assert os.fspath(m.mnt) not in harness.mounts() and os.listdir(m.mnt) == []
    m.take_log()
    m.kill()
