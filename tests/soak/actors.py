# SPDX-License-Identifier: Apache-2.0
"""Who takes part in the soak. Each is a process of its own, which does one thing until it is over, checks what it reads,
and hands in its figures and what was wrong."""

import collections
import contextlib
import errno
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import time
import traceback

import bundles
import harness
import test_convergence
import versions
import watching
import ways

WAYS = list(ways.WAYS)
HANG = 10  # seconds; longer than anything may take
MOST = 1 << 20  # bytes that are read of a file; more than those have that are compared
CHURN = test_convergence.NAMES
HOSTILE = [f'h{i}' for i in range(6)]
# what a reader of a bundle may get that somebody is at work in
MOMENTARY = (errno.ENOENT, errno.ESTALE, errno.EBUSY, errno.ENOTDIR)
# and of a hostile one
REFUSED = (*MOMENTARY, errno.EISDIR, errno.ELOOP, errno.EIO, errno.EILSEQ, errno.EFBIG, errno.EACCES, errno.ENOMEM)


class Actor:
    """One of them. BEGUN and DONE are shared: the versions that the writer of each way has begun, and is done with."""

    def __init__(self, soak, name, **about):
        self.state, self.mnt, self.aside = soak.state, soak.mnt, soak.aside / f'{name}-{"".join(about.values())}'
        self.over, self.begun, self.done, self.status = soak.over, soak.begun, soak.done, soak.m.status
        self.supervisor, self.name, self.about = soak.m.process.pid, name, about
        self.figures, self.worst, self.wrong = collections.Counter(), {}, []
        self.choose = random.Random(f'{soak.seed} {name} {about}')

    def run(self, results):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            getattr(self, self.name)(**self.about)
        except BaseException:
            self.wrong.append(traceback.format_exc())
        results.put((self.name, dict(self.figures), self.worst, self.wrong[:20], len(self.wrong)))

    @contextlib.contextmanager
    def timed(self, what):
        start = time.monotonic()
        try:
            yield
        finally:
            self.figures[what] += 1
            took = time.monotonic() - start
            self.worst[what] = max(self.worst.get(what, 0), took)
            if took > HANG:
                self.wrong.append(f'{what} took {took:.1f} s')

    def pause(self, mean):
        time.sleep(min(self.choose.expovariate(1 / mean), 1))

    def read(self, path, allowed=(errno.EBUSY,), what='opens'):
        """The content; or None, and it counts as busy or refused."""
        try:
            with self.timed(what), open(path, 'rb', buffering=0) as file:
                return file.read(MOST)  # a raw file may be 1 TiB long
        except OSError as error:
            if error.errno not in allowed:
                self.wrong.append(f'{path}: {error}')
            self.figures['busy' if error.errno == errno.EBUSY else 'refused'] += 1
            return None

    # ---- lists that are written, and read at the same time

    def writer(self, way):
        """Version after version, now and then some without a pause."""
        k, w, i = WAYS.index(way), ways.WAYS[way](self.state / 'containers' / f'w-{way}' / 'live.allowed', self.aside), 0
        while not self.over.is_set():
            i += 1
            self.begun[k] = i
            w.write(i)
            self.done[k] = i
            self.figures['changes'] += 1
            if i // 40 % 10:
                self.pause(0.02)
        self.figures['last'] = i

    def exact_reader(self):
        """What is read is a version that was there since the open began, to the byte."""
        while not self.over.is_set():
            k = self.choose.randrange(len(WAYS))
            before = self.done[k]
            got = self.read(self.mnt / f'w-{WAYS[k]}' / self.choose.choice(['effective', 'allowed']))
            after = self.begun[k]
            if got is not None and not any(got == shown(WAYS[k], i) for i in range(before, after + 1)):
                self.wrong.append(f'{WAYS[k]}: not between {before} and {after}: {got[:80]!r}')
            self.pause(0.002)

    def cut_writer(self):
        i = 1
        while not self.over.is_set():
            i += 1
            versions.write_all(self.state / 'containers/cut', i)
            self.figures['changes'] += 3
            self.pause(0.03)

    def cut_reader(self):
        """All lists are from one moment."""
        while not self.over.is_set():
            name = self.choose.choice(['effective', 'allowed', 'denied'])
            got = self.read(self.mnt / 'cut' / name)
            if got is not None and not versions.is_whole(name, got, True):
                self.wrong.append(f'cut/{name}: no moment had {got[:40]!r}…{got[-40:]!r}')
            self.pause(0.005)

    def holder(self):
        """What an open gave stays as it was."""
        while not self.over.is_set():
            with contextlib.ExitStack() as stack:
                held = []
                for _ in range(100):
                    path = self.mnt / f'w-{self.choose.choice(WAYS)}/effective'
                    with contextlib.suppress(BlockingIOError, OSError), self.timed('opens'):
                        fd = stack.enter_context(harness.opened(path))
                        held.append((path, fd, os.pread(fd, 1 << 20, 0)))
                self.pause(0.3)
                self.wrong += [f'{path}: changed in its handle' for path, fd, got in held if os.pread(fd, 1 << 20, 0) != got]

    def poller(self):
        """A change is told, and what is read then is not older."""
        k = WAYS.index('Rename')
        with harness.opened(self.mnt / 'w-Rename/effective') as fd:
            poll = select.poll()
            poll.register(fd, select.POLLPRI)
            while not self.over.is_set():
                if not poll.poll(HANG * 1000) and not self.over.is_set():
                    self.wrong.append('poll: no change was told')
                before = self.done[k]
                try:
                    got = os.pread(fd, 1 << 20, 0)
                except BlockingIOError:
                    continue
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        raise
                    continue
                self.figures['polls'] += 1
                if not any(got == shown('Rename', i) for i in range(before, self.begun[k] + 1)):
                    self.wrong.append(f'poll: not between {before} and {self.begun[k]}: {got[:80]!r}')

    # ---- containers that come and go

    def churn(self):
        chaos = test_convergence.Chaos(self.state, self.aside, self.choose)
        while not self.over.is_set():
            chaos.change()
            self.figures['changes'] += 1
            self.pause(0.01)

    def watcher(self):
        """Knows from events alone what the churn comes to."""
        model = Churned(self.mnt)
        with model.inotify:
            while not self.over.is_set():
                model.catch_up()
                self.pause(0.003)
            self.figures['events'] = model.events
            start = time.monotonic()
            try:
                harness.wait_for(lambda: model.catch_up() == truth(self.mnt), 'the model to be true')
            except AssertionError:
                known, found = model.known, truth(self.mnt)
                self.wrong += [f'watcher: {p}: knows {known.get(p, "nothing")!r}, there is {found.get(p, "nothing")!r}'
                               for p in sorted({*known, *found}) if known.get(p, 'none') != found.get(p, 'none')]
            self.worst['convergence'] = time.monotonic() - start

    def maker(self):
        """Bundles in both layouts: what is made, renamed or gone is so at the next look."""
        i = 0
        while not self.over.is_set():
            i += 1
            name, other = f'{i}', f'{i}{"0" * 5}'
            place = bundles.task(self.state, 'p', name, live=[f'10.0.0.{i % 250}']).parent
            self.expect(f'p.{name}', f'10.0.0.{i % 250}\n')
            bundles.put(place / 'shield/deny.list', f'10.0.0.{i % 250}\n')
            self.expect(f'p.{name}', '')
            place.rename(place.parent / other)
            self.expect(f'p.{name}', None)
            self.expect(f'p.{other}', '')
            (place.parent / other / 'shield').rename(self.state / f'containers/m{i}')
            self.expect(f'p.{other}', None)
            self.expect(f'm{i}', '')
            bundles.remove(self.state / f'containers/m{i}')
            bundles.remove(place.parent / other)
            self.expect(f'm{i}', None)
            self.figures['bundles made'] += 1
            self.pause(0.05)

    def expect(self, name, text):
        """TEXT is what the container holds; None: there is none."""
        path = self.mnt / name / 'effective'
        got = self.read(path, (errno.ENOENT,) if text is None else (errno.EBUSY,))
        if text is None and got is not None or text is not None and got not in (None, text.encode()):
            self.wrong.append(f'{path}: {got!r} instead of {text!r}')

    def hostile(self):
        while not self.over.is_set():
            place = self.state / 'containers' / self.choose.choice(HOSTILE)
            spoil = getattr(self, self.choose.choice([n for n in dir(self) if n.startswith('spoil_')]))
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, FileExistsError, IsADirectoryError):
                if self.choose.random() < 0.2:
                    self.clear(place)
                if not place.is_dir():
                    bundles.full(place)
                spoil(place)
                self.figures['hostile changes'] += 1
            self.pause(0.05)

    def clear(self, place):
        if place.is_dir():
            os.chmod(place, 0o755)
        bundles.remove(place)

    def spoil_kind(self, place):
        file = place / self.choose.choice(['deny.list', 'live.allowed', 'interactive', 'hooks', 'odd'])
        bundles.remove(file)
        make = self.choose.choice([os.mkfifo, os.mkdir, lambda p: os.symlink(self.choose.choice(['.', 'nowhere', 'deny.list']), p),
                                   self.make_socket])
        make(file)

    def make_socket(self, path):
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))

    def spoil_bytes(self, place):
        bundles.remove(place / 'live.domains')  # else it may be a FIFO
        bundles.put(place / 'live.domains', self.choose.randbytes(self.choose.randrange(1, 3000)))

    def spoil_size(self, place):
        bundles.remove(place / 'deny.list')
        with open(place / 'deny.list', 'wb') as file:
            file.truncate(1 << 40)

    def spoil_names(self, place):
        for name in (b'\xff\xfe', b'a\nb', b'x' * 255, b'\x1b[2J', b' ', b'effective'):
            bundles.put(os.path.join(os.fsencode(place), name), name)

    def spoil_many(self, place):
        for i in range(500):
            bundles.put(place / f'n{i}', '')

    def spoil_hooks(self, place):
        for i in range(20):
            (place / 'hooks' / f'd{i}').mkdir(parents=True, exist_ok=True)

    def spoil_mode(self, place):
        path = self.choose.choice([place, place / 'profile.allowed'])  # no link, which chmod would follow
        os.chmod(path, self.choose.choice([0, 0o700, 0o755]))

    def spoil_place(self, place):
        self.clear(place)
        bundles.put(place, 'no directory')
        self.pause(0.05)
        bundles.remove(place)

    def spoil_growing(self, place):
        """A list that does not rest for as long as an open waits."""
        end = time.monotonic() + (1.2 if self.choose.random() < 0.2 else 0.1)
        with open(place / 'profile.allowed', 'ab', buffering=0) as file:
            while time.monotonic() < end:
                file.write(b'10.9.8.7\n')

    # ---- who looks at everything

    def reader(self):
        while not self.over.is_set():
            self.look(self.mnt, read=True)

    def lister(self):
        while not self.over.is_set():
            self.look(self.mnt, read=False)

    def look(self, place, read):
        try:
            with self.timed('listings'):
                entries = list(os.scandir(place))
        except OSError as error:
            if error.errno not in REFUSED:
                self.wrong.append(f'{place}: {error}')
            return
        for entry in entries:
            if self.over.is_set():
                return
            with contextlib.suppress(OSError), self.timed('stats'):
                entry.stat()
            if entry.is_dir(follow_symlinks=False):
                self.look(pathlib.Path(entry.path), read)
            elif read and self.choose.random() < 0.2:
                self.read(entry.path, REFUSED)

    def status_reader(self):
        while not self.over.is_set():
            with self.timed('status'):
                self.status()
            self.pause(0.05)

    # ---- who harms the program

    def killer(self):
        """The announcer dies, or stands still for a moment."""
        while not self.over.wait(self.choose.uniform(0.5, 4)):
            pids = [p for p in watching.children_of(self.supervisor) if not watching.has_fuse(p)]
            for pid in pids[:1]:
                with contextlib.suppress(ProcessLookupError):
                    if self.choose.random() < 0.3:
                        os.kill(pid, signal.SIGSTOP)
                        self.pause(0.2)
                        os.kill(pid, signal.SIGCONT)
                        self.figures['stops'] += 1
                    else:
                        os.kill(pid, signal.SIGKILL)
                        self.figures['kills'] += 1

    def hangup(self):
        while not self.over.wait(self.choose.uniform(0.1, 2)):
            os.kill(self.supervisor, signal.SIGHUP)
            self.figures['hangups'] += 1


