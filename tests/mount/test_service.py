# SPDX-License-Identifier: Apache-2.0
"""What a service manager is told, on a socket of the test's own (sd_notify(3)), and the units as its tools judge them."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time

import bundles
import harness
import managed
import pytest
from harness import run, wait_for


class Manager:
    """Who listens at NOTIFY_SOCKET, and what was heard: each message's lines."""

    def __init__(self, base, name='notify'):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.address = os.fspath(base / name)
        self.socket.bind(self.address.replace('@', '\0', 1) if name.startswith('@') else self.address)
        os.chmod(self.address, 0o777)
        self.lines, self.senders = [], set()

    def hear(self):
        while True:
            try:
                text, more, _, _ = self.socket.recvmsg(4096, 256)
            except BlockingIOError:
                return self.lines
            self.lines += text.decode().splitlines()
            self.senders |= {struct.unpack('iII', data[:12])[0] for _, _, data in more}

    def wait(self, line):
        """Until LINE was heard; what was heard up to it."""
        wait_for(lambda: line in self.hear(), line)
        end = self.lines.index(line) + 1
        heard, self.lines = self.lines[:end], self.lines[end:]
        return heard


class Service:
    """shieldfs as a service manager starts it."""

    def __init__(self, base, state, *options, address=None, env=None, exe=harness.SHIELDFS):
        self.mnt, self.log = base / 'mnt', base / 'log'
        self.mnt.mkdir(exist_ok=True)
        env = {**os.environ, 'NOTIFY_SOCKET': address, **(env or {})}
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen([exe, *(options or ['-f']), state, self.mnt], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={k: v for k, v in env.items() if v is not None})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        harness.release(self.mnt)

    def end(self):
        self.process.terminate()
        assert self.process.wait(harness.TIMEOUT) == 0, self.log.read_text()
        assert os.fspath(self.mnt) not in harness.mounts()


def sends(sender):
    with contextlib.suppress(BlockingIOError):
        return sender.send(b'x\n')
    return 0


@contextlib.contextmanager
def full(address):
    """The socket's queue is full for the body. One sender alone may not have so much on its way."""
    with contextlib.ExitStack() as stack:
        while True:
            sender = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
            sender.connect(address)
            if not sends(sender):
                break
            while sends(sender):
                pass
        yield


def test_life(base, state):
    """Ready when it answers; the status as it changes; reloading; stopping; all from the supervisor."""
    manager = Manager(base)
    with Service(base, state, address=manager.address) as s:
        heard = manager.wait('READY=1')
        assert (s.mnt / '.shieldfs/version').read_text().startswith('version: ')
        assert not [ln for ln in heard if not ln.startswith(('READY=1', 'STATUS='))], heard
        c = bundles.container(state, 'c', profile=['1.1.1.1'])
        manager.wait('STATUS=complete, 1 container, 0 problems')
        bundles.put(c / 'live.allowed', b'\xff\n')
        manager.wait('STATUS=complete, 1 container, 1 problem')
        (c / 'deny.list').mkdir()
        bundles.container(state, 'd', profile=['1.1.1.1'])
        manager.wait('STATUS=complete, 2 containers, 2 problems')
        (c / 'deny.list').rmdir()
        bundles.put(c / 'live.allowed', '2.2.2.2\n')
        manager.wait('STATUS=complete, 2 containers, 0 problems')
        s.process.send_signal(signal.SIGHUP)
        heard = manager.wait('READY=1')
        assert heard[0] == 'RELOADING=1' and heard[1].startswith('MONOTONIC_USEC='), heard
        s.end()
        assert manager.wait('STOPPING=1') == ['STOPPING=1']
        assert manager.hear() == [] and manager.senders == {s.process.pid}
        assert s.log.read_text() == ''


def test_source_that_comes_later(base):
    manager = Manager(base)
    with Service(base, base / 'later', address=manager.address) as s:
        manager.wait('READY=1')
        manager.wait('STATUS=waiting for a source, 0 containers, 0 problems')
        bundles.container(base / 'later', 'c', profile=['1.1.1.1'])
        manager.wait('STATUS=complete, 1 container, 0 problems')
        s.end()


def test_something_degraded(base, state):
    manager = Manager(base)
    bundles.container(state, 'c', profile=['1.1.1.1'])
    with Service(base, state, '-f', '-o', 'settle=0', address=manager.address) as s:
        manager.wait('STATUS=complete, 1 container, 0 problems, 1 thing degraded')
        s.end()


def test_unmounted(base, state):
    """It ends as it should, and says so."""
    manager = Manager(base)
    with Service(base, state, address=manager.address) as s:
        manager.wait('READY=1')
        harness.unmount(s.mnt)
        assert s.process.wait(harness.TIMEOUT) == 0
        manager.wait('STOPPING=1')


def test_server_that_dies(base, state):
    manager = Manager(base)
    with Service(base, state, address=manager.address) as s:
        manager.wait('READY=1')
        [server] = [p for p in harness.servers(s.mnt) if pathlib.Path(f'/proc/{p}/comm').read_text() == 'shieldfs-server\n']
        os.kill(server, signal.SIGKILL)
        assert s.process.wait(harness.TIMEOUT) == 1
        manager.wait('STATUS=failed: the log says why')
        assert 'killed by signal 9' in s.log.read_text() and os.fspath(s.mnt) not in harness.mounts()


