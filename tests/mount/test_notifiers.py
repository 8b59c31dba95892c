# SPDX-License-Identifier: Apache-2.0
"""Programs that people watch files with, on the mount: entr, python3-watchdog, fswatch, chokidar, GNU tail, and
inotify as service managers use it. Each is taken as it comes from Debian."""

import contextlib
import errno
import itertools
import os
import pathlib
import signal
import subprocess

import bundles
import pytest
import watchdog.events
import watchdog.observers.inotify
import watching
from harness import holds_for, wait_for
from watching import Inotify, Watch

# Where Debian keeps the libraries of Node.js; one from elsewhere does not look there.
NODE_PATH = '/usr/share/nodejs'
CHOKIDAR = """
const watcher = require('chokidar').watch(process.argv[1], {usePolling: process.argv[2] == 'polls', interval: 50});
watcher.on('all', (event, path) => console.log(event, path)).on('ready', () => console.log('ready'));
"""


@pytest.fixture
def mount(mount):
    """A mount whose first events are over."""
    return lambda *args, **kw: watching.settled(mount(*args, **kw))


def append(path, text):
    with open(path, 'a', encoding='utf-8') as file:
        file.write(text)


@contextlib.contextmanager
def running(*argv, **kw):
    """A tool in the background; what it started ends with it."""
    with subprocess.Popen(argv, start_new_session=True, **kw) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def contains(path, text):
    return lambda: path.exists() and text in path.read_text()


def waits_without_end(pid):
    """Is the process in poll(2), or in ppoll(2) where there is no other, without a time limit?"""
    words = pathlib.Path(f'/proc/{pid}/syscall').read_text().split()
    return words[:1] + words[3:4] in (['7', '0xffffffff'], ['7', '0xffffffffffffffff'], ['73', '0x0'])