def shown(way, i):
    text = ways.remembered(way, i)
    return text if text.endswith(b'\n') or not text else text + b'\n'


def truth(mnt):
    """What there is of the churn, as somebody finds it who looks."""
    found = {}
    for name in CHURN:
        if (mnt / name).is_dir():
            found[name] = None
            found |= {f'{name}/{path}': content for path, content in test_convergence.walk(mnt / name).items()}
    return found


class Churned(test_convergence.Model):
    """The model of the containers in the churn alone."""

    def __init__(self, mnt):
        self.mnt, self.known, self.inotify, self.watched = mnt, {}, watching.Inotify(), {}
        self.listed, self.empty, self.events = True, time.monotonic(), 0
        self.watch('')
        for name in CHURN:
            if (mnt / name).is_dir():
                self.follow(name, self.empty)

    def take(self, path, mask, since):
        if path.split('/')[0] in CHURN:
            self.events += 1
            with contextlib.suppress(OSError):  # it has gone again, or another has come in its place: there are events for that
                super().take(path, mask, since)


def clean(state):
    """Takes away what has come."""
    for name in [*CHURN, *HOSTILE, *(p.name for p in (state / 'containers').glob('m*'))]:
        place = state / 'containers' / name
        if place.is_dir():
            os.chmod(place, 0o755)
        bundles.remove(place)
    for place in (state / 'tasks/p').glob('*'):
        shutil.rmtree(place)
