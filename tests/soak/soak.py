#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The soak: starts a view, lets all actors work on it for some time, and then sees that

- each of them found what it should, and nothing took too long;
- watchers know all, and each computed file is what the contract's reader makes of its lists;
- no process has stood in the kernel for long, and none has more memory, descriptors or watches than it should;
- the sources are byte for byte as their writers left them;
- the log holds nothing that is not of a bundle that was made so, or of an announcer that was killed.

    soak.py SECONDS    (SHIELDFS: the program, else that in build/; SHIELD_SEED: of what is random)"""

import collections
import contextlib
import hashlib
import multiprocessing
import os
import pathlib
import queue
import random
import re
import shutil
import statistics
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / 'mount/lib'), str(TESTS / 'mount')]

import bundles  # noqa: E402
import harness  # noqa: E402
import reference  # noqa: E402
import versions  # noqa: E402
import watching  # noqa: E402
import ways  # noqa: E402
from actors import CHURN, HANG, HOSTILE, WAYS, Actor, clean  # noqa: E402

CREW = [*(('writer', {'way': way}) for way in WAYS), ('exact_reader', {}), ('cut_writer', {}), ('cut_reader', {}),
        ('holder', {}), ('poller', {}), ('churn', {}), ('watcher', {}), ('maker', {}), ('hostile', {}), ('reader', {}),
        ('lister', {}), ('status_reader', {}), ('killer', {}), ('hangup', {})]
STUCK = 5  # seconds that a process may be in uninterruptible sleep
GROWTH = 8 << 20  # bytes that memory may grow by between the middle of the time and its end
EXPECTED = re.compile(r'(?:{})(?:/.*)?: .*|.*/mnt: the announcer (?:was killed by signal 9 \(Killed\): there will be another'
                      r'|does not answer: it is killed)|(?:w-\w+|cut|m\d+)/[a-z.]+: still being written after \d+ ms: try again'
                      .format('|'.join([*CHURN, *HOSTILE, r'.*/state/containers(?:/.*)?'])))


class View(harness.Mount):
    """In the foreground and without -d, whose log would be too long."""

    def __init__(self, base, sources):
        super().__init__(base, sources)
        self.argv[1] = '-f'


class Process:
    """One of the three: what it holds."""

    def __init__(self, pid):
        self.pid, self.proc = pid, pathlib.Path(f'/proc/{pid}')

    def memory(self):
        words = re.search(r'^RssAnon:\s+(\d+) kB$', (self.proc / 'status').read_text(), re.MULTILINE)
        return int(words[1]) << 10

    def descriptors(self):
        return len(os.listdir(self.proc / 'fd'))

    def watches(self):
        count = 0
        for info in (self.proc / 'fdinfo').iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                count += info.read_text().count('inotify wd:')
        return count


def is_stuck(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f'/proc/{pid}/stat').read_bytes().rpartition(b') ')[2][:1] == b'D'
    return False


def manifest(top):
    """Everything below TOP: what it is, its attributes but for the time of access, and its content."""
    found = {}
    for here, dirs, files in os.walk(top):
        for path in [here, *(os.path.join(here, n) for n in (*files, *dirs))]:
            st = os.lstat(path)
            regular = os.path.isfile(path) and not os.path.islink(path) and st.st_size < 1 << 30
            content = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() if regular else ''
            found[path] = (st.st_ino, st.st_mode, st.st_uid, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ctime_ns, content)
    return found


class Soak:
    def __init__(self, base, seconds):
        self.seconds, self.seed = seconds, int(os.environ.get('SHIELD_SEED') or random.randrange(1 << 32))
        self.state, self.aside = base / 'state', base / 'aside'
        self.context = multiprocessing.get_context('fork')
        self.over, self.results = self.context.Event(), self.context.Queue()
        self.begun, self.done = (self.context.Array('q', len(WAYS), lock=False) for _ in range(2))
        self.m = View(base, [self.state])
        self.mnt, self.wrong = self.m.mnt, []
        self.figures, self.worst, self.stuck, self.memory = collections.Counter(), {}, {}, []

    def lay_out(self):
        self.aside.mkdir()
        for way in WAYS:
            behind = bundles.container(self.state, f'w-{way}')
            ways.WAYS[way](behind / 'live.allowed', self.aside / f'writer-{way}').prepare()
        versions.write_all(bundles.container(self.state, 'cut'), 1)
        bundles.full(self.state / 'containers/still')
        (self.state / 'tasks/p').mkdir(parents=True)

    def processes(self):
        """The server; the others come and go."""
        self.server = Process(watching.children(self.m)[0])

    def held(self):
        """What the server holds when nothing goes on."""
        return self.server.descriptors(), self.server.watches()

    def settled(self):
        """The same, once it has not changed for longer than directories are kept."""
        harness.wait_for(lambda: self.m.status()['announcer'] == ['ok'], 'an announcer')
        seen = [self.held(), time.monotonic()]

        def rests():
            now = self.held()
            if now != seen[0]:
                seen[:] = [now, time.monotonic()]
            return time.monotonic() - seen[1] > 3
        harness.wait_for(rests, 'the server to rest')
        return seen[0]

    def work(self):
        """All of them, for the time; meanwhile somebody looks at the processes."""
        crew = [self.context.Process(target=Actor(self, name, **about).run, args=(self.results,)) for name, about in CREW]
        for process in crew:
            process.start()
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and self.m.process.poll() is None:
            self.look([self.m.process.pid, *watching.children(self.m), *(p.pid for p in crew)])
            time.sleep(0.1)
        self.over.set()
        for _ in crew:
            try:
                name, figures, worst, wrong, count = self.results.get(timeout=harness.TIMEOUT)
            except queue.Empty:
                self.give_up(crew)
                return
            self.figures.update(figures)
            self.worst |= {what: max(took, self.worst.get(what, 0)) for what, took in worst.items()}
            self.wrong += [f'{name}: {text}' for text in wrong] + ([f'{name}: {count} things were wrong'] if wrong else [])
        for process in crew:
            process.join()

    def give_up(self, crew):
        """Somebody does not come to an end."""
        for (name, about), process in zip(CREW, crew):
            if process.is_alive():
                where = pathlib.Path(f'/proc/{process.pid}/wchan').read_text(encoding='ascii')
                self.wrong.append(f'{name} {about}: does not end, waits in {where}')
                process.kill()

    def look(self, pids):
        now = time.monotonic()
        self.stuck = {pid: self.stuck.get(pid, now) for pid in pids if is_stuck(pid)}
        for pid, since in self.stuck.items():
            self.worst['uninterruptible'] = max(self.worst.get('uninterruptible', 0), now - since)
        with contextlib.suppress(OSError):
            self.memory.append(self.server.memory())

    def compare(self):
        """The view with what the contract's reader makes of the sources."""
        for behind in sorted((self.state / 'containers').iterdir()):
            if behind.name in HOSTILE or not behind.is_dir():
                continue
            for name in harness.COMPUTED:
                wanted = reference.expected(behind, name)
                try:
                    got = (self.mnt / behind.name / name).read_bytes()
                except OSError as error:
                    got = error.errno
                if got != wanted and not (isinstance(wanted, set) and got in wanted):
                    self.wrong.append(f'{behind.name}/{name}: {got!r} instead of {wanted!r}')
                self.figures['compared'] += 1

    def check_growth(self, before):
        clean(self.state)
        after = self.settled()
        if after != before:
            self.wrong.append(f'descriptors and watches: {before} at the start, {after} at the end')
        if self.worst.get('uninterruptible', 0) > STUCK:
            self.wrong.append(f'a process was in uninterruptible sleep for {self.worst["uninterruptible"]:.1f} s')
        part = max(len(self.memory) // 6, 1)
        middle, last = (statistics.median(part) for part in (self.memory[2 * part:3 * part + 1], self.memory[-part:]))
        self.figures['KiB of memory in the middle'], self.figures['KiB of memory at the end'] = int(middle) >> 10, int(last) >> 10
        if last > middle + GROWTH:
            self.wrong.append(f'memory has grown from {middle} to {last} bytes')

    def check_log(self):
        for line in self.m.log_lines():
            text = line.removeprefix('shieldfs: ')
            if harness.SUSPECT.search(line) or not line.isprintable() or not EXPECTED.fullmatch(text):
                self.wrong.append(f'in the log: {line}')
        self.figures['lines of the log'] = len(self.m.log_lines())

    def run(self):
        self.lay_out()
        self.m.start()
        self.processes()
        (self.mnt / 'still/effective').read_bytes()
        before = self.settled()
        still = watching.Inotify()
        still.add(self.state / 'containers/still')
        with still:
            self.work()
            left = manifest(self.state)
            self.compare()
            now = manifest(self.state)
            self.wrong += [f'{path} is not as it was left' for path in {*left, *now} if left.get(path) != now.get(path)]
            self.check_growth(before)
            if still.read():
                self.wrong.append('something has happened to a bundle that nobody writes')
        left = manifest(self.state)
        harness.unmount(self.mnt)
        if self.m.process.wait(harness.TIMEOUT) != 0:
            self.wrong.append(f'the end was {self.m.process.returncode}')
        if manifest(self.state) != left:
            self.wrong.append('the unmounting changed a source')
        self.check_log()

    def tell(self):
        del self.figures['last']
        for what, count in sorted(self.figures.items()):
            print(f'soak: {what}: {count}')
        for what, took in sorted(self.worst.items()):
            print(f'soak: longest, {what}: {took:.3f} s')
        for text in self.wrong[:60]:
            print(f'soak: WRONG: {text}')
        print(f'soak: {self.seconds} seconds, seed {self.seed}: ' +
              (f'{len(self.wrong)} things were wrong' if self.wrong else 'nothing was wrong'))


def main(seconds):
    if os.geteuid() == 0:
        harness.private_namespace()
    os.umask(0o022)
    base = pathlib.Path(os.path.realpath(tempfile.mkdtemp(prefix='shieldfs.')))
    base.chmod(0o755)
    soak = Soak(base, seconds)
    os.chdir(base)  # sockets have short names from here
    try:
        soak.run()
    except BaseException:
        soak.wrong.append('the soak itself')
        with contextlib.suppress(OSError):
            print(soak.m.log_path.read_text(errors='backslashreplace')[-4000:])
        raise
    finally:
        soak.over.set()
        soak.m.kill()
        soak.tell()
        clean(soak.state)
        shutil.rmtree(base)
    return 1 if soak.wrong else 0


if __name__ == '__main__':
    assert HANG > 0
    sys.exit(main(int(sys.argv[1])))
