# SPDX-License-Identifier: Apache-2.0
"""How a server starts and ends: in the foreground and as a daemon, by signals and by unmounting, by mount(8),
and after a crash."""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading

import bundles
import harness
import pytest
import reference
import watching
from harness import fails, run, wait_for

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def daemon(base, state):
    """daemon(*ARGV) starts shieldfs the way a shell does; the mountpoint is freed in the end."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    mnt = base / 'mnt'
    mnt.mkdir()

    def start(*options, said=''):
        done = run(harness.SHIELDFS, state, mnt, *options, ok=False)
        assert (done.returncode, done.stdout) == (0, b''), done
        assert re.fullmatch(said, done.stderr.decode()), done
        assert (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n', 'returned before the mount answered'
        # by then the supervisor has left the launcher's session too
        wait_for(lambda: b'announcer: ok\n' in (mnt / '.shieldfs/status').read_bytes(), 'the announcer')
        return mnt
    yield start
    harness.release(mnt)


@pytest.fixture
def reaper():
    """This process inherits daemons, so that their exit status can be seen."""
    harness.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    harness.libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def ended(mnt, pid):
    """The exit status of the daemon PID, after checking that the mountpoint is free."""
    status = wait_for(lambda: [s for p, s in [os.waitpid(pid, os.WNOHANG)] if p], f'{pid} to end')[0]
    assert os.fspath(mnt) not in harness.mounts()
    assert harness.servers(mnt) == [] and os.listdir(mnt) == []
    return os.waitstatus_to_exitcode(status)


def first(pids):
    """The one of PIDS that is no other's child: the one to talk to."""
    stats = {p: pathlib.Path(f'/proc/{p}/stat').read_text() for p in pids}
    parents = {p: int(text.rpartition(')')[2].split()[1]) for p, text in stats.items()}
    top = [p for p in pids if parents[p] not in pids]
    assert len(top) == 1, parents
    return top[0]


@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGINT, None], ids=['TERM', 'INT', 'unmount'])
def test_foreground_ends(mount, state, how):
    bundles.container(state, 'c', profile=['1.1.1.1'])
    m = mount(state)
    assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
    m.stop(how)
    assert m.process.returncode == 0


@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGINT, 'fusermount3', 'umount'])
def test_daemon_ends(daemon, reaper, how):
    mnt = daemon()
    pids = harness.servers(mnt)
    daemon_pid = first(pids)
    assert all(os.getsid(pid) != os.getsid(0) for pid in pids)
    for pid in pids if os.geteuid() == 0 else [daemon_pid]:  # nobody else may see that of the others
        assert os.readlink(f'/proc/{pid}/cwd') == '/'
        assert {os.readlink(f'/proc/{pid}/fd/{fd}') for fd in (0, 1, 2)} == {'/dev/null'}
    if how == 'umount' and os.geteuid() != 0:
        how = 'fusermount3'
    if isinstance(how, signal.Signals):
        os.kill(daemon_pid, how)
    else:
        harness.unmount(mnt, *{'fusermount3': ['fusermount3', '-u'], 'umount': ['umount']}[how])
    assert ended(mnt, daemon_pid) == 0


def test_daemon_survives_its_terminal(daemon):
    """Neither the caller's pipes nor its session keep anything of the daemon."""
    mnt = daemon('-o', 'settle=100')
    for pid in harness.servers(mnt):
        os.kill(pid, signal.SIGHUP)
    assert (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
    assert len(harness.servers(mnt)) >= 1


def test_again_after_the_end(daemon):
    for _ in range(3):
        mnt = daemon()
        harness.unmount(mnt)
        wait_for(lambda: not harness.servers(mnt), 'the server to end')


def test_lazy_unmount_with_an_open_handle(mount, state):
    """The handle goes on being served; the server ends when it is closed."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    m = mount(state)
    with harness.opened(m.mnt / 'c/effective') as fd:
        run('fusermount3', '-uz', m.mnt)
        assert os.pread(fd, 100, 0) == b'1.1.1.1\n'
        assert m.process.poll() is None
    assert m.process.wait(harness.TIMEOUT) == 0
    m.check_log()
    m.kill()


def test_sigterm_with_an_open_handle(mount, state):
    """A reader does not keep the server alive, and the mountpoint is free for the next one."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    m = mount(state)
    with harness.opened(m.mnt / 'c/effective') as fd:
        m.process.send_signal(signal.SIGTERM)
        assert m.process.wait(harness.TIMEOUT) == 0
        assert os.fspath(m.mnt) not in harness.mounts()
        with contextlib.suppress(OSError):
            os.pread(fd, 100, 0)
    m.check_log()
    m.kill()


def test_ending_under_load(mount, state):
    """SIGTERM while many read: the server ends all the same, and every reader gets an error or the truth."""
    for i in range(20):
        bundles.full(state / f'containers/c{i}')
    want = reference.render(state / 'containers/c0', 'effective')
    wrong = []

    def read(m, begun):
        try:
            while True:
                for i in range(20):
                    if (m.mnt / f'c{i}/effective').read_bytes() != want:
                        wrong.append(i)
                begun.set()
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.ENOENT, errno.ECONNABORTED, errno.EIO):
                wrong.append(error)
    for _ in range(5):
        m = mount(state)
        begun = [threading.Event() for _ in range(12)]
        readers = [threading.Thread(target=read, args=(m, event)) for event in begun]
        for thread in readers:
            thread.start()
        for event in begun:
            event.wait(harness.TIMEOUT)
        m.process.send_signal(signal.SIGTERM)
        assert m.process.wait(harness.TIMEOUT) == 0
        for thread in readers:
            thread.join(harness.TIMEOUT)
        assert not wrong and os.fspath(m.mnt) not in harness.mounts()
        m.check_log()
        m.kill()


