# SPDX-License-Identifier: Apache-2.0
"""What can happen to those who announce: lost events, no watches left, an announcer that is killed, a reader with
a lease, a mount that is detached or covered."""

import fcntl
import itertools
import os
import signal
import threading

import bundles
import harness
import pytest
import reference
import watching
from harness import holds_for, opened, wait_for
from watching import CHANGED, NEW, Inotify, Watch


@pytest.fixture
def mount(mount):
    """A mount whose first events are over."""
    return lambda *args, **kw: watching.settled(mount(*args, **kw))


def append(path, text):
    with open(path, 'a', encoding='utf-8') as file:
        file.write(text)


def test_events_are_lost(mount, state):
    """The queue is full before anything happens; everything is announced in the end."""
    for i in range(8):
        bundles.full(state / f'containers/c{i}')
    m = mount(state)
    with Watch(m.mnt, m.mnt, recursive=True) as watch:
        for turn in range(3):
            watch.poll()
            watch.events.clear()
            with watching.deaf(m, state / 'containers/c0/audit.jsonl'):
                for n, i in itertools.product(range(60), range(8)):
                    append(state / f'containers/c{i}/live.allowed', f'10.{turn}.{n}.{i}\n')
                    bundles.put(state / f'containers/c{i}/new-{turn}-{n}', 'x')
            want = {(f'c{i}/{name}', 'CLOSE_WRITE') for i in range(8)
                    for name in ('live.allowed', 'allowed', 'effective')}
            want |= {(f'c{i}/new-{turn}-{n}', 'CREATE') for i in range(8) for n in range(60)}
            wait_for(lambda w=want: w <= set(watch.poll()), 'everything to be announced')
            bundles.remove(state / 'containers/c7')
            bundles.full(state / 'containers/c7')
            wait_for(lambda: watch.by_path().get('c7', [])[-1:] == ['CREATE,ISDIR'], 'c7')
        last, lists = {}, {path for path, _ in want if '/new' not in path}

        def unread():
            for path, event in watch.poll():
                if event == 'CLOSE_WRITE' and path in lists:
                    last[path] = (m.mnt / path).read_bytes()
            watch.events.clear()
            return last and all((m.mnt / path).read_bytes() == text for path, text in last.items())
        wait_for(unread, 'what was read after the last event to be final')


def test_no_watches_left(root, mount, state):
    """Said in the status; changes are found by comparing, and an open is as fresh as ever."""
    behind = bundles.full(state / 'containers/c0')
    for i in range(1, 5):
        bundles.full(state / f'containers/c{i}')

    def body():
        with watching.few_watches(3):
            m = mount(state, options=['poll=1', 'allow_other'])
            said = 'not watched (the limit of inotify watches is reached, raise fs.inotify.max_user_watches)'
            assert any(said in line for line in m.status()['degraded'])
            user = ('setpriv', f'--reuid={harness.NOBODY}', '--clear-groups')
            with Watch(m.mnt, m.mnt, m.mnt / 'c0', m.mnt / 'c0/effective', prefix=user) as watch:
                append(behind / 'live.allowed', '10.9.9.9\n')
                watch.wait_for(('c0/effective', 'CLOSE_WRITE'), ('c0/live.allowed', 'CLOSE_WRITE'))
                for i in range(20):
                    bundles.put(behind / 'deny.list', f'192.0.2.{i}\n')
                    assert (m.mnt / 'c0/denied').read_text() == f'192.0.2.{i}\n'
                    bundles.container(state, 'new', live=[f'1.1.1.{i}'])
                    assert (m.mnt / 'new/effective').read_text() == f'1.1.1.{i}\n'
                    bundles.remove(state / 'containers/new')
                watch.wait_for(('c0/denied', 'CLOSE_WRITE'), ('c0/effective', 'CLOSE_WRITE'))
                bundles.container(state, 'later')
                watch.wait_for(('later', 'CREATE,ISDIR'))
                watch.events.clear()
                wait_for(lambda: watch.poll() or m.status()['degraded'], 'status')
                holds_for(lambda: ('c0/denied', 'CLOSE_WRITE') not in watch.poll(), 1.5, 'no change, no event')
        wait_for(lambda: not m.status()['degraded'], 'watches, once there are some')
        m.stop()
    harness.in_user_namespace(body)


