# SPDX-License-Identifier: Apache-2.0
"""A view of what moves: containers, files and sources that come and go, snapshots, live raw files, lists that
somebody is writing, and many readers at once."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import bundles
import harness
import pytest
import reference
from harness import fails, holds_for, opened, read_fd, wait_for

HOT_WRITER = r'''
import os, sys
path, texts = sys.argv[1], [word.encode() for word in sys.argv[2:]]
print("ready", flush=True)
while True:
    for text in texts:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        half = len(text) // 2
        os.write(fd, text[:half])
        os.write(fd, text[half:])
        os.close(fd)
'''


def test_containers_come_and_go(mount, state):
    m = mount(state)
    assert os.listdir(m.mnt) == ['.shieldfs']
    for i in range(3):
        with fails(errno.ENOENT):
            os.stat(m.mnt / 'web-1')
        bundles.container(state, 'web-1', profile=[f'1.1.1.{i}'])
        assert (m.mnt / 'web-1/effective').read_text() == f'1.1.1.{i}\n'
        bundles.task(state, 'p', '1', live=[f'2.2.2.{i}'])
        assert (m.mnt / 'p.1/allowed').read_text() == f'2.2.2.{i}\n'
        assert os.listdir(m.mnt) == ['.shieldfs', 'p.1', 'web-1']
        bundles.remove(state / 'tasks/p')
        bundles.remove(state / 'containers')
        assert os.listdir(m.mnt) == ['.shieldfs']


def test_files_come_and_go(mount, state):
    behind = bundles.container(state, 'c')
    m = mount(state)
    for content in ('1\n', '22\n'):
        for name in ('audit.jsonl', 'profile.allowed', 'hooks/x.json'):
            with fails(errno.ENOENT):
                os.stat(m.mnt / 'c' / name)
            bundles.bundle(behind, {name: content})
            assert (m.mnt / 'c' / name).read_text() == content
            assert os.stat(m.mnt / 'c' / name).st_size == len(content)
        assert (m.mnt / 'c/effective').read_text() == content
        assert 'hooks' in os.listdir(m.mnt / 'c')
        for name in ('audit.jsonl', 'profile.allowed', 'hooks'):
            bundles.remove(behind / name)
        assert os.listdir(m.mnt / 'c') == sorted(harness.COMPUTED)
        assert (m.mnt / 'c/effective').read_bytes() == b''


def test_source_that_comes_later(mount, base):
    late = base / 'not' / 'yet'
    m = mount(late, base / 'other')
    assert m.status()['source'] == [f'waiting {late}', f'waiting {base}/other']
    assert os.listdir(m.mnt) == ['.shieldfs']
    for _ in range(2):
        bundles.container(late, 'c', live=['1.1.1.1'])
        assert (m.mnt / 'c/effective').read_text() == '1.1.1.1\n'
        assert m.status()['source'] == [f'ok {late}', f'waiting {base}/other']
        bundles.remove(base / 'not')
        assert os.listdir(m.mnt) == ['.shieldfs']
        assert m.status()['source'][0] == f'waiting {late}'


def test_source_that_is_no_directory(mount, base):
    bundles.put(base / 'file', '')
    bundles.container(base / 'ok', 'c')
    m = mount(base / 'file', base / 'ok')
    m.expect_log(r'.*/file: Not a directory: nothing of it is shown while that is so')
    said = m.status()['source']
    assert said[1] == f'ok {base}/ok'
    assert said[0].endswith(f' {base}/file') and said[0].split(' ')[0] not in ('ok', 'waiting')
    assert os.listdir(m.mnt) == ['.shieldfs', 'c']


def test_snapshots(mount, state):
    """An open handle keeps its content; a new open shows the new; the size is the current one."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1', '2.2.2.2'], deny=['2.2.2.2'])
    m = mount(state)
    path = m.mnt / 'c/effective'
    with opened(path) as old:
        assert os.read(old, 3) == b'1.1'
        bundles.put(behind / 'deny.list', '')
        with opened(path) as new:
            bundles.put(behind / 'profile.allowed', '3.3.3.3\n')
            bundles.put(behind / 'live.allowed', b'\xff')
            m.expect_log('c/live.allowed: line 1: not UTF-8 at byte 1')
            with fails(errno.EILSEQ):
                os.open(path, os.O_RDONLY)
            bundles.remove(behind)
            assert read_fd(old) == b'.1.1\n'
            assert os.pread(old, 100, 0) == b'1.1.1.1\n'
            assert os.pread(old, 100, 8) == os.pread(old, 100, 10**12) == b''
            assert read_fd(new) == b'1.1.1.1\n2.2.2.2\n'
    with fails(errno.ENOENT):
        os.open(path, os.O_RDONLY)
    bundles.container(state, 'c', profile=['4.4.4.4'])
    assert path.read_bytes() == b'4.4.4.4\n' and path.stat().st_size == 8


