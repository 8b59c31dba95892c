# SPDX-License-Identifier: Apache-2.0
"""poll(2) on the view: a computed file is exceptional from when its content changes until it is read from the start;
only a polled handle, and only then, gets a newer content."""
import errno
import os
import select

import pytest

import bundles
from harness import fails, wait_for

CHANGED = select.POLLPRI | select.POLLERR


class Poller:
    """One descriptor and a poll object on it."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)
        self.poll = select.poll()
        self.poll.register(self.fd, select.POLLIN | select.POLLPRI)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def events(self, timeout=0):
        return dict(self.poll.poll(timeout)).get(self.fd, 0)

    def wait(self):
        """Wait in poll itself until there is something exceptional."""
        self.poll.modify(self.fd, select.POLLPRI)
        events = self.events(20000)
        self.poll.modify(self.fd, select.POLLIN | select.POLLPRI)
        return events

    def read(self):
        return os.pread(self.fd, 65536, 0)


@pytest.fixture
def web(mount, state):
    path = bundles.bundle(state / 'containers/web-1', profile=['192.0.2.1', '192.0.2.2'])
    return mount(state), path


def test_changes_are_told(web):
    m, behind = web
    contents = {'': b'192.0.2.1\n192.0.2.2\n', '192.0.2.1\n': b'192.0.2.2\n'}
    with Poller(m.mnt / 'web-1/effective') as p:
        assert p.read() == contents['']
        assert p.events() == select.POLLIN
        for round_ in range(20):
            deny, before = list(contents)[(round_ + 1) % 2], list(contents.values())[round_ % 2]
            bundles.put(behind / 'deny.list', deny)
            assert p.wait() & CHANGED == CHANGED
            assert os.pread(p.fd, 100, 1) == before[1:], 'the old one'
            assert p.events() & CHANGED == CHANGED, 'until it is read from the start'
            assert p.read() == contents[deny]
            assert p.events() == select.POLLIN


def test_only_a_polled_handle_is_renewed(web):
    m, behind = web
    path = m.mnt / 'web-1/effective'
    with open(path, 'rb', buffering=0) as plain, Poller(path) as polled:
        assert polled.events() == select.POLLIN
        before = plain.read()
        bundles.put(behind / 'deny.list', '192.0.2.2\n')
        plain.seek(0)
        assert plain.read() == before
        assert polled.wait() & CHANGED == CHANGED
        assert polled.read() == b'192.0.2.1\n'
        plain.seek(0)
        assert plain.read() == before


def test_a_change_elsewhere_is_none(web):
    m, behind = web
    with Poller(m.mnt / 'web-1/effective') as p:
        assert p.events() == select.POLLIN
        bundles.put(behind / 'live.domains', 'example.org\n')
        wait_for(lambda: (m.mnt / 'web-1/effective.domains').read_bytes() == b'example.org\n', 'the other file')
        assert p.events() == select.POLLIN
        bundles.put(behind / 'live.allowed', '192.0.2.1\n')  # it is in the profile already
        wait_for(lambda: (m.mnt / 'web-1/live.allowed').read_bytes() == b'192.0.2.1\n', 'the list')
        assert p.events() == select.POLLIN


def test_error_is_a_change(web):
    m, behind = web
    m.expect_log(r'web-1/deny\.list: line 1: not UTF-8 at byte 1')
    with Poller(m.mnt / 'web-1/effective') as p:
        assert p.events() == select.POLLIN
        bundles.put(behind / 'deny.list', b'\xff\n')
        assert p.wait() & CHANGED == CHANGED
        with fails(errno.EILSEQ):
            p.read()
        bundles.put(behind / 'deny.list', '192.0.2.1\n')
        wait_for(lambda: p.events() & CHANGED == CHANGED, 'the end of the error')
        assert p.read() == b'192.0.2.2\n'


def test_raw_files_are_always_readable(web):
    m, behind = web
    with Poller(m.mnt / 'web-1/profile.allowed') as p:
        assert p.events() == select.POLLIN
        bundles.put(behind / 'profile.allowed', '192.0.2.9\n')
        assert p.read() == b'192.0.2.9\n'
        assert p.events() == select.POLLIN


def test_an_error_is_told_once(web):
    """Who has read the error knows, and is not woken for it again; so too when the container is gone."""
    m, behind = web
    m.expect_log('web-1/deny.list: line 1: not UTF-8 at byte 1')
    with Poller(m.mnt / 'web-1/effective') as p:
        assert p.events() == select.POLLIN
        bundles.put(behind / 'deny.list', b'\xff\n')
        assert p.wait() & CHANGED == CHANGED
        for _ in range(3):
            with fails(errno.EILSEQ):
                p.read()
            assert p.events() == select.POLLIN
        bundles.put(behind / 'deny.list', '192.0.2.1\n')
        assert p.wait() & CHANGED == CHANGED
        assert p.read() == b'192.0.2.2\n'
        assert p.events() == select.POLLIN
        bundles.remove(behind)
        assert p.wait() & CHANGED == CHANGED
        for _ in range(3):
            with fails(errno.ENOENT):
                p.read()
            assert p.events() == select.POLLIN
    assert m.patterns and sum('not UTF-8' in line for line in m.log_lines()) == 1