def test_status_while_all_is_looked_for(root, mount, state):
    """Never a half: each read has a line for each directory that is not watched, and its time says that nothing has changed."""
    for i in range(60):
        bundles.container(state, f'c{i}', live=['1.1.1.1'])

    def body():
        with watching.few_watches(3):
            m = watching.settled(mount(state, options=['poll=1']))
            scans = m.log_path.read_bytes().count(b'all bundles are looked for')
            before = m.status()['degraded']
            assert len(before) > 50

            def scanned():
                assert m.status()['degraded'] == before
                return m.log_path.read_bytes().count(b'all bundles are looked for') >= scans + 3
            changed = os.stat(m.mnt / '.shieldfs/status').st_mtime_ns
            wait_for(scanned, 'some scans')
            assert os.stat(m.mnt / '.shieldfs/status').st_mtime_ns == changed
        wait_for(lambda: not m.status()['degraded'], 'watches, once there are some')
        m.stop()
    harness.in_user_namespace(body)


def test_announcer_is_killed(mount, state):
    """In a loop and in the middle of its work: there is another soon, and what was to be said is said."""
    behind = bundles.full(state / 'containers/c')
    m = mount(state)
    over = threading.Event()

    def write():
        for i in itertools.count():
            append(behind / 'live.allowed', f'10.{i // 250}.{i % 250}.1\n')
            bundles.container(state, f'web-{i % 3}', live=[f'1.1.1.{i % 200}'])
            bundles.remove(state / f'containers/web-{(i + 1) % 3}')
            if over.wait(0.002):
                return
    writer = threading.Thread(target=write)
    writer.start()
    try:
        with Watch(m.mnt, m.mnt / 'c') as watch:
            for _ in range(6):
                pid = watching.announcer(m)
                watch.poll()
                watch.events.clear()
                watch.wait_for(('c/effective', 'CLOSE_WRITE'), ('c/live.allowed', 'CLOSE_WRITE'))
                os.kill(pid, signal.SIGKILL)
                assert (m.mnt / 'c/allowed').read_bytes()
                wait_for(lambda p=pid: p not in watching.children(m), 'it to be reaped')
            watching.announcer(m)
            watch.poll()
            watch.events.clear()
            watch.wait_for(('c/effective', 'CLOSE_WRITE'))
            over.set()
            writer.join()
            bundles.put(behind / 'live.allowed', '7.7.7.7\n')
            watch.wait_for(('c/effective', 'CLOSE_WRITE'))
            holds_for(lambda: watch.poll() is not None, 0.2, 'the rest')
            names = {'.shieldfs', *(p.name for p in (state / 'containers').iterdir())}
            assert set(os.listdir(m.mnt)) == names
    finally:
        over.set()
        writer.join()
    m.take_log()


def test_reader_with_a_lease(mount, state):
    """Blocks nobody: MODIFY comes, and CLOSE_WRITE when he lets go."""
    behind = bundles.full(state / 'containers/c')
    m = mount(state)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with Watch(m.mnt, m.mnt / 'c/live.allowed', m.mnt / 'c/effective', m.mnt / 'c/audit.jsonl') as watch:
            with opened(m.mnt / 'c/effective') as fd:
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
                for i in range(3):
                    append(behind / 'live.allowed', f'10.10.0.{i}\n')
                    watch.expect({'c/live.allowed': CHANGED, 'c/effective': ['MODIFY']})
                append(behind / 'audit.jsonl', 'x\n')
                watch.expect({'c/audit.jsonl': CHANGED})
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
                watch.expect({'c/effective': ['CLOSE_WRITE']})
            append(behind / 'live.allowed', '10.11.0.1\n')
            watch.expect({'c/live.allowed': CHANGED, 'c/effective': CHANGED})
    finally:
        signal.signal(signal.SIGIO, before)


def replace_announcer(m):
    """Kill it; the next one is started with the mount point as it is now."""
    before = watching.children(m)
    m.expect_log(r'.*: the announcer was killed by signal 9 \(Killed\): there will be another')
    os.kill(before[1], signal.SIGKILL)
    wait_for(lambda: len(watching.children(m)) == 2 and watching.children(m) != before, 'another announcer')


@pytest.mark.parametrize('anew', [False, True])
def test_detached_mount(mount, state, anew):
    """With a reader left, the server lives on; nothing may come into being beneath the mountpoint."""
    behind = bundles.full(state / 'containers/c')
    m = mount(state)
    with opened(m.mnt / 'c/dnsmasq.log') as fd:
        harness.run('fusermount3', '-uz', m.mnt)
        if anew:
            replace_announcer(m)
        for i in range(20):
            bundles.container(state, f'web-{i}', live=['1.1.1.1'])
            append(behind / 'live.allowed', f'10.0.0.{i}\n')
            append(behind / 'dnsmasq.log', 'new\n')
        holds_for(lambda: os.listdir(m.mnt) == [], 0.5, 'the mountpoint stays empty')
        assert harness.read_fd(fd) == (behind / 'dnsmasq.log').read_bytes()
    assert m.process.wait(harness.TIMEOUT) == 0
    assert os.listdir(m.mnt) == []
    m.check_log()
    m.kill()