def test_all_ways_of_reading(mount, state):
    """Small pieces, one byte at a time, backwards, past the end."""
    behind = bundles.full(state / 'containers/c')
    bundles.put(behind / 'profile.allowed', ''.join(f'10.{i // 256}.{i % 256}.1\n' for i in range(30000)))
    m = mount(state)
    for name in ('effective', 'profile.allowed', 'audit.jsonl'):
        raw = name not in harness.COMPUTED
        want = (behind / name).read_bytes() if raw else reference.render(behind, name)
        with opened(m.mnt / 'c' / name) as fd:
            assert read_fd(fd, 4097) == want
            assert b''.join(os.pread(fd, 1, at) for at in range(200)) == want[:200]
            for at in range(len(want) + 5000, -1, -9973):
                assert os.pread(fd, 5000, at) == want[at:at + 5000]
            assert os.lseek(fd, 0, os.SEEK_END) == len(want)


def test_raw_files_are_live(mount, state):
    behind = bundles.full(state / 'containers/c')
    m = mount(state)
    log = m.mnt / 'c/dnsmasq.log'
    with opened(log) as fd:
        assert read_fd(fd) == (behind / 'dnsmasq.log').read_bytes()
        for i in range(5):
            with open(behind / 'dnsmasq.log', 'ab') as file:
                file.write(b'line %d\n' % i)
            assert read_fd(fd) == b'line %d\n' % i
            assert os.fstat(fd).st_size == (behind / 'dnsmasq.log').stat().st_size
        (behind / 'dnsmasq.log').unlink()
        assert os.pread(fd, 11, 0) == b'Nov 23 18:2'


def test_tail_f(mount, state):
    """tail -f prints what is appended, on the descriptor that it keeps."""
    behind = bundles.full(state / 'containers/c')
    m = mount(state)
    with subprocess.Popen(['tail', '-n', '+1', '-s', '0.05', '-f', m.mnt / 'c/audit.jsonl'],
                          stdout=subprocess.PIPE) as tail:
        try:
            os.set_blocking(tail.stdout.fileno(), False)
            got = b''
            for i in range(4):
                def printed():
                    nonlocal got
                    got += tail.stdout.read() or b''
                    return got == (behind / 'audit.jsonl').read_bytes()
                wait_for(printed, f'tail to print what was appended before line {i}')
                with open(behind / 'audit.jsonl', 'ab') as file:
                    file.write(b'{"n":%d}\n' % i)
            wait_for(printed, 'tail to print the last line')
        finally:
            tail.kill()