def test_start_that_fails(base, state):
    """By a refusal, and by a mount that can't be made: there is no word of a service that is ready."""
    manager = Manager(base)
    with Service(base, base, address=manager.address) as s:  # a source that contains the mount point
        assert s.process.wait(harness.TIMEOUT) == 1
        [line] = s.log.read_text().splitlines()
        assert manager.hear() == ['STATUS=' + line.removeprefix('shieldfs: ')]
    manager.lines = []
    with Service(base, state, '-f', '-o', 'context=bogus', address=manager.address) as s:
        assert s.process.wait(harness.TIMEOUT) == 1
        assert 'could not be mounted' in s.log.read_text()
        assert manager.hear() == ['STATUS=failed: the log says why']


@pytest.mark.parametrize('options', [['-f'], []], ids=['not-asked', 'background'])
def test_nobody_is_told(base, state, options):
    """Who is not asked says nothing; nor does who goes into the background, whose start ends when it answers."""
    manager = Manager(base)
    with Service(base, state, *(options or ['-o', 'rw']), address=None if options else manager.address) as s:
        wait_for(lambda: (s.mnt / '.shieldfs').exists(), 'the mount')
        bundles.container(state, 'c', profile=['1.1.1.1'])
        wait_for((s.mnt / 'c').exists, 'the container')
        (s.mnt / '.shieldfs/status').read_bytes()
        if options:
            s.end()
        else:
            assert s.process.wait(harness.TIMEOUT) == 0
            harness.unmount(s.mnt)
            wait_for(lambda: not harness.servers(s.mnt), 'the servers to end')
        assert manager.hear() == []


def test_few_times_a_second(base, state):
    """However often it changes; and the last is told."""
    manager, begin = Manager(base), time.monotonic()
    with Service(base, state, address=manager.address) as s:
        manager.wait('READY=1')
        for i in range(60):
            bundles.container(state, f'c{i}', profile=['1.1.1.1'])
            wait_for((s.mnt / f'c{i}').exists, 'the container')
            (s.mnt / '.shieldfs/status').read_bytes()
        heard = manager.wait('STATUS=complete, 60 containers, 0 problems')
        assert len(heard) <= 4 * (time.monotonic() - begin) + 2, heard
        s.end()


def test_manager_that_does_not_read(base, state):
    """Nobody waits for it, and it gets the last word when it does read."""
    manager = Manager(base)
    with Service(base, state, address=manager.address) as s:
        manager.wait('READY=1')
        with full(manager.address):
            bundles.container(state, 'c', profile=['1.1.1.1'])
            wait_for((s.mnt / 'c').exists, 'the container')
            s.process.send_signal(signal.SIGHUP)
            [announcer] = wait_for(lambda: [p for p in harness.servers(s.mnt)
                                            if pathlib.Path(f'/proc/{p}/comm').read_text() == 'shieldfs-events\n'],
                                   'the announcer to be called so')
            os.kill(announcer, signal.SIGKILL)
            wait_for(lambda: 'there will be another' in s.log.read_text(), 'the supervisor to take notice')
        manager.wait('STATUS=complete, 1 container, 0 problems')
        with full(manager.address):
            s.end()


@pytest.mark.parametrize('address', ['/nowhere/notify', 'vsock:2:1234', '/' + 'x' * 200])
def test_nobody_listens(base, state, address):
    """One line of the log, and it goes on."""
    with Service(base, state, address=address) as s:
        wait_for(lambda: "the service manager can't be told how the service is: " in s.log.read_text(), 'the line')
        bundles.container(state, 'c', profile=['1.1.1.1'])
        wait_for((s.mnt / 'c').exists, 'the container')
        s.end()
        assert s.log.read_text().count('\n') == 1


def test_name_in_no_filesystem(base, state):
    manager = Manager(base)
    manager.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    manager.socket.bind(f'\0{base}')
    with Service(base, state, address=f'@{base}') as s:
        wait_for(lambda: 'READY=1' in manager.hear(), 'the word')
        s.end()


def test_helpers_are_not_told_of_it(base, state, exe, root):
    """What a plain user unmounts by does not inherit who is told."""
    place = base / 'own'
    (place / 'bin').mkdir(parents=True)
    helper = bundles.put(place / 'bin/fusermount3', f'#!/bin/sh\nenv >>{place}/env\nexec {shutil.which("fusermount3")} "$@"\n')
    helper.chmod(0o755)
    os.chown(place, harness.NOBODY, -1)
    manager = Manager(base)

    def body():
        with Service(place, state, address=manager.address, exe=exe,
                     env={'PATH': f'{helper.parent}:{os.environ["PATH"]}', 'KEPT': 'yes'}) as s:
            manager.wait('READY=1')
            s.end()
        seen = (place / 'env').read_text().splitlines()
        assert 'KEPT=yes' in seen and not [ln for ln in seen if 'NOTIFY' in ln]
    harness.in_namespace(body, uid=harness.NOBODY)
    manager.wait('STOPPING=1')


@pytest.mark.parametrize('whose, name', [('user', 'shieldfs.service'), ('system', 'shieldfs@.service')])
def test_units(base, whose, name):
    """systemd has nothing to say against them."""
    (base / 'bin').mkdir()
    shutil.copy2(harness.SHIELDFS, base / 'bin')
    unit = bundles.put(base / name, managed.rendered(whose, name, base / 'bin', base))
    env = {'XDG_RUNTIME_DIR': os.fspath(base)}
    done = run('systemd-analyze', '--man=no', *(['--user'] if whose == 'user' else []), 'verify', unit, env=env)
    assert done.stdout == b''
    if whose == 'system':
        run('systemd-analyze', '--no-pager', '--offline=yes', '--threshold=45', 'security', unit)
