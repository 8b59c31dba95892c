# SPDX-License-Identifier: Apache-2.0
"""Figures of requests: reading, listing, the status file, and what a read costs the server."""

import contextlib
import os
import re
import signal
import statistics
import subprocess
import time

from report import Row, time_text
from stage import EFFECTIVE, FIRST, Failed, Server, make_state, scratch, wait_for

REQUEST = re.compile(r'^shieldfs: debug: ([A-Z]+) \d+', re.MULTILINE)
TRACED = 50  # reads under strace


@contextlib.contextmanager
def pinned(servers):
    """All SERVERS on one processor, which is given: then waking another one is not what is measured."""
    everywhere = os.sched_getaffinity(0)
    cpu = max(everywhere)
    try:
        for server in servers:
            server.pin({cpu})
        yield cpu
    finally:
        for server in servers:
            server.pin(everywhere)


def in_turn(stage, batches, servers, measure):
    """Medians of what MEASURE(mount) gives for each of SERVERS, and for the first the ratio to each other: the median
    of the ratios of what was measured one after the other."""
    seen = []
    for i in range(batches):
        order = servers if i % 2 else servers[::-1]
        now = {server: measure(server) for server in order}
        if len({amount for _, amount in now.values()}) != 1:
            raise Failed(f'they differ in what they give: {[amount for _, amount in now.values()]}')
        seen.append([now[server][0] for server in servers])
    ratios = [statistics.median(one[0] / one[i] for one in seen) for i in range(len(servers))]
    return [statistics.median(column) for column in zip(*seen)], ratios


def warm_read(bench, stage):
    servers = [stage.shieldfs, stage.strict, stage.floor]
    with pinned(servers) as cpu:
        (ours, strict, floor), ratios = in_turn(stage, bench.batches, servers, lambda server: stage.client(
            'read', server.mnt / FIRST / 'effective', 1000 if bench.quick else 3000, cpu=cpu))
    what = f'read of effective, {EFFECTIVE} lines'
    yield Row(stage.count, what, time_text(ours / 1e9), f'strict floor: {time_text(strict / 1e9)}', ratios[1], 1.10)
    yield Row(stage.count, what, time_text(ours / 1e9), f'constant floor: {time_text(floor / 1e9)}', ratios[2], 1.25)


def readers(bench, stage):
    servers = [stage.shieldfs, stage.floor]
    (ours, floor), ratios = in_turn(stage, bench.batches, servers, lambda server: stage.client(
        'many', server.mnt, 'effective', 8, 300 if bench.quick else 1000))
    yield Row(stage.count, '8 readers, reads a second', f'{ours:,.0f}', f'constant floor: {floor:,.0f}', ratios[1],
              0.9, at_least=True)


def listing(bench, stage):
    servers = [stage.shieldfs, stage.floor]
    rounds = max(3, 3000 // stage.count)
    ways = (('list', 'ls', 1.15, rounds * 10, ()), ('stat', 'ls -l', 1.25, rounds, ()),
            ('cat', 'cat */effective', 1.25, rounds, ('effective',)))
    with pinned(servers) as cpu:
        for way, what, goal, times, words in ways:
            times = max(1, times // 5) if bench.quick else times
            (ours, floor), ratios = in_turn(stage, bench.batches, servers, lambda server: stage.client(
                way, server.mnt, *words, times, cpu=cpu))
            yield Row(stage.count, what, time_text(ours / 1e9), f'constant floor: {time_text(floor / 1e9)}',
                      ratios[1], goal)


def status(bench, stage):
    """Against the smallest number of containers."""
    with pinned([stage.shieldfs]) as cpu:
        taken = statistics.median(stage.client('read', stage.shieldfs.mnt / '.shieldfs/status',
                                               max(3, 1000 // stage.count), cpu=cpu)[0]
                                  for _ in range(bench.batches)) / 1e9
    count, first = bench.smallest('status', stage.count, taken)
    yield Row(stage.count, 'read of .shieldfs/status', time_text(taken), f'at {count}: {time_text(first)}',
              taken / first, number=taken)


def traced_calls(stage, server, path):
    """{system call: how many SERVER makes} for one read of PATH."""
    pid, out = server.server(), stage.base / 'strace'
    stage.client('read', path, TRACED)
    tracer = subprocess.Popen(['strace', '-c', '-f', '-q', '-o', os.fspath(out), '-p', str(pid)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def attached():
        if tracer.poll() is not None:
            raise Failed(f'strace: {tracer.stderr.read().strip()}')
        tasks = os.listdir(f'/proc/{pid}/task')
        return all('TracerPid:\t0\n' not in open(f'/proc/{pid}/task/{t}/status', encoding='utf-8').read() for t in tasks)
    wait_for(attached, 'strace to be attached')
    stage.client('read', path, TRACED)
    time.sleep(0.05)
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=30)
    lines = [words for words in map(str.split, out.read_text().split('\n')) if words and words[0][0].isdigit()]
    calls = {words[-1]: int(words[3]) / TRACED for words in lines}  # after the share, seconds, and those of one call
    if 'total' not in calls:
        raise Failed(f'strace counted nothing: {out.read_text()[:300]}')
    return calls


def deep_state(depth):
    """A directory DEPTH names below the root."""
    stack = contextlib.ExitStack()
    place = stack.enter_context(scratch())
    while len(place.parts) - 1 < depth:
        place /= 'd'
        place.mkdir()
    make_state(place, 10)
    return stack, place


def requests_of_a_read(stage, state):
    """The requests of one warm read, as the log tells them."""
    server = Server(stage.shieldfs_argv(state, '-d'), stage.base / 'logged', '.shieldfs/version').start()
    try:
        path = server.mnt / FIRST / 'effective'
        for _ in range(2):
            stage.client('read', path, 1)
            server.rest()
        stage.client('read', path, 1)
        start = server.log.stat().st_size
        stage.client('read', path, 1)

        def lines():
            found = REQUEST.findall(server.log.read_bytes()[start:].decode())
            return 'RELEASE' in found and found
        return wait_for(lines, 'the RELEASE in the log')
    finally:
        server.stop()


def system_calls(bench, stage):
    floor = traced_calls(stage, stage.floor, stage.floor.mnt / FIRST / 'effective')
    for depth in (3, 12):
        stack, state = deep_state(depth)
        with stack:
            server = Server(stage.shieldfs_argv(state), stage.base / f'deep{depth}', '.shieldfs/version').start()
            try:
                path = server.mnt / FIRST / 'effective'
                stage.client('read', path, 2)
                server.rest()
                calls = traced_calls(stage, server, path)
                yield Row(10, f'system calls for a warm cat, source {depth} directories deep', f'{calls["total"]:.1f}',
                          f'constant floor: {floor["total"]:.1f}', calls['total'] / floor['total'])
            finally:
                server.stop()
            if depth == 3:
                found = requests_of_a_read(stage, state)
    yield Row(10, f'requests of a warm cat: {" ".join(found)}', str(len(found)),
              f'constant floor: {floor["writev"]:.1f}', len(found) / floor['writev'])