@pytest.mark.parametrize('source, broken, fine', [
    ('deny.list', ('denied', 'effective'), ('allowed', 'effective.domains')),
    ('profile.allowed', ('allowed', 'effective'), ('denied', 'effective.domains')),
    ('denied.domains', ('effective.domains',), ('denied', 'effective', 'allowed')),
])
def test_list_held_open_for_writing(mount, state, source, broken, fine):
    """EBUSY after the settle time, and log and status name the file; stat tells of the last whole version."""
    behind = bundles.full(state / 'containers/c')
    want = {n: reference.render(behind, n) for n in harness.COMPUTED}
    m = mount(state, options=['settle=100'])
    for name in harness.COMPUTED:
        assert (m.mnt / 'c' / name).read_bytes() == want[name]
    before = {n: os.stat(m.mnt / 'c' / n) for n in broken}
    m.expect_log(f'c/{source}: .+')
    with opened(behind / source, os.O_WRONLY | os.O_TRUNC) as writer:
        os.write(writer, b'9.9.')
        for name in broken:
            start = time.monotonic()
            with fails(errno.EBUSY):
                os.open(m.mnt / 'c' / name, os.O_RDONLY)
            assert 0.08 < time.monotonic() - start < harness.TIMEOUT / 10
            now = os.stat(m.mnt / 'c' / name)
            assert (now.st_size, now.st_mtime_ns) == (before[name].st_size, before[name].st_mtime_ns)
        for name in fine:
            assert (m.mnt / 'c' / name).read_bytes() == want[name]
        assert (m.mnt / 'c' / source).read_bytes() == b'9.9.'
        assert m.status()['problem'] == [f'c/{source}: being written, for longer than an open waits']
        os.write(writer, b'9.9\n')
    assert m.status()['problem'] == []
    for name in broken:
        assert (m.mnt / 'c' / name).read_bytes() == reference.render(behind, name)


def test_an_open_waits_for_the_writer(mount, state):
    """An open between a truncation and the close waits for the close, and sees what was written."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1', '2.2.2.2'], deny=['2.2.2.2'])
    m = mount(state, options=['settle=30000'])
    with opened(behind / 'deny.list', os.O_WRONLY | os.O_TRUNC) as writer:
        cat = subprocess.Popen(['cat', m.mnt / 'c/effective'], stdout=subprocess.PIPE)
        holds_for(lambda: cat.poll() is None, 0.3, 'cat waits')
        assert (m.mnt / 'c/allowed').read_bytes() == b'1.1.1.1\n2.2.2.2\n', 'others do not wait'
        os.write(writer, b'1.1.1.1\n')
        holds_for(lambda: cat.poll() is None, 0.1, 'cat waits for the close')
    assert cat.communicate(timeout=harness.TIMEOUT)[0] == b'2.2.2.2\n'
    assert cat.returncode == 0


@pytest.mark.parametrize('args', [[], ['-s']], ids=['threads', 'single'])
def test_waiting_readers_hold_up_nobody(mount, state, args):
    """However many opens wait for a writer, everything else is answered; and none is forgotten."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1', '2.2.2.2'], deny=['2.2.2.2'])
    bundles.full(state / 'containers/other')
    m = mount(state, options=['settle=30000'], args=args)
    with opened(behind / 'deny.list', os.O_WRONLY | os.O_TRUNC) as writer:
        cats = [subprocess.Popen(['cat', m.mnt / 'c/effective'], stdout=subprocess.PIPE) for _ in range(40)]
        holds_for(lambda: all(cat.poll() is None for cat in cats), 0.3, 'all wait')
        limit = harness.TIMEOUT / 6
        assert harness.run('cat', m.mnt / 'c/allowed', timeout=limit).stdout == b'1.1.1.1\n2.2.2.2\n'
        assert harness.run('cat', m.mnt / 'other/effective', timeout=limit).stdout
        assert harness.run('ls', '-R', m.mnt, timeout=limit).stdout
        assert all(cat.poll() is None for cat in cats), 'answered only when nobody waited any more'
        os.write(writer, b'1.1.1.1\n')
    for cat in cats:
        assert cat.communicate(timeout=harness.TIMEOUT)[0] == b'2.2.2.2\n'
        assert cat.returncode == 0