@pytest.mark.parametrize('name', ['effective', 'live.allowed'])
def test_entr(mount, state, base, name):
    """Runs again for an append, a rewrite and a replaced file."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    m = mount(state)
    out = base / 'out'
    script = 'cat "$1" >"$2.new" && mv "$2.new" "$2"'
    with running('entr', '-n', 'sh', '-c', script, 'sh', m.mnt / 'c' / name, out, stdin=subprocess.PIPE,
                 stdout=subprocess.DEVNULL) as entr:
        entr.stdin.write(os.fsencode(m.mnt / 'c' / name) + b'\n')
        entr.stdin.close()
        entr.stdin = None

        def at_rest(text):
            # What comes while it runs, or shortly after, is none of its business, on any filesystem.
            wait_for(contains(out, text), f'a run that finds {text}')
            wait_for(lambda: waits_without_end(entr.pid), 'it to wait for the next change')
        at_rest('1.1.1.1\n')
        append(behind / 'live.allowed', '2.2.2.2\n')
        at_rest('2.2.2.2\n')
        with open(behind / 'live.allowed', 'r+b') as file:  # in one step: no change comes while it runs
            file.write(b'3.3.3.3\n2.2.2.2\n')
        at_rest('3.3.3.3\n')
        bundles.put(base / 'new', '4.4.4.4\n')
        os.rename(base / 'new', behind / 'live.allowed')
        at_rest('4.4.4.4\n')


def test_watchdog(mount, state, base):
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    bundles.container(base, 'web', live=['2.2.2.2'])
    m = mount(state)
    seen = set()

    class Handler(watchdog.events.FileSystemEventHandler):
        def on_any_event(self, event):
            seen.add((event.event_type, os.path.relpath(event.src_path, m.mnt)))
    observer = watchdog.observers.inotify.InotifyObserver()
    observer.schedule(Handler(), os.fspath(m.mnt), recursive=True)
    observer.start()
    try:
        append(behind / 'live.allowed', '3.3.3.3\n')
        wait_for(lambda: {('modified', 'c/live.allowed'), ('modified', 'c/effective'), ('closed', 'c/effective'),
                          ('modified', 'c/allowed')} <= seen, seen, 10)
        assert 'c/denied' not in {path for _, path in list(seen)}
        append(behind / 'gateway', '10.0.0.1\n')
        wait_for(lambda: ('created', 'c/gateway') in seen, seen)
        (behind / 'gateway').unlink()
        wait_for(lambda: ('deleted', 'c/gateway') in seen, seen)
        os.rename(base / 'containers/web', state / 'containers/web')
        wait_for(lambda: {('created', 'web'), ('created', 'web/effective')} <= seen, seen)
        append(state / 'containers/web/live.allowed', '4.4.4.4\n')
        wait_for(lambda: ('modified', 'web/effective') in seen, seen)
        bundles.remove(state / 'containers/web')
        wait_for(lambda: ('deleted', 'web') in seen, seen)
    finally:
        observer.stop()
        observer.join()


class Lines:
    """The lines that a tool prints, each with the paths relative to the mount."""

    def __init__(self, tool, mnt):
        self.stdout, self.mnt, self.rest, self.lines = tool.stdout, os.fsencode(mnt), b'', set()
        os.set_blocking(self.stdout.fileno(), False)

    def read(self):
        *lines, self.rest = (self.rest + (self.stdout.read() or b'')).split(b'\n')
        self.lines.update(os.fsdecode(line.replace(self.mnt + b'/', b'')) for line in lines)
        return self.lines

    def wait_for(self, *wanted):
        """All of WANTED were printed at least once; what was printed is forgotten."""
        wait_for(lambda: set(wanted) <= self.read(), (wanted, self.lines))
        self.lines.clear()


def changes(behind, spare, lines, words):
    """Changes of each kind below BEHIND, made once those before were seen; WORDS are the tool's for change, new
    file, file gone, new container, container gone. No file changes twice in a row: some tools drop what comes
    within 50 ms of the last, on any filesystem."""
    change, new, gone, new_container, container_gone = words
    append(behind / 'c/live.allowed', '3.3.3.3\n')
    lines.wait_for(*(change % f'c/{name}' for name in ('live.allowed', 'allowed', 'effective')))
    bundles.put(spare / 'other', '4.4.4.4\n')
    os.rename(spare / 'other', behind / 'c/deny.list')
    lines.wait_for(change % 'c/deny.list', change % 'c/denied')
    bundles.put(behind / 'c/gateway', '10.0.0.1\n')
    lines.wait_for(new % 'c/gateway')
    (behind / 'c/gateway').unlink()
    lines.wait_for(gone % 'c/gateway')
    for _ in range(3):
        os.rename(spare / 'containers/web', behind / 'web')
        lines.wait_for(new_container % 'web', new % 'web/effective')
        numbers = itertools.count()

        def watches(n=numbers):
            append(behind / 'web/live.allowed', f'5.5.5.{next(n)}\n')
            return change % 'web/effective' in lines.read()
        wait_for(watches, 'it to watch what is new')
        os.rename(behind / 'web', spare / 'containers/web')
        lines.wait_for(container_gone % 'web', gone % 'web/effective')


@pytest.mark.parametrize('how', ['inotify', 'polls'])
def test_chokidar(mount, state, base, how):
    """With its two ways of watching: by Node.js's fs.watch, which is inotify, and by fs.watchFile, which polls."""
    assert os.path.exists(f'{NODE_PATH}/chokidar'), 'no chokidar here: tests/install-deps.sh test'
    bundles.container(state, 'c', live=['1.1.1.1'], deny=['9.9.9.9'])
    bundles.container(base, 'web', live=['2.2.2.2'])
    m = mount(state)
    with running('node', '-e', CHOKIDAR, m.mnt, how, stdout=subprocess.PIPE,
                 env={**os.environ, 'NODE_PATH': NODE_PATH}) as tool:
        lines = Lines(tool, m.mnt)
        lines.wait_for('ready')
        changes(state / 'containers', base, lines,
                ('change %s', 'add %s', 'unlink %s', 'addDir %s', 'unlinkDir %s'))


