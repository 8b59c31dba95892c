# SPDX-License-Identifier: Apache-2.0
"""Versions of three lists that are known by their content, in whole and in part, for the tests of
wholeness. As a program: a writer that never rests, a reader that judges each thing it reads, or one who
keeps a disk busy."""

import errno
import functools
import json
import os
import pathlib
import re
import sys
import time

import ways

LISTS = ('profile.allowed', 'live.allowed', 'deny.list')  # in the order in which one writer writes them
POOL = 64  # each version of deny.list denies one of as many entries of profile.allowed


def own(letter, i, size):
    return [f'{letter}.{i}.{k}' for k in range(1 + size * 37 % 150)]


def entries(name, i):
    """Version I of a list."""
    if name == 'profile.allowed':
        return own('p', i, i) + [f'd.{k}' for k in range(POOL)]
    if name == 'live.allowed':
        return own('l', i, i + 1)
    return [f'd.{i % POOL}', *own('n', i, i + 2)]


def text(lines):
    return ''.join(f'{line}\n' for line in lines).encode()


@functools.lru_cache(maxsize=64)
def whole(name, i):
    return text(entries(name, i))


@functools.lru_cache(maxsize=256)
def computed(name, p, l, d):
    if name == 'denied':
        return whole('deny.list', d)
    denied = f'd.{d % POOL}' if name == 'effective' else None
    return text([e for e in entries('profile.allowed', p) if e != denied] + entries('live.allowed', l))


def version_of(letter, got):
    found = re.search(rb'(?m)^%c\.(\d+)\.' % ord(letter), got)
    return int(found[1]) if found else 0


def is_whole(name, got, one_writer):
    """Is GOT what some complete versions give; and with one writer, versions that were there at one time?"""
    p, l, d = (version_of(letter, got) for letter in 'pln')
    if name == 'denied':
        return got == computed(name, 0, 0, d)
    if one_writer:
        cuts = [(p, p - 1, p - 1), (p, p, p - 1), (p, p, p)]
    else:
        cuts = [(p, l, k) for k in range(POOL)]
    return any(got == computed(name, *cut) for cut in cuts)


def rewrite(path, data):
    """As writers do: truncated, and then written, in two parts."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    half = len(data) // 2
    os.write(fd, data[:half])
    os.write(fd, data[half:])
    os.close(fd)


def write_all(bundle, i, names=LISTS):
    for name in names:
        rewrite(bundle / name, whole(name, i))


def writer(bundle, *names):
    i = 1
    while True:
        i += 1
        write_all(pathlib.Path(bundle), i, names or LISTS)


def tagged(letter, i):
    return f'{letter}{i:08}\n'.encode()


def mapper(bundle):
    """Changes two lists in turn, by stores of which no time tells in memory: only the close does."""
    i = 0
    while True:
        i += 1
        for letter, name in zip('pl', LISTS):
            ways.store(f'{bundle}/{name}', tagged(letter, i))


def reader(container, rounds, one_writer):
    """Reads computed files and tells, as JSON, what was wrong."""
    found = {'reads': 0, 'busy': [], 'wrong': [], 'slowest': 0.0, 'seen': 0}
    seen = set()
    for i in range(int(rounds)):
        name = ('effective', 'effective', 'allowed', 'denied')[i % 4]
        start = time.monotonic()
        try:
            with open(f'{container}/{name}', 'rb', buffering=0) as file:
                got = b''.join(iter(lambda: file.read(65536), b''))
        except OSError as error:
            if error.errno != errno.EBUSY:
                found['wrong'].append([name, str(error)])
            found['busy'].append(time.monotonic() - start)
            continue
        found['slowest'] = max(found['slowest'], time.monotonic() - start)
        found['reads'] += 1
        seen.add(got)
        if not is_whole(name, got, one_writer == 'one'):
            found['wrong'].append([name, len(got), repr(got[:40]), repr(got[-40:])])
    found['seen'] = len(seen)
    print(json.dumps(found))


def busy(directory):
    """Keeps the disk of DIRECTORY busy."""
    data = os.urandom(1 << 22)
    while True:
        with open(f'{directory}/busy', 'wb') as file:
            file.write(data)
            os.fsync(file.fileno())


if __name__ == '__main__':
    {'writer': writer, 'mapper': mapper, 'reader': reader, 'busy': busy}[sys.argv[1]](*sys.argv[2:])