def test_settle_0(mount, state):
    """Taken as it stands, and the status says so."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1', '2.2.2.2'], deny=['2.2.2.2'])
    m = mount(state, options=['settle=0'])
    assert len(m.status()['degraded']) == 1
    with opened(behind / 'deny.list', os.O_WRONLY | os.O_TRUNC) as writer:
        assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n2.2.2.2\n'
        os.write(writer, b'1.1.1.1\n')
        assert (m.mnt / 'c/effective').read_bytes() == b'2.2.2.2\n'


def test_never_torn(mount, state):
    """Under writers that never rest every reader gets a whole list, from one cut."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1', '2.2.2.2', '3.3.3.3'])
    texts = ['2.2.2.2\n' + '9.9.9.9\n' * 400, '3.3.3.3\n2.2.2.2\n' + '8.8.8.8\n' * 900]
    bundles.put(behind / 'deny.list', texts[0])
    m = mount(state, options=['settle=20000'])
    wholes = {'effective': {b'1.1.1.1\n3.3.3.3\n', b'1.1.1.1\n'},
              'denied': {b'2.2.2.2\n9.9.9.9\n', b'3.3.3.3\n2.2.2.2\n8.8.8.8\n'}}
    with subprocess.Popen([sys.executable, '-c', HOT_WRITER, behind / 'deny.list', *texts],
                          stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout.readline() == b'ready\n'
            seen = {n: {(m.mnt / 'c' / n).read_bytes() for _ in range(40)} for n in wholes}
            wait_for(lambda: seen['denied'].add((m.mnt / 'c/denied').read_bytes()) or len(seen['denied']) == 2, 'the other one')
        finally:
            writer.kill()
    for name, contents in seen.items():
        assert contents <= wholes[name], contents - wholes[name]


def test_hangup_keeps_serving(mount, state):
    bundles.container(state, 'c', profile=['1.1.1.1'])
    m = mount(state)
    with opened(m.mnt / 'c/effective') as fd:
        for i in range(3):
            m.process.send_signal(signal.SIGHUP)
            bundles.container(state, f'new-{i}', profile=[f'2.2.2.{i}'])
            assert (m.mnt / f'new-{i}/effective').read_text() == f'2.2.2.{i}\n'
        assert read_fd(fd) == b'1.1.1.1\n'
    assert m.process.poll() is None


def test_many_readers(mount, state):
    """Threads that read everything while some of it comes and goes; what does not move is always right."""
    for i in range(10):
        bundles.full(state / f'containers/still-{i}')
    want = {}
    for bundle in (state / 'containers').iterdir():
        for name in harness.COMPUTED:
            want[f'{bundle.name}/{name}'] = reference.render(bundle, name)
        for name in ('audit.jsonl', 'hooks/terok-shield-poststop.json'):
            want[f'{bundle.name}/{name}'] = (bundle / name).read_bytes()
    m = mount(state, options=['settle=20000'])
    wrong, over = [], threading.Event()

    def read_still():
        for path, content in want.items():
            if (m.mnt / path).read_bytes() != content or (m.mnt / path).stat().st_size != len(content):
                wrong.append(path)

    def read_moving():
        while not over.is_set():
            for path in (m.mnt / 'moving/effective', m.mnt / 'moving/allowed'):
                try:
                    text = path.read_bytes()
                    if text not in (b'', b'1.1.1.1\n'):
                        wrong.append(text)
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ESTALE):
                        wrong.append(error)

    def guarded(function):
        def body():
            try:
                function()
            except BaseException as error:
                wrong.append(error)
        return threading.Thread(target=body)
    readers = [guarded(read_still) for _ in range(8)]
    movers = [guarded(read_moving) for _ in range(3)]
    for thread in readers + movers:
        thread.start()
    while any(t.is_alive() for t in readers):
        bundles.container(state, 'moving', profile=['1.1.1.1'])
        os.listdir(m.mnt)
        bundles.remove(state / 'containers/moving')
    over.set()
    for thread in readers + movers:
        thread.join()
    assert not wrong, wrong[:5]
