# SPDX-License-Identifier: Apache-2.0
"""Figures of events: how soon they come, how many, and what changes cost."""

import os
import select
import shutil
import statistics
import time

import bundles
from report import Row, time_text
from stage import FIRST, LIVE, Failed, container
from watching import CLOSE_WRITE, CREATE, DELETE, MODIFY, MOVED_TO, Inotify

PATIENCE = 10


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Listener:
    """Waits for events on one path, and knows when they came."""

    def __init__(self, path, mask):
        self.inotify, self.path = Inotify(), path
        self.inotify.add(path, mask)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.inotify.fd)

    def forget(self):
        self.inotify.read()

    def wait(self, bits, name=''):
        """{bit: when the first of that kind came}, once all of BITS have."""
        came, end = {}, time.monotonic() + PATIENCE
        while not all(bit in came for bit in bits):
            if not select.select([self.inotify.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise Failed(f'no event on {self.path.name} within {PATIENCE} s')
            now = time.perf_counter()
            for _, mask, what in self.inotify.read():
                for bit in bits:
                    if mask & bit and (not name or what == name):
                        came.setdefault(bit, now)
        return came


def rewrite(path, i):
    """A list is written in place, as terok-shield does; each content is another."""
    bundles.put(path, ''.join(f'{e}\n' for e in [*LIVE, f'203.0.{i // 250 % 250}.{i % 250}']))


def latencies(watched, path, count, gap):
    """Seconds from the close to MODIFY and to CLOSE_WRITE of WATCHED, for COUNT changes of PATH."""
    seen = []
    with Listener(watched, MODIFY | CLOSE_WRITE) as listener:
        for i in range(count):
            time.sleep(gap)
            listener.forget()
            rewrite(path, i)
            start = time.perf_counter()
            came = listener.wait((MODIFY, CLOSE_WRITE))
            seen.append([came[bit] - start for bit in (MODIFY, CLOSE_WRITE)])
    return list(zip(*seen))


def events(bench, stage):
    path = stage.bundle / 'live.allowed'
    count = 50 if bench.quick else 200
    modify, close = latencies(stage.shieldfs.mnt / FIRST / 'effective', path, count, 0.025)
    raw = [max(t, 0) for t in latencies(path, path, count, 0.002)[1]]
    stage.restore()
    for what, value, same in (
            ('close of live.allowed → MODIFY of effective, median', statistics.median(modify), statistics.median(raw)),
            ('… → CLOSE_WRITE, median', statistics.median(close), statistics.median(raw)),
            ('… → CLOSE_WRITE, 99 %', percentile(close, 0.99), percentile(raw, 0.99)),
            ('… → CLOSE_WRITE, the slowest', max(close), max(raw))):
        yield Row(stage.count, what, time_text(value), f'inotify on live.allowed itself: {time_text(same)}')


def arrivals(watched, stage, count):
    """Seconds from the rename into place to what tells of it in WATCHED."""
    home, seen = stage.state / 'containers', []
    appears = MOVED_TO if watched == home else CREATE
    with Listener(watched, appears | DELETE) as listener:
        for i in range(count):
            name = f'new-{i}'
            made = container(stage.base / 'made', name)
            listener.forget()
            os.rename(made, home / name)
            start = time.perf_counter()
            seen.append(listener.wait((appears,), name)[appears] - start)
            time.sleep(0.1)  # its files are announced
            shutil.rmtree(home / name)
            listener.wait((DELETE,), name)
            stage.shieldfs.rest()
    return [max(t, 0) for t in seen]


def new_container(bench, stage):
    count = 5 if bench.quick else 20 if stage.count <= 1000 else 10
    ours = arrivals(stage.shieldfs.mnt, stage, count)
    raw = statistics.median(arrivals(stage.state / 'containers', stage, 5))
    against = f'inotify on containers/ itself: {time_text(raw)}'
    median = statistics.median(ours)
    yield Row(stage.count, 'rename into place → CREATE in the root, median', time_text(median), against,
              number=median)
    yield Row(stage.count, '… → CREATE, the slowest', time_text(max(ours)), against)


def used_while(server, seconds, rate, change):
    """The share of one processor that SERVER takes while CHANGE(i) is called RATE times a second."""
    server.rest(0.5)
    before, start = server.cpu(), time.perf_counter()
    for i in range(int(rate * seconds)):
        pause = start + i / rate - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        change(i)
    pause = start + seconds - time.perf_counter()
    if pause > 0:
        time.sleep(pause)
    took = time.perf_counter() - start
    if took > seconds * 1.2:
        raise Failed(f'this machine makes only {rate * seconds / took:.0f} changes a second')
    return (server.cpu() - before) / took


def changes(bench, stage):
    seconds = 2 if bench.quick else 5
    server = stage.shieldfs
    idle = used_while(server, seconds, 0, None)
    against = f'idle: {idle:.2%}'
    with open(stage.bundle / 'dnsmasq.log', 'ab', buffering=0) as log:
        line = b'Nov 23 18:27:06 dnsmasq[11399]: query[A] github.com from 127.0.0.1\n'
        used = used_while(server, seconds, 100, lambda i: log.write(line))
    yield Row(stage.count, 'processor, dnsmasq.log grows by 100 lines/s', f'{used:.2%}', against)
    if stage.count >= 100:
        lists = [stage.state / 'containers' / f'c{i:05d}' / 'live.allowed' for i in range(100)]
        used = used_while(server, seconds, 1000, lambda i: rewrite(lists[i % 100], i))
        yield Row(stage.count, 'processor, 1,000 changes/s of 100 live.allowed', f'{used:.2%}', against)
    stage.restore(min(stage.count, 100))


def busy_file(bench, stage):
    seconds, heard, i = (2 if bench.quick else 5), 0, 0
    with Listener(stage.shieldfs.mnt / FIRST / 'effective', CLOSE_WRITE) as listener:
        start = time.perf_counter()
        while time.perf_counter() < start + seconds:
            rewrite(stage.bundle / 'live.allowed', i)
            i += 1
            time.sleep(0.0005)
            heard += len(listener.inotify.read())
        took = time.perf_counter() - start
    stage.restore()
    yield Row(stage.count, 'announcements a second of a file that keeps changing', f'{heard / took:.1f}',
              f'{i / took:.0f} changes a second', heard / took, 100)
    if not heard:
        raise Failed('it was never announced')
