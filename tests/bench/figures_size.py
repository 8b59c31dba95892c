# SPDX-License-Identifier: Apache-2.0
"""Figures of size: the start, memory, and lists that are very long."""

import os
import pathlib
import statistics
import subprocess
import sys
import time

import bundles
import harness
from report import Row, bytes_text, time_text
from stage import Failed, Server, lists_size, wait_for

READER = '''import pathlib, sys
sys.path.insert(0, sys.argv[1])
import reference
sys.stdout.buffer.write(reference.render(pathlib.Path(sys.argv[2]), 'effective'))
'''


def start(bench, stage):
    """Until it answers, and until it says that it is complete and shows all."""
    def complete(server):
        text = (server.mnt / '.shieldfs/status').read_bytes()
        return b'\ncomplete: yes\n' in text and b'\nannouncer: ok\n' in text

    answers, knows, floors = [], [], []
    for _ in range(bench.batches if stage.count < 1000 else 3):
        ours = Server(stage.shieldfs_argv(), stage.base / 'second', '.shieldfs/version')
        began = time.perf_counter()
        ours.start()
        try:
            answers.append(time.perf_counter() - began)
            wait_for(lambda: complete(ours), 'complete: yes', pause=0.0005)
            shown = len([n for n in os.listdir(ours.mnt) if not n.startswith('.')])
            knows.append(time.perf_counter() - began)
            if shown != stage.count:
                raise Failed(f'{shown} containers are shown')
        finally:
            ours.stop()
        floor = Server(stage.floor_argv(), stage.base / 'second', '.shieldfs/status')
        began = time.perf_counter()
        floor.start()
        floors.append(time.perf_counter() - began)
        floor.stop()
    against = f'constant floor answers: {time_text(statistics.median(floors))}'
    for what, times in (('start → the mount answers', answers), ('start → complete, all listed', knows)):
        median = statistics.median(times)
        yield Row(stage.count, what, time_text(median), against, number=median)


def memory(bench, stage):
    """A server that has just started, and when each computed file has been read."""
    server = Server(stage.shieldfs_argv(), stage.base / 'second', '.shieldfs/version').start()
    try:
        server.rest()
        fresh = server.pss()
        for name in ('effective', 'allowed', 'denied'):
            stage.client('cat', server.mnt, name, 1)
        server.rest()
        full = server.pss()
    finally:
        server.stop()
    held = lists_size()
    for what, key, value in (('just started', 'fresh', fresh), ('all read', 'full', full)):
        count, first = bench.smallest(f'memory-{key}', stage.count, value)
        each = (value - first) / (stage.count - count) if stage.count > count else value / count
        more = f'above {count}' if stage.count > count else 'all told'
        yield Row(stage.count, f'Pss of the three processes, {what}', bytes_text(value),
                  f'at {count}: {bytes_text(first)}', number=value if key == 'full' else None)
        yield Row(stage.count, f'a container, {what} ({more})', bytes_text(each),
                  f'its three lists: {bytes_text(held)}', each / held)


def timed(stage, argv):
    """Seconds, peak bytes, and the output of a program."""
    out = stage.base / 'output'
    with open(out, 'wb') as file:
        done = subprocess.run([stage.build / 'tests/bench/client', 'run', *argv], stdin=subprocess.DEVNULL, stdout=file,
                              stderr=subprocess.PIPE, check=False, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    nanoseconds, peak = map(int, done.stderr.split())
    return nanoseconds / 1e9, peak, out.read_bytes()


def computing(bench, stage):
    scale = 10 if bench.quick else 1
    profile, live, deny = 800_000 // scale, 200_000 // scale, 100_000 // scale
    name = [f'10.{i >> 16}.{i >> 8 & 255}.{i & 255}' for i in range(profile + live)]
    bundle = bundles.bundle(stage.base / 'long', profile=name[:profile], live=name[profile:],
                            deny=name[::len(name) // deny])
    size = sum(p.stat().st_size for p in bundle.iterdir())
    lib = pathlib.Path(harness.__file__).parent
    ours, theirs = [], []
    for _ in range(3):
        ours.append(timed(stage, [stage.build / 'core/shield-state', 'show', bundle, 'effective']))
        theirs.append(timed(stage, [sys.executable, '-I', '-c', READER, lib, bundle]))
        if ours[-1][2] != theirs[-1][2]:
            raise Failed('shield-state and the Python reader differ')
    seconds, reader = (statistics.median(run[0] for run in runs) for runs in (ours, theirs))
    ratio = statistics.median(a[0] / b[0] for a, b in zip(ours, theirs))
    peak, other = (max(run[1] for run in runs) for runs in (ours, theirs))
    what = f'shield-state show effective of {profile:,}, {live:,}, {deny:,} entries'
    yield Row(1, what, time_text(seconds), f'the Python reader: {time_text(reader)}', ratio,
              None if bench.quick else 0.25)
    yield Row(1, '… peak memory', bytes_text(peak), f'its input: {bytes_text(size)} (Python reader: {bytes_text(other)})',
              peak / size, None if bench.quick else 4)
