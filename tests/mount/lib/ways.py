# SPDX-License-Identifier: Apache-2.0
"""The ways in which a list can change, one system call or pattern each, for the tests of freshness. A way is
told the number of a version; what the list holds afterwards is known from that number. As a program: writes
version after version without a pause, and says on its output which is complete."""

import ctypes
import functools
import mmap
import os
import pathlib
import struct
import sys

STEPS = 40  # of a way that makes a file longer or shorter, until it begins anew
WORD = struct.Struct('<q')
libc = ctypes.CDLL(None, use_errno=True)


def lines(i, count=3):
    """A version that is known by its content; all of one count have the same length."""
    return ''.join(f'v{i:08}-{k:03}\n' for k in range(count)).encode()


def spill(path, flags, data):
    fd = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        half = len(data) // 2  # in two parts, so that there is a middle
        os.write(fd, data[:half])
        os.write(fd, data[half:])
    finally:
        os.close(fd)


class Way:
    """Versions of PATH; LINK is the same file in a directory that nobody watches, ASIDE is in that one
    too."""

    def __init__(self, path, aside):
        self.path, self.aside = pathlib.Path(path), pathlib.Path(aside)
        self.spare, self.link = self.aside / 'spare', self.aside / 'link'

    def prepare(self):
        """Version 0."""
        self.aside.mkdir(exist_ok=True)
        self.replace(self.text(0))

    def replace(self, data):
        spill(self.spare, os.O_CREAT | os.O_TRUNC, data)
        self.spare.rename(self.path)

    def text(self, i):
        return lines(i)

    def write(self, i):
        raise NotImplementedError


class Write(Way):
    """Over what is there, which has the same length."""

    def write(self, i):
        spill(self.path, 0, self.text(i))


class Pwrite(Way):
    """From the end to the start."""

    def write(self, i):
        fd, text = os.open(self.path, os.O_WRONLY), self.text(i)
        for at in range(len(text) - 5, -5, -5):
            os.pwrite(fd, text[max(at, 0):at + 5], max(at, 0))
        os.close(fd)


class Truncating(Way):
    """As the writer of bundles does."""

    def text(self, i):
        return lines(i, 1 + i % 7)

    def write(self, i):
        spill(self.path, os.O_TRUNC, self.text(i))


class Stepwise(Way):
    """Begins anew every STEPS versions."""

    def text(self, i):
        return lines(i - i % STEPS, 1 + i % STEPS)

    def write(self, i):
        if i % STEPS == 0:
            self.replace(self.text(i))
        else:
            self.step(i)

    def step(self, i):
        raise NotImplementedError


class Append(Stepwise):
    def step(self, i):
        before = len(self.text(i - 1))
        spill(self.path, os.O_APPEND, self.text(i)[before:])


class TruncateByPath(Stepwise):
    def text(self, i):
        return lines(i - i % STEPS, STEPS - i % STEPS)

    def step(self, i):
        os.truncate(self.path, len(self.text(i)))


class Fallocate(Stepwise):
    """Grows by zeros, which are an entry like any other."""

    def text(self, i):
        return lines(i - i % STEPS, 1) + b'\0' * (i % STEPS) + (b'\n' if i % STEPS else b'')

    def step(self, i):
        fd, text = os.open(self.path, os.O_RDWR), self.text(i)
        os.posix_fallocate(fd, 0, len(text))
        os.pwrite(fd, text[-2:], len(text) - 2)
        os.close(fd)


class PunchHole(Way):
    """Takes a version away by fallocate alone: the size stays."""

    def text(self, i):
        return lines(i) if i % 2 == 0 else b'\0' * len(lines(i))

    def write(self, i):
        if i % 2 == 0:
            return self.replace(self.text(i))
        fd = os.open(self.path, os.O_WRONLY)
        length = ctypes.c_long(len(self.text(i)))
        if libc.fallocate(fd, 3, ctypes.c_long(0), length) != 0:
            raise OSError(ctypes.get_errno(), 'fallocate')
        os.close(fd)
        return None


class Rename(Way):
    def write(self, i):
        self.replace(self.text(i))


class HardLink(Way):
    """Where the file has another name, in place: the watch hears nothing of it."""

    def prepare(self):
        super().prepare()
        self.link.unlink(missing_ok=True)
        os.link(self.path, self.link)

    def write(self, i):
        spill(self.link, 0, self.text(i))


class HardLinkTruncating(HardLink):
    text = Truncating.text

    def write(self, i):
        spill(self.link, os.O_TRUNC, self.text(i))


class CopyFileRange(Way):
    def write(self, i):
        spill(self.spare, os.O_CREAT | os.O_TRUNC, self.text(i))
        with open(self.spare, 'rb') as source, open(self.path, 'r+b') as target:
            os.copy_file_range(source.fileno(), target.fileno(), len(self.text(i)))


class Sendfile(Way):
    def write(self, i):
        spill(self.spare, os.O_CREAT | os.O_TRUNC, self.text(i))
        with open(self.spare, 'rb') as source, open(self.path, 'wb', buffering=0) as target:
            os.sendfile(target.fileno(), source.fileno(), 0, len(self.text(i)))


def store(path, text):
    """Through a shared mapping that is read first, so that a store need not be noticed by a page fault."""
    fd = os.open(path, os.O_RDWR)
    mapping = mmap.mmap(fd, len(text), mmap.MAP_SHARED)
    assert len(mapping[:]) == len(text)
    mapping[:] = text
    os.close(fd)
    mapping.close()


class Mapped(Way):
    def write(self, i):
        store(self.path, self.text(i))


class MappedElsewhere(HardLink):
    def write(self, i):
        store(self.link, self.text(i))


class UnlinkAndLink(Way):
    """Gone in every second version, and linked into place complete."""

    def text(self, i):
        return b'' if i % 2 else lines(i)

    def write(self, i):
        if i % 2:
            self.path.unlink()
        else:
            self.spare.unlink(missing_ok=True)
            spill(self.spare, os.O_CREAT, self.text(i))
            os.link(self.spare, self.path)


WAYS = {way.__name__: way for way in (
    Write, Pwrite, Truncating, Append, TruncateByPath, Fallocate, PunchHole, Rename, HardLink,
    HardLinkTruncating, CopyFileRange, Sendfile, Mapped, MappedElsewhere, UnlinkAndLink)}


@functools.lru_cache(maxsize=4096)
def remembered(name, i):
    return WAYS[name]('', '').text(i)


def main(name, path, aside):
    way, i = WAYS[name](path, aside), 0
    while True:
        i += 1
        way.write(i)
        os.write(1, WORD.pack(i))


if __name__ == '__main__':
    main(*sys.argv[1:])
