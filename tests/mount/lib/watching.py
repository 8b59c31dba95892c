# SPDX-License-Identifier: Apache-2.0
"""What tests about events need: inotifywait with golden sequences, an inotify instance of our own, and the
processes of a mount."""

import collections
import contextlib
import ctypes
import os
import pathlib
import select
import signal
import subprocess
import threading

import harness
from harness import holds_for, wait_for

# Everything but open, access and close_nowrite, which every reader causes.
EVENTS = 'modify,close_write,attrib,create,delete,delete_self,move,move_self,unmount'
MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF, OVERFLOW, IGNORED, ISDIR = 0x400, 0x800, 0x4000, 0x8000, 0x40000000
CHANGES = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
WORDS = {'MODIFY': MODIFY, 'ATTRIB': ATTRIB, 'CLOSE_WRITE': CLOSE_WRITE, 'MOVED_FROM': MOVED_FROM, 'MOVED_TO': MOVED_TO,
         'CREATE': CREATE, 'DELETE': DELETE, 'DELETE_SELF': DELETE_SELF, 'MOVE_SELF': MOVE_SELF, 'UNMOUNT': 0x2000,
         'Q_OVERFLOW': OVERFLOW, 'ISDIR': ISDIR}
QUIET = 0.25
SLOWNESS = 0.02  # seconds, of a watcher that doesn't list: more than it takes to announce a file
OUTSIDE = os.readlink('/proc/self/ns/user')
CHANGED = ['MODIFY', 'CLOSE_WRITE']
NEW = ['CREATE', *CHANGED]
GONE = ['ATTRIB', 'DELETE_SELF']


class Tool:
    """inotifywait -m on some paths."""

    def __init__(self, paths, prefix):
        argv = [*prefix, 'inotifywait', '-m', '-e', EVENTS, '--format', '%w\t%e\t%f', '--', *paths]
        self.rest = b''
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL)
        os.set_blocking(self.process.stdout.fileno(), False)
        said = b''
        while b'Watches established' not in said:
            line = self.process.stderr.readline()
            assert line, said
            said += line

    def close(self):
        self.process.kill()
        self.process.communicate()

    def take(self):
        """[(path, EVENT)] that have come since."""
        events = []
        while part := self.process.stdout.read():
            *lines, self.rest = (self.rest + part).split(b'\n')
            for line in lines:
                place, event, name = os.fsdecode(line).split('\t')
                events.append((os.path.join(place, name), event.removesuffix(',CLOSE')))
        return events


class Follower:
    """A watch of a whole tree, in a thread. A directory that comes is watched and then listed: what is in it
    already counts as announced, and its CREATE, if it comes yet, is no second one."""

    def __init__(self, top, listing):
        self.inotify, self.listing, self.places, self.listed = Inotify(), listing, {}, set()
        self.events, self.over = collections.deque(), os.eventfd(0)
        self.follow(os.fspath(top), known=True)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        os.eventfd_write(self.over, 1)
        self.thread.join()
        os.close(self.over)
        os.close(self.inotify.fd)

    def run(self):
        poll = select.poll()
        for fd in (self.over, self.inotify.fd):
            poll.register(fd, select.POLLIN)
        while (self.over, select.POLLIN) not in poll.poll():
            for wd, mask, name in self.inotify.read():
                if wd in self.places:
                    self.hear(wd, mask, name)

    def hear(self, wd, mask, name):
        path = os.path.join(self.places[wd], name)
        if mask & IGNORED:
            del self.places[wd]
            return
        if mask & CREATE and path in self.listed:
            return
        if mask & DELETE:
            self.listed = {p for p in self.listed if p != path and not p.startswith(f'{path}/')}
        words = [word for word, bit in WORDS.items() if mask & bit]
        self.events.append((path.rstrip('/'), ','.join(words)))
        if mask & CREATE and mask & ISDIR:
            if not self.listing:
                holds_for(lambda: True, SLOWNESS, 'it to be slow')
            self.follow(path, known=not self.listing)

    def follow(self, place, known=False):
        """Watch PLACE and what is below; what is not KNOWN counts as announced."""
        with contextlib.suppress(OSError):  # it is gone again
            self.places[self.inotify.add(place, CHANGES)] = place
            for entry in os.scandir(place):
                folder = entry.is_dir(follow_symlinks=False)
                if not known:
                    self.listed.add(entry.path)
                    self.events.extend((entry.path, event) for event in (['CREATE,ISDIR'] if folder else NEW))
                if folder:
                    self.follow(entry.path, known)

    def take(self):
        return [self.events.popleft() for _ in range(len(self.events))]