def test_mount_inside(root, mount, state, base):
    """What is mounted on a directory or a file of the view is not touched; it can't be announced meanwhile."""
    behind = bundles.full(state / 'containers/c')
    m = mount(state)
    other, file = base / 'other', bundles.put(base / 'file', 'precious')
    other.mkdir(mode=0o700)
    harness.run('mount', '--bind', file, m.mnt / 'c/deny.list')
    harness.run('mount', '--bind', base, m.mnt / 'c/hooks')
    harness.run('mount', '--bind', other, m.mnt / 'c')
    before = [os.stat(path).st_ctime_ns for path in (other, file, base)]
    try:
        os.chown(behind, harness.NOBODY, harness.NOBODY)
        wait_for(lambda: 'c: could not be announced' in m.log_path.read_text(), 'it to be given up')
        harness.unmount(m.mnt / 'c', 'umount')
        for name in ('deny.list', 'hooks'):
            os.chown(behind / name, harness.NOBODY, harness.NOBODY)
        append(behind / 'deny.list', '10.0.0.1\n')
        for name in ('deny.list', 'hooks'):
            wait_for(lambda n=name: f'c/{n}: could not be announced' in m.log_path.read_text(), name)
        assert [os.stat(path).st_ctime_ns for path in (other, file, base)] == before
    finally:
        for place in sorted(p for p in harness.mounts() if p.startswith(f'{m.mnt}/')):
            harness.unmount(place, 'umount')
    with Watch(m.mnt, m.mnt, m.mnt / 'c') as watch:
        os.chown(behind, 0, 0)
        append(behind / 'deny.list', '10.0.0.2\n')
        watch.wait_for(('c', 'ATTRIB,ISDIR'), ('c/deny.list', 'CLOSE_WRITE'))
    m.take_log()


def test_written_under_a_cover(root, mount, state):
    """A write that no stamp tells of is announced when the mount is uncovered."""
    behind = bundles.full(state / 'containers/c')
    m = mount(state)
    with Inotify() as inotify:
        inotify.add(m.mnt / 'c/dnsmasq.log')
        harness.run('mount', '-t', 'tmpfs', 'none', m.mnt)
        try:
            info = os.stat(behind / 'dnsmasq.log')
            with opened(behind / 'dnsmasq.log', os.O_WRONLY) as fd:
                os.pwrite(fd, b'!', 0)
            os.utime(behind / 'dnsmasq.log', ns=(info.st_atime_ns, info.st_mtime_ns))
            holds_for(lambda: not inotify.read(), 0.3, 'nothing is announced')
        finally:
            harness.unmount(m.mnt, 'umount')
        wait_for(inotify.read, 'the write to be announced')


@pytest.mark.parametrize('anew', [False, True])
def test_covered_mount(root, mount, state, anew):
    """What is mounted over the view is not touched."""
    behind = bundles.full(state / 'containers/c')
    m = mount(state)
    harness.run('mount', '-t', 'tmpfs', 'none', m.mnt)
    try:
        bundles.full(m.mnt / 'c')
        before = {p: os.stat(p) for p in m.mnt.rglob('*')}
        if anew:
            replace_announcer(m)
        for i in range(20):
            bundles.container(state, f'web-{i}', live=['1.1.1.1'])
            append(behind / 'live.allowed', f'10.0.0.{i}\n')
        bundles.remove(state / 'containers/web-3')
        (behind / 'audit.jsonl').unlink()
        holds_for(lambda: len(list(m.mnt.rglob('*'))) == len(before), 0.5, 'it stays as it is')
        for path, st in before.items():
            now = os.stat(path)
            assert (now.st_ino, now.st_size, now.st_mtime_ns) == (st.st_ino, st.st_size, st.st_mtime_ns)
    finally:
        harness.unmount(m.mnt, 'umount')
    assert reference.render(behind, 'effective') == (m.mnt / 'c/effective').read_bytes()
    with Watch(m.mnt, m.mnt, recursive=True) as watch:
        bundles.container(state, 'last', live=['1.1.1.1'])
        watch.wait_for(('last', 'CREATE,ISDIR'), *(('last/effective', e) for e in NEW))