def test_ending_while_an_open_waits(mount, state):
    """An open that waits for a writer keeps nobody from ending."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'], deny=['2.2.2.2'])
    m = mount(state, options=['settle=3000000'])
    with harness.opened(behind / 'deny.list', os.O_WRONLY | os.O_TRUNC):
        cat = subprocess.Popen(['cat', m.mnt / 'c/effective'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        harness.holds_for(lambda: cat.poll() is None, 0.2, 'cat waits')
        m.process.send_signal(signal.SIGTERM)
        assert m.process.wait(harness.TIMEOUT) == 0
        out, said = cat.communicate(timeout=harness.TIMEOUT)
        assert out == b'' and b'c/effective' in said and cat.returncode == 1
    assert os.fspath(m.mnt) not in harness.mounts()
    m.patterns['.*deny.list: .*'] = 1
    m.check_log()
    m.kill()


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGSEGV])
def test_death_of_the_server(mount, state, how):
    """Readers get an error at once, the mountpoint is free again, and the exit status tells."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    m = mount(state, env={'ASAN_OPTIONS': 'handle_segv=0'})
    with harness.opened(m.mnt / 'c/effective') as fd:
        os.kill(watching.children(m)[0], how)
        assert m.process.wait(harness.TIMEOUT) == 1
        with fails(errno.ENOTCONN, errno.EIO, errno.ECONNABORTED):
            os.pread(fd, 100, 0)
    assert os.fspath(m.mnt) not in harness.mounts() and os.listdir(m.mnt) == []
    assert m.log_lines(), 'nobody was told'
    m.kill()


def test_taking_over_a_dead_mountpoint(daemon):
    mnt = daemon()
    for _ in range(2):
        for pid in harness.servers(mnt):
            with contextlib.suppress(ProcessLookupError):  # the first one's death is that of the others
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not harness.servers(mnt), 'the server to die')
        if os.fspath(mnt) in harness.mounts():
            wait_for(lambda: harness.is_dead(mnt), 'the mountpoint to be dead')
        assert daemon(said='(shieldfs: .*\n)?') == mnt
    harness.unmount(mnt)
    assert os.fspath(mnt) not in harness.mounts()
    wait_for(lambda: not harness.servers(mnt), 'the server to end')


def test_only_our_own_dead_mountpoints_are_taken(base, state, root):
    """A dead mount of something else stays, and the error names it."""
    mnt = base / 'mnt'
    mnt.mkdir()

    def body():
        fd = os.open('/dev/fuse', os.O_RDWR)
        harness.system_mount('other', mnt, 'fuse.other', 0,
                             f'fd={fd},rootmode=40000,user_id=0,group_id=0'.encode())
        os.close(fd)
        with fails(errno.ENOTCONN):
            os.stat(mnt)
        done = run(harness.SHIELDFS, state, mnt, ok=False)
        assert done.returncode == 1 and done.stderr.count(b'\n') == 1, done
        assert os.fspath(mnt) in done.stderr.decode(), done
        assert harness.mounts()[os.fspath(mnt)][1:] == ('fuse.other', 'other')
        run('umount', '-l', mnt)
    harness.in_namespace(body)


def installed(exe, body):
    """Run BODY where mount(8), which drops PATH, finds shieldfs as it does an installed one."""
    place = exe.parent / 'bin'
    place.mkdir()
    exe.rename(place / 'shieldfs')
    harness.in_namespace(body, prepare=lambda: harness.system_mount(place, '/usr/local/bin', None, 0x1000))


def unmounted(mnt):
    harness.unmount(mnt, 'umount')
    wait_for(lambda: not harness.servers(mnt), 'the server to end')
    assert os.fspath(mnt) not in harness.mounts()