def test_fswatch(mount, state, base):
    bundles.container(state, 'c', live=['1.1.1.1'], deny=['9.9.9.9'])
    bundles.container(base, 'web', live=['2.2.2.2'])
    m = mount(state)
    with running('fswatch', '-r', '-l', '0.1', '--format', '%f %p', '--event-flag-separator', ',', m.mnt,
                 stdout=subprocess.PIPE) as tool:
        lines = Lines(tool, m.mnt)

        def watches():
            append(state / 'containers/c/live.allowed', '# it does not say when it is ready\n')
            return 'Updated c/live.allowed' in lines.read()
        wait_for(watches, 'it to watch')
        changes(state / 'containers', base, lines,
                ('Updated %s', 'Created %s', 'Removed %s', 'Created %s', 'Removed %s'))


def test_path_units(mount, state, base):
    """As service managers watch a path: the file, and each directory on the way to it."""
    mask = watching.CLOSE_WRITE | watching.CREATE | watching.DELETE | watching.MOVED_FROM | watching.MOVED_TO
    mask |= watching.DELETE_SELF | watching.MOVE_SELF | watching.ATTRIB
    bundles.container(base, 'c', live=['1.1.1.1'])
    (state / 'containers').mkdir()
    m = mount(state)
    with Inotify() as inotify:
        reached = []

        def walk():
            reached.clear()
            for part in ('.', 'c', 'c/effective'):
                try:
                    inotify.add(m.mnt / part, mask)
                    reached.append(part)
                except OSError as error:
                    assert error.errno in (errno.ENOENT, errno.ESTALE)
                    break

        def follow(depth):
            if inotify.read():
                walk()
            return len(reached) == depth
        walk()
        assert len(reached) == 1
        for i in range(5):
            os.rename(base / 'containers/c', state / 'containers/c')
            wait_for(lambda: follow(3), 'the file to be found')
            holds_for(lambda: follow(3), 0.2, 'it stays')
            wd = inotify.add(m.mnt / 'c/effective', mask)
            bundles.put(state / 'containers/c/live.allowed', f'5.5.5.{i}\n')
            wait_for(lambda w=wd: any(w == e[0] and e[1] & watching.CLOSE_WRITE for e in inotify.read()),
                     'the change', 10)
            os.rename(state / 'containers/c', base / 'containers/c')
            inotify.read()
            walk()
            wait_for(lambda: follow(1), 'the file to be gone')


def test_tail_follows_by_polling(mount, state):
    """GNU tail refuses inotify on FUSE; it polls size and time, and the number of the file."""
    behind = bundles.container(state, 'c', {'audit.jsonl': 'one\n'})
    m = mount(state)
    with running('tail', '-n', '+1', '-s', '0.05', '-F', m.mnt / 'c/audit.jsonl', stdout=subprocess.PIPE,
                 stderr=subprocess.DEVNULL) as tail:
        os.set_blocking(tail.stdout.fileno(), False)
        got = b''

        def printed(text):
            nonlocal got
            got += tail.stdout.read() or b''
            return got == text
        wait_for(lambda: printed(b'one\n'), 'the first line')
        append(behind / 'audit.jsonl', 'two\n')
        wait_for(lambda: printed(b'one\ntwo\n'), 'what was appended')
        number = os.stat(m.mnt / 'c/audit.jsonl').st_ino
        with Watch(m.mnt, m.mnt / 'c') as watch:
            (behind / 'audit.jsonl').unlink()
            watch.wait_for(('c/audit.jsonl', 'DELETE'))
        append(behind / 'audit.jsonl', 'three\n')
        assert os.stat(m.mnt / 'c/audit.jsonl').st_ino != number
        wait_for(lambda: printed(b'one\ntwo\nthree\n'), 'the file that has come anew')
