# SPDX-License-Identifier: Apache-2.0
"""Promise 1: an open that begins after a change was complete sees it, whichever way the list was changed,
on a disk and in memory; with one process that writes and then reads, and with a reader that races a writer
which never rests. SHIELD_ROUNDS: how many changes each way is tried with."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import bundles
import harness
import pytest
import ways

ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 1000)
RACES = max(50, ROUNDS // 4)  # each of them has many writes in it
TARGETS = ('live.allowed', 'profile.allowed', 'deny.list')


@pytest.fixture
def places(base):
    """Two states, one on a disk, the other in memory: {name: directory}."""
    memory = pathlib.Path(tempfile.mkdtemp(prefix='shieldfs.', dir='/dev/shm'))
    yield {'disk': base / 'disk', 'memory': memory}
    shutil.rmtree(memory)


def shown(target):
    """The computed file that has the content of the list TARGET, if the other lists are empty."""
    return 'denied' if target == 'deny.list' else 'effective'


def as_shown(text):
    """A version as the view gives it: its lines, each with an end."""
    return text if text.endswith(b'\n') or not text else text + b'\n'


def start(mount, places, way, target):
    """{place: (the way, the file on the mount)}"""
    found = {}
    for name, state in places.items():
        behind = bundles.container(state, name, profile=[], live=[], deny=[])
        found[name] = ways.WAYS[way](behind / target, state / 'aside')
        found[name].prepare()
    m = mount(*places.values(), options=['settle=20000'])
    return {name: (w, m.mnt / name / shown(target)) for name, w in found.items()}


@pytest.mark.parametrize('way, target', [(way, TARGETS[i % 3]) for i, way in enumerate(ways.WAYS)])
def test_read_after_write(mount, places, way, target):
    stale, rounds = [], 0
    for w, path in start(mount, places, way, target).values():
        for i in range(ROUNDS // 2):
            if i:
                w.write(i)
            with open(path, 'rb', buffering=0) as file:
                got = file.read(65536)
            rounds += 1
            if got != as_shown(w.text(i)):
                stale.append((str(path), i, got[:60]))
    assert not stale, f'{len(stale)} of {rounds} reads are stale: {stale[:3]}'


@contextlib.contextmanager
def racing(way, w):
    """Another process that writes without a pause; gives a function: the newest version said to be
    complete."""
    argv = [sys.executable, ways.__file__, way, w.path, w.aside]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, bufsize=0) as writer:
        newest = 0

        def complete():
            nonlocal newest
            if said := writer.stdout.read(1 << 20):
                newest = ways.WORD.unpack(said[-ways.WORD.size:])[0]
            return newest
        os.set_blocking(writer.stdout.fileno(), False)
        try:
            harness.wait_for(complete, 'the writer to begin')
            yield complete
            assert writer.poll() is None, 'the writer has ended'
        finally:
            writer.kill()


def race(way, w, path, rounds, complete):
    """What was read that is neither the newest version nor one that was written since: [(version,
    content)]."""
    stale = []
    for _ in range(rounds):
        before = complete()
        with open(path, 'rb', buffering=0) as file:
            after = complete() + 1  # the writer may be done with one more than it has said
            got = file.read(65536)
        if got not in {as_shown(ways.remembered(way, i)) for i in range(before, after + 1)}:
            stale.append((before, after, got[:60]))
    return stale


@pytest.mark.parametrize('way, target', [(way, TARGETS[i % 3]) for i, way in enumerate(ways.WAYS)])
def test_read_during_writes(mount, places, way, target):
    stale, versions = [], 0
    for w, path in start(mount, places, way, target).values():
        with racing(way, w) as complete:
            stale += race(way, w, path, RACES // 2, complete)
            versions += complete()
    assert not stale, f'{len(stale)} of {RACES} reads are stale: {stale[:3]}'
    assert versions > RACES // 10, 'the writer hardly wrote'