def test_mount_helper(base, state, exe, root):
    """mount -t fuse.shieldfs SOURCE MOUNTPOINT -o WORDS, then umount; an error is mount's error too."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    mnt = base / 'mnt'
    mnt.mkdir()
    mount = ['mount', '-t', 'fuse.shieldfs', state, mnt, '-o']

    def body():
        run(*mount, 'settle=250,nodev,nofail,x-systemd.automount')
        assert (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
        options, kind, _ = harness.mounts()[os.fspath(mnt)]
        assert kind == 'fuse.shieldfs' and {'nosuid', 'nodev', 'noexec'} <= set(options)
        unmounted(mnt)
        bad = run(*mount, 'bogus', ok=False)
        assert bad.returncode != 0 and b'bogus' in bad.stderr and os.fspath(mnt) not in harness.mounts()
    installed(exe, body)


def test_fstab(base, state, exe, root):
    """An fstab line; the source `none` stands for the defaults."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    mnt = base / 'mnt'
    mnt.mkdir()

    def body():
        for source in (os.fspath(state), 'none'):
            words = 'rw,user,noauto,nofail,_netdev,x-a.b=c,settle=100'
            table = bundles.put(base / 'fstab', f'{source} {mnt} fuse.shieldfs {words} 0 0\n')
            run('mount', '--fstab', table, mnt, env={'TEROK_SHIELD_STATE_DIR': os.fspath(state)})
            assert (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
            unmounted(mnt)
    installed(exe, body)


def test_df_and_mount_show_it(daemon):
    mnt = daemon()
    assert b'fuse.shieldfs' in run('df', '-aT', mnt).stdout
    assert f' on {mnt} type fuse.shieldfs ' in run('mount').stdout.decode()
    if shutil.which('findmnt'):
        assert run('findmnt', '-no', 'FSTYPE', mnt).stdout == b'fuse.shieldfs\n'
    harness.unmount(mnt)
    wait_for(lambda: not harness.servers(mnt), 'the server to end')


def test_many_mounts_of_one_source(mount, state):
    bundles.container(state, 'c', profile=['1.1.1.1'])
    views = [mount(state) for _ in range(4)]
    for m in views:
        assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'


def test_debug_log_is_one_escaped_line_per_request(mount, state):
    """Whatever callers ask for: each line of -d is printable and ours."""
    bundles.container(state, 'c')
    m = mount(state)
    for name in (b'new\nline', b'\x1b[31mred', b'\xff\xfe', 'caf\xe9'.encode(), b'shieldfs: fake'):
        with fails(errno.ENOENT):
            os.stat(os.fsencode(m.mnt) + b'/c/' + name)
    run('ls', m.mnt / 'c')
    lines = [ln for ln in m.log_path.read_text().split('\n') if ln.startswith('shieldfs: debug: ')]
    assert len(lines) > 5 and any('fake' in ln for ln in lines)


def steps(m, path):
    """What -d tells of the events of PATH."""
    return re.findall(rf'^shieldfs: debug: event {re.escape(path)}: (.*)$', m.log_path.read_text(), re.MULTILINE)


def test_debug_log_tells_an_events_life(mount, state):
    """From inotify to the announcer's answer, each step with the path."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    m = watching.settled(mount(state))
    raw, computed = steps(m, 'c/live.allowed'), steps(m, 'c/effective')
    with open(state / 'containers/c/live.allowed', 'a', encoding='ascii') as live:
        live.write('2.2.2.2\n')
    wait_for(lambda: 'the announcer answers: done' in steps(m, 'c/effective')[len(computed):], 'the end of it')
    wait_for(lambda: 'the announcer answers: done' in steps(m, 'c/live.allowed')[len(raw):], 'the end of the other')
    told = ['differs from what was told in its content', 'the announcer is asked for MODIFY and CLOSE_WRITE',
            'the announcer answers: done']
    for before, path in ((computed, 'c/effective'), (raw, 'c/live.allowed')):
        seen = steps(m, path)[len(before):]
        assert [s for s in seen if s in told][:3] == told, seen
    assert 'inotify says MODIFY: marked' in seen

    os.mkdir(state / 'containers/new')
    wait_for(lambda: (m.mnt / 'new').exists(), 'the new one')
    wait_for(lambda: 'the announcer answers: done' in steps(m, 'new'), 'it to be told')
    assert {'new', 'the announcer is asked for CREATE of a directory'} <= set(steps(m, 'new'))
    assert f'{state}/containers/new: inotify says CREATE: bundles may have come or gone' in ''.join(
        re.findall(r'event (.*)', m.log_path.read_text()))


def test_debug_log_does_not_follow_each_write(mount, state):
    """A writer who never rests must not make the log the work: only a mark that is new has a line."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    m = watching.settled(mount(state))
    server = next(filter(watching.has_fuse, watching.children_of(m.process.pid)))
    before = steps(m, 'c/live.allowed')
    harness.stop(server)
    for i in range(1000):
        (state / 'containers/c/live.allowed').write_text(f'1.1.1.{i % 250}\n', encoding='ascii')
    os.kill(server, signal.SIGCONT)
    wait_for(lambda: 'the announcer answers: done' in steps(m, 'c/live.allowed')[len(before):], 'it to be announced')
    lines = [s for s in steps(m, 'c/live.allowed')[len(before):] if s.startswith('inotify says')]
    assert 0 < len(lines) < 50, len(lines)