class Watch:
    """inotifywait on paths of a mount, or with RECURSIVE all of it followed by ourselves (without LISTING only by
    events, and not at once); events are (path in the mount, EVENT)."""

    def __init__(self, mnt, *paths, recursive=False, listing=True, prefix=()):
        self.mnt, self.events = os.fspath(mnt), []
        self.source = Follower(*paths, listing) if recursive else Tool(paths, prefix)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.source.close()

    def poll(self):
        """All events so far."""
        for path, event in self.source.take():
            self.events.append((os.path.relpath(path, self.mnt), event))
        return self.events

    def by_path(self, loose=()):
        """{path: [EVENT, …]}; in paths that are LOOSE (written in several steps) a change may come twice, as in those
        that were listed before."""
        found = collections.defaultdict(list)
        for path, event in self.poll():
            found[path].append(event)
        listed = [os.path.relpath(path, self.mnt) for path in getattr(self.source, 'listed', ())]
        for path in {*loose, *listed}:
            while path in found and found[path][-4:] == CHANGED * 2:
                del found[path][-2:]
        for path in {*loose, *listed}:  # the second change may be under way
            if path in found and found[path][-3:] == [*CHANGED, 'MODIFY']:
                del found[path][-1]
        return dict(found)

    def expect(self, want, loose=(), quiet=QUIET, rest=None):
        """WANT comes, {path: [EVENT, …]}, and nothing else. What was found by listing counts as told at once: REST is the
        mount that is to have told it."""
        def enough():
            found = self.by_path(loose)
            return all(len(found.get(path, ())) >= len(events) for path, events in want.items())
        try:
            wait_for(enough, 'events')
            if want and rest:
                wait_for(lambda: at_rest(rest), 'all to be announced')
            if quiet:
                holds_for(lambda: self.by_path(loose) == want, quiet, 'no further event')
        except AssertionError:
            self.differs(want, loose)
            raise
        self.differs(want, loose)
        self.events.clear()

    def differs(self, want, loose):
        found = self.by_path(loose)
        wrong = {p: (found.get(p), want.get(p)) for p in {*found, *want} if found.get(p) != want.get(p)}
        assert not wrong, f'came, and should have come: {wrong}'

    def expect_nothing(self, quiet=QUIET):
        try:
            holds_for(lambda: not self.poll(), quiet, 'no event')
        except AssertionError as error:
            raise AssertionError(self.events) from error

    def wait_for(self, *wanted, timeout=harness.TIMEOUT):
        """All of WANTED, (path, EVENT), came at least once; they are taken, and all before them."""
        try:
            wait_for(lambda: set(wanted) <= set(self.poll()), 'events', timeout)
        except AssertionError:
            assert set(wanted) <= set(self.events), self.events
        self.events.clear()


class Inotify:
    """An inotify instance of our own."""

    def __init__(self):
        self.fd = harness.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.fd >= 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def add(self, path, mask=CHANGES):
        wd = harness.libc.inotify_add_watch(self.fd, os.fsencode(path), mask)
        if wd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fspath(path))
        return wd

    def read(self):
        """[(wd, mask, name)] that have come since."""
        events = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, 65536):
                while data:
                    wd, mask, size = (int.from_bytes(data[i:i + 4], 'little') for i in (0, 4, 12))
                    events.append((wd, mask, os.fsdecode(data[16:16 + size].rstrip(b'\0'))))
                    data = data[16 + size:]
        return events


def settled(m):
    """M, once it is announced that there is an announcer now, which its status tells."""
    wait_for(lambda: b'shieldfs: debug: all is announced, ' in m.log_path.read_bytes(), 'the first events')
    return m


def at_rest(m):
    """Has nothing been announced since all was?"""
    log = m.log_path.read_bytes()
    return log.rfind(b': all is announced, ') > log.rfind(b": announcer's ")


def open_directories(pid):
    """Those on disk that a process has open. Of a server only root may ask."""
    found = []
    for link in pathlib.Path(f'/proc/{pid}/fd').iterdir():
        with contextlib.suppress(OSError):
            found += [path] if os.path.isdir(path := os.readlink(link)) else []
    return found


def children_of(pid):
    with contextlib.suppress(OSError):
        return list(map(int, pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()))
    return []


def children(m):
    """The pids that the supervisor of the mount M has, the server's first."""
    return sorted(children_of(m.process.pid), key=lambda pid: not has_fuse(pid))


def has_fuse(pid):
    """Is it a server? By its name: what it has open, a plain user may not see."""
    with contextlib.suppress(OSError):
        name = pathlib.Path(f'/proc/{pid}/comm').read_text(encoding='ascii')
        return name == 'shieldfs-server\n' and not harness.has_ended(pid)
    return False


def announcer(m):
    """The announcer's pid, once it is at work."""
    def found():
        pids = [p for p in children(m) if not has_fuse(p)]
        return pids and m.status()['announcer'] == ['ok'] and pids
    return wait_for(found, 'an announcer')[0]


@contextlib.contextmanager
def few_watches(count):
    """Each user has at most COUNT inotify watches for a while; only in a user namespace (harness.in_user_namespace)."""
    path = pathlib.Path('/proc/sys/user/max_inotify_watches')
    assert os.readlink('/proc/self/ns/user') != OUTSIDE
    before = path.read_text()
    path.write_text(f'{count}\n')
    yield
    path.write_text(before)


@contextlib.contextmanager
def deaf(m, file):
    """The server of M stands still, and its queue of events is filled: by changes of times in the directory of FILE."""
    size = int(pathlib.Path('/proc/sys/fs/inotify/max_queued_events').read_text())
    server = children(m)[0]
    harness.stop(server)
    try:
        for i in range(size + 1):  # two by turns, as an event like the last one is dropped
            os.utime(file if i % 2 else file.parent)
        yield
    finally:
        os.kill(server, signal.SIGCONT)
