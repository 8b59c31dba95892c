# SPDX-License-Identifier: Apache-2.0
"""Promise 5 as a whole: who keeps a model of the view from events alone, reading a file when it was announced
and at no other time, has the truth in the end, whatever was done to the bundles. SHIELD_ROUNDS: the number of
changes; SHIELD_SEED: of their choice, printed on failure."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
import watching
from harness import wait_for

ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 1000)
SEED = int(os.environ.get('SHIELD_SEED') or random.randrange(1 << 32))
NAMES = [f'c{i}' for i in range(8)]
GRACE = 0.05  # what a new directory's files leave watchers to add their watch, in seconds
FILES = ['profile.allowed', 'live.allowed', 'deny.list', 'audit.jsonl', 'live.domains', 'hooks/a.json', 'extra']


def read(path):
    """The content of a file, or why there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        return error.errno


class Model:
    """What the events tell of the containers: {path: content}, None for a directory. Directories are watched as
    they are announced, and then LISTED once: what came into them before the watch is announced to nobody. Else
    only those are listed whose event may have waited for longer than the view gives, as the machine was busy."""

    def __init__(self, m, listed):
        self.mnt, self.known, self.inotify, self.watched = m.mnt, walk(m.mnt), watching.Inotify(), {}
        self.listed, self.empty = listed, time.monotonic()
        self.watch('')
        for path, content in self.known.items():
            if content is None:
                self.watch(path)

    def watch(self, path):
        with contextlib.suppress(FileNotFoundError):
            self.watched[self.inotify.add(self.mnt / path)] = path

    def catch_up(self):
        since, self.empty = self.empty, time.monotonic()
        for wd, mask, name in self.inotify.read():  # none of these events is older than SINCE
            assert not mask & watching.OVERFLOW
            path = f'{self.watched.get(wd)}/{name}'.lstrip('/')
            if mask & watching.IGNORED:
                self.watched.pop(wd, None)
            elif wd in self.watched and name and name != '.shieldfs':
                self.take(path, mask, since)
        return self.known

    def take(self, path, mask, since):
        if mask & watching.DELETE:
            self.known = {p: c for p, c in self.known.items() if p != path and not p.startswith(f'{path}/')}
        elif mask & watching.CREATE and mask & watching.ISDIR:
            self.follow(path, since)
        elif mask & (watching.CREATE | watching.CLOSE_WRITE):
            self.known[path] = read(self.mnt / path)

    def follow(self, path, since):
        self.known[path] = None
        self.watch(path)
        late = time.monotonic() - since >= GRACE
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.mnt / path) if self.listed or late else ():
                below = f'{path}/{name}'
                if (self.mnt / below).is_dir():
                    self.follow(below, since)
                else:
                    self.known[below] = read(self.mnt / below)


def walk(mnt):
    """The truth, as somebody finds it who looks at everything."""
    found = {}
    for path in mnt.rglob('*'):
        name = os.fspath(path.relative_to(mnt))
        if not name.startswith('.shieldfs'):
            found[name] = None if path.is_dir() else read(path)
    return found


class Chaos:
    """Changes of all kinds to the containers of a state."""

    def __init__(self, state, aside, choose):
        self.containers, self.aside, self.choose, self.count = state / 'containers', aside, choose, 0
        self.aside.mkdir()

    def content(self):
        self.count += 1
        lines = [f'10.0.0.{self.choose.randrange(20)}\n' for _ in range(self.choose.randrange(6))]
        return ''.join(lines).encode() + self.choose.choice([b'', b'', b'', b'\xff\n'])

    def make(self, place):
        for name in self.choose.sample(FILES, 4):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(self.content())

    def write(self, place):
        with open(place, self.choose.choice(['wb', 'ab', 'r+b' if place.exists() else 'wb'])) as file:
            file.write(self.content())

    def replace(self, place):
        (self.aside / 'file').write_bytes(self.content())
        os.rename(self.aside / 'file', place)

    def change_file(self, bundle):
        place = bundle / self.choose.choice(FILES)
        if place.parent.is_dir():
            what = self.choose.choice([self.write, self.write, self.replace, lambda p: p.unlink(missing_ok=True)])
            what(place)

    def change_hooks(self, bundle):
        if (bundle / 'hooks').is_dir():
            shutil.rmtree(bundle / 'hooks')
        else:
            (bundle / 'hooks').mkdir()
            (bundle / 'hooks/b.json').write_bytes(self.content())

    def change_container(self, bundle):
        """Made file by file or moved into place; removed, replaced, renamed."""
        if not bundle.is_dir():
            if self.choose.random() < 0.5:
                return self.make(bundle)
            self.make(self.aside / 'new')
            return os.rename(self.aside / 'new', bundle)
        other = self.containers / self.choose.choice(NAMES)
        if not other.exists():
            return os.rename(bundle, other)
        shutil.rmtree(bundle)
        if self.choose.random() < 0.5:
            self.make(bundle)
        return None

    def change(self):
        bundle = self.containers / self.choose.choice(NAMES)
        kind = self.choose.random()
        if kind < 0.1 or not bundle.is_dir():
            self.change_container(bundle)
        elif kind < 0.15:
            self.change_hooks(bundle)
        else:
            self.change_file(bundle)


@pytest.mark.parametrize('listed', [True, False], ids=['listed', 'events-only'])
@pytest.mark.parametrize('readers', [0, 2])
def test_model_from_events(mount, state, base, readers, listed):
    choose = random.Random(SEED)
    print(f'SHIELD_SEED={SEED}')
    chaos = Chaos(state, base / 'aside', choose)
    for name in NAMES[:4]:
        chaos.make(chaos.containers / name)
    m = watching.settled(mount(state))
    model = Model(m, listed)
    loop = f'while :; do grep -r . {m.mnt}; done >/dev/null 2>&1'
    with model.inotify, contextlib.ExitStack() as stack:
        for _ in range(readers):
            reader = stack.enter_context(subprocess.Popen(['sh', '-c', loop], start_new_session=True))
            stack.callback(os.killpg, reader.pid, signal.SIGKILL)
        for _ in range(ROUNDS):
            chaos.change()
            model.catch_up()
        stack.close()
        wait_for(lambda: model.catch_up() and watching.at_rest(m), 'rest')
        try:
            wait_for(lambda: model.catch_up() == walk(m.mnt), 'the model to be true')
        except AssertionError:
            known, truth = model.catch_up(), walk(m.mnt)
            wrong = {p: (known.get(p, 'none'), truth.get(p, 'none')) for p in {*known, *truth}
                     if known.get(p, 'none') != truth.get(p, 'none')}
            assert not wrong, f'the model has, and the truth is: {wrong}'
    assert walk(m.mnt).keys() >= {f'{p.name}/effective' for p in chaos.containers.iterdir()}
    m.take_log()  # the lists that can't be decoded
