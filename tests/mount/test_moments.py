# SPDX-License-Identifier: Apache-2.0
"""What is hard to hit by chance, made to last by a build with the option `faults` (core/fault.h): a server that
is stopped just before it drains its queue or reads a list, while everything changes; opens that are held as
long as may be; announcements that fail. Only for such a build: there is nothing in any other to be tested."""

import contextlib
import errno
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import bundles
import harness
import haste
import pytest
import test_confined as confined
import test_ghosts as ghosts
import test_service as service
import versions
import watching
from counted import Counted, busy_announcer, undisturbed
from harness import fails, has_stopped, holds_for, wait_for
from test_events import put_over
from watching import CHANGED, Inotify, Watch

ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 300)
SETTLE = 20  # seconds: nobody is refused
SEED = int(os.environ.get('SHIELD_SEED') or random.randrange(1 << 32))


@pytest.fixture
def memory():
    path = pathlib.Path(tempfile.mkdtemp(prefix='shieldfs.', dir='/dev/shm'))
    yield path
    shutil.rmtree(path)


def faulty(mount, fault, *sources, settle=SETTLE):
    """A mount of a server with this fault, beside those that the environment has."""
    faults = ','.join(filter(None, (os.environ.get('SHIELD_FAULTS'), fault)))
    return mount(*sources, options=[f'settle={settle * 1000:.0f}'], env={'SHIELD_FAULTS': faults})


class Stops(threading.Thread):
    """Does something whenever a process of the mount that was started last has stopped, and lets it go on."""

    def __init__(self):
        super().__init__(daemon=True)
        self.action, self.count, self.over, self.wrong = lambda: None, 0, False, []

    def pids(self):
        mount = harness.Mount.running[-1:]
        return watching.children_of(mount[0].process.pid) if mount else []

    def run(self):
        while not self.over:
            for pid in filter(has_stopped, self.pids()):
                try:
                    self.action()
                except BaseException as error:
                    self.wrong.append(error)
                self.count += 1
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            time.sleep(0.0002)


@pytest.fixture
def stops():
    """To be asked for before the mount, whose end it must see."""
    stops = Stops()
    stops.start()
    yield stops
    stops.over = True
    stops.join()
    assert not stops.wrong, stops.wrong


@pytest.mark.parametrize('moment', ['stop-drain', 'stop-reading'])
@pytest.mark.parametrize('each', [1, 3])
def test_changes_at_a_moment(stops, mount, memory, moment, each):
    """Before the server drains, or reads a list, all three are rewritten: a read is one version, whole, and
    none that was over when the open began."""
    rng = random.Random(SEED)
    rounds = ROUNDS if each > 1 else ROUNDS // 5  # a round has many such moments
    behind = bundles.bundle(memory / 'containers/c')
    versions.write_all(behind, 1)
    complete, wrong, seen = 1, [], set()

    def change():
        nonlocal complete
        if rng.random() < 0.4:  # else nothing would ever be read
            versions.write_all(behind, complete + 1)
            complete += 1
    print('seed', SEED)
    m = faulty(mount, f'{moment}:{each}', memory)
    stops.action = change
    for i in range(rounds):
        os.utime(behind / versions.LISTS[i % 3])  # something has to be read
        before = complete
        got = (m.mnt / 'c/effective').read_bytes()
        version = versions.version_of('p', got)
        seen.add(version)
        if got != versions.computed('effective', version, version, version):
            wrong.append((before, got[:60], got[-60:]))
        elif version < before:
            wrong.append((before, version))
    stops.action = lambda: None
    assert not wrong, f'{len(wrong)} of {rounds} reads are wrong: {wrong[:3]}'
    assert stops.count > rounds / each / 4 and len(seen) > rounds / each / 40, (stops.count, len(seen))


def test_way_that_is_closed_at_a_moment(root, stops, mount, memory):
    """What comes after the way to it was closed is not read by it, though the way was open when the open began."""
    memory.chmod(0o755)
    state, lock, armed = memory / 'state', threading.Lock(), False
    listed, other = bundles.container(state, 'c', live=['1.1.1.1']) / 'live.allowed', memory / 'other'

    def close():
        nonlocal armed
        with lock:
            if armed:
                state.chmod(0o700)
                put_over(listed, '9.9.9.9\n')
            armed = False

    def read_on():
        while True:
            with contextlib.suppress(PermissionError):
                assert (m.mnt / 'c/effective').read_bytes() != b'9.9.9.9\n'
    m = mount(state, options=['allow_other', 'settle=20000'], env={'SHIELD_FAULTS': 'stop-reading:1'})
    stops.action = close
    pid = os.fork()
    if pid == 0:
        try:
            harness.become(harness.STRANGER)
            read_on()
        finally:
            os._exit(1)
    try:
        for i in range(max(ROUNDS // 3, 100)):
            put_over(listed, '1.1.1.1\n')
            state.chmod(0o755)
            assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
            other.unlink(missing_ok=True)
            os.link(listed, other)
            with lock:  # no event tells of it: so that he who opens it has it read
                other.write_text(f'2.2.2.{i}\n', encoding='ascii')
                armed = True
            wait_for(lambda: not armed or harness.has_ended(pid), 'a list to be read')
            assert not harness.has_ended(pid), f'he has read it in round {i}'
    finally:
        armed = False
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    state.chmod(0o755)


def test_writer_who_does_not_wait(stops, mount, state):
    """Who opens a list with O_NONBLOCK (truncate(1) does) fails while a lease is held: none is while its text is read."""
    listed, armed = bundles.container(state, 'c', deny=['1.1.1.1']) / 'deny.list', False

    def write():
        nonlocal armed
        if armed:
            os.close(os.open(listed, os.O_WRONLY | os.O_NONBLOCK))
            armed = False
    m = faulty(mount, 'stop-text:1', state)
    stops.action = write
    for _ in range(50):
        os.utime(listed)  # it has to be read
        armed = True
        assert (m.mnt / 'c/denied').read_bytes() == b'1.1.1.1\n'
        assert not armed and not stops.wrong


def names_in(directory, hidden=()):
    """The names in a directory, each of which can be looked at; None if there is no such directory, False if another has
    taken its place meanwhile."""
    try:
        names = set(os.listdir(directory)) - set(hidden)
        for name in names:
            os.stat(directory / name)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        return None if error.errno == errno.ENOENT else False
    return names


def test_names_that_come_and_go_at_a_moment(stops, mount, state):
    """Around the look by which a removal or an arrival is found: in the end every name can be used, though
    somebody has the one before it open."""
    rng = random.Random(SEED)
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    hooks, log, toggled = behind / 'hooks', behind / 'dnsmasq.log', [0]

    def toggle():
        if rng.random() < 0.3:
            log.unlink() if log.exists() else bundles.put(log, 'x\n')
        if rng.random() < 0.7:
            toggled[0] += 1
            if hooks.exists():
                bundles.remove(hooks)
            else:
                hooks.mkdir()
                bundles.put(hooks / 'a.json', '{}\n')
    print('seed', SEED)
    hooks.mkdir()
    m = faulty(mount, 'stop-comparison:1', state)
    for _ in range(ROUNDS):
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(FileNotFoundError):
                stack.enter_context(harness.opened(m.mnt / 'c/hooks', os.O_RDONLY))
            stops.action = toggle

            def done(before=toggled[0]):
                os.utime(behind / 'live.allowed')  # something to look at
                with contextlib.suppress(FileNotFoundError):
                    hooks.chmod(rng.choice((0o755, 0o555)))
                return toggled[0] >= before + 2
            wait_for(done, 'a removal and an arrival')
            stops.action = lambda: None
            wait_for(lambda: names_in(m.mnt / 'c/hooks') == names_in(hooks), 'hooks to be as behind')
            wait_for(lambda: names_in(m.mnt / 'c', harness.COMPUTED) == names_in(behind), 'all to be as behind')


@pytest.mark.parametrize('removed', haste.REMOVED)
def test_bundle_made_and_removed_before_the_watcher_looks(mount, base, removed):
    """What is new is not watched yet then, and its end makes no event."""
    m = faulty(mount, 'late', base / 'x/state')
    for _ in range(3):
        haste.make(base / 'x', removed)
        wait_for(lambda: watching.at_rest(m), 'all to be watched')
        haste.make_and_remove(m, base / 'x', removed, 5)


def test_structure_that_changes_at_a_moment(stops, mount, base):
    """Before a directory is watched, one on the way to it, or it itself, goes, comes, or is replaced: what happens
    from then on is told to watchers, and what is there is watched. Each time with a new server, as what has once
    been waited for is watched for good."""
    rng = random.Random(SEED)
    places = [base / 'x', base / 'x/a', base / 'x/a/containers', base / 'x/a/containers/c']
    behind, toggled, lock = places[-1], 0, threading.Lock()

    def go(place):
        os.rename(place, next(path for i in range(9) if not (path := place.with_name(f'+{place.name}-{i}')).exists()))

    def come(place):
        if others := list(place.parent.glob(f'+{place.name}-*')):
            os.rename(rng.choice(others), place)

    def all_come():
        for place in places:
            if not place.exists():
                come(place)

    def toggle():
        nonlocal toggled
        if rng.random() < 0.2:
            replace(0.2)
            toggled += 1
            stops.action = lambda: None

    def replace(probably):
        with lock:
            if chosen.exists():
                go(chosen)
            if rng.random() < probably:
                come(chosen)
    print('seed', SEED)
    for place in (*places, None):
        bundles.container(base / 'x/a', 'c', live=['1.1.1.1'])
        if place:
            go(place)
    for i in range(ROUNDS // 6):
        chosen = places[i % len(places)]
        all_come()
        m = watching.settled(faulty(mount, 'stop-watch:1', base / 'x/a'))
        stops.action = toggle

        def changed(before=toggled, m=m):
            if watching.at_rest(m):
                replace(1)
            return toggled > before
        wait_for(changed, 'something to change at such a moment')
        with Inotify() as inotify:
            inotify.add(m.mnt)
            known = {'c': 'c' in os.listdir(m.mnt)}

            def told(known=known, inotify=inotify):
                for _, mask, name in inotify.read():
                    known[name] = bool(mask & watching.CREATE) or known[name] and not mask & watching.DELETE
                return known['c'] == behind.exists()
            wait_for(told, f'all to be known (round {i})')
            for _ in range(2):
                all_come()
                wait_for(told, f'watchers to know what has come (round {i})')
                if behind.exists():
                    wait_for(lambda m=m: watching.at_rest(m), 'all of it')
                    bundles.put(behind / f'{i}', '')
                    wait_for(lambda m=m, i=i: f' {i}: node ' in m.log_path.read_text(), 'it to be watched')
                    (behind / f'{i}').unlink()
                if (place := rng.choice(places)).exists():
                    go(place)
                wait_for(told, f'watchers to know what is gone (round {i})')
        m.stop()
        m.kill()


@pytest.fixture
def two(state):
    """Two bundles."""
    for name in ('c', 'other'):
        versions.write_all(bundles.bundle(state / f'containers/{name}'), 1)
    return state / 'containers'


def in_background(path):
    return subprocess.Popen(['cat', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_held_opens_are_in_nobodys_way(mount, state, two):
    """Every open of a computed file is held: the rest is answered and announced as ever, and they are in the
    end."""
    m = watching.settled(faulty(mount, 'hold-open:1', state, settle=20))
    limit = harness.TIMEOUT / 6
    cats = [in_background(m.mnt / f'c/{name}') for name in ('effective', 'denied') for _ in range(10)]
    with Inotify() as inotify:
        inotify.add(m.mnt / 'other')
        inotify.add(m.mnt / 'c')
        for i in range(2, 6):
            for name in ('other', 'c'):
                versions.rewrite(two / name / 'deny.list', versions.whole('deny.list', i))
                wait_for(inotify.read, f'the change of {name} to be announced', limit)
            harness.run('ls', '-lR', m.mnt, timeout=limit)
            harness.run('cat', m.mnt / 'c/deny.list', m.mnt / '.shieldfs/status', timeout=limit)
        bundles.remove(two / 'other')
        wait_for(inotify.read, 'the removal to be announced', limit)
        holds_for(lambda: all(cat.poll() is None for cat in cats), 0.1, 'all are held')
    want = {versions.computed('effective', 1, 1, 5), versions.whole('deny.list', 5)}
    assert {cat.communicate(timeout=harness.TIMEOUT)[0] for cat in cats} == want
    assert all(cat.returncode == 0 for cat in cats)


@pytest.mark.parametrize('how', ['server', 'supervisor', 'TERM', 'unmount', 'reader'])
def test_death_while_opens_are_held(mount, state, two, how):
    """Whoever ends, the opens that are held end too."""
    m = watching.settled(faulty(mount, 'hold-open:1', state, settle=5 if how == 'reader' else SETTLE))
    cats = [in_background(m.mnt / 'c/effective') for _ in range(10)]
    holds_for(lambda: all(cat.poll() is None for cat in cats), 0.2, 'all are held')
    if how == 'reader':
        for cat in cats:
            cat.kill()
    elif how == 'unmount':
        harness.run('fusermount3', '-uz', m.mnt)
        m.process.send_signal(signal.SIGTERM)
    elif how == 'TERM':
        m.process.terminate()
    else:
        os.kill(m.process.pid if how == 'supervisor' else watching.children(m)[0], signal.SIGKILL)
    for cat in cats:
        cat.communicate(timeout=harness.TIMEOUT / 3)
        assert cat.returncode != 0
    if how == 'reader':
        assert (m.mnt / 'other/deny.list').read_bytes() == versions.whole('deny.list', 1)
        return
    wait_for(lambda: m.process.poll() is not None, 'shieldfs to end')
    if how == 'supervisor':
        with fails(errno.ENOTCONN):
            os.stat(m.mnt)
        harness.release(m.mnt)
    else:
        assert not any(m.mnt.iterdir()), 'not unmounted'
    m.kill()


@pytest.mark.parametrize('each', [2, 3, 5])
def test_failing_announcements(mount, state, each):
    """What could not be announced is announced again: the same events come as ever, once each."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'], live=['2.2.2.2'])
    m = watching.settled(faulty(mount, f'fail-announcement:{each}', state))
    with Watch(m.mnt, m.mnt / 'c') as watch:
        for i in range(6):
            bundles.put(behind / 'live.allowed', f'2.2.2.{i + 3}\n')
            watch.expect({f'c/{name}': CHANGED for name in ('live.allowed', 'allowed', 'effective')},
                         loose=['c/live.allowed'])
            (behind / 'audit.jsonl').touch()
            watch.expect({'c/audit.jsonl': ['CREATE', *CHANGED]})
            (behind / 'audit.jsonl').unlink()
            watch.expect({'c/audit.jsonl': ['DELETE']})


def test_all_announcements_fail(mount, state):
    """They are put off, and nothing else suffers."""
    behind = bundles.container(state, 'c', live=['2.2.2.2'])
    m = faulty(mount, 'fail-announcement:1', state)
    m.expect_log(r'(c|new-\d|.shieldfs)(/[a-z.]+)?: could not be announced: Input/output error')
    for i in range(5):
        (behind / 'live.allowed').write_text(f'2.2.2.{i + 3}\n')
        assert (m.mnt / 'c/effective').read_text() == f'2.2.2.{i + 3}\n'
        bundles.container(state, f'new-{i}', live=['3.3.3.3'])
        assert (m.mnt / f'new-{i}/effective').read_text() == '3.3.3.3\n'
        bundles.remove(state / f'containers/new-{i}')
        assert os.listdir(m.mnt) == ['.shieldfs', 'c']
    wait_for(lambda: any('c/live.allowed: ' in line for line in m.log_lines()), 'them to be put off')


def test_mount_that_is_taken_away_late(base, state, root):
    """A start that was about to clear a dead mount takes none that another has made there meanwhile."""
    place = base / 'mnt'
    place.mkdir()
    try:
        harness.run(harness.SHIELDFS, state, place)
        pids = harness.servers(place)
        for how in (signal.SIGSTOP, signal.SIGKILL):  # so that none of them is left to clear it
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
        wait_for(lambda: harness.is_dead(place), 'the mount to be dead')
        first = subprocess.Popen([harness.SHIELDFS, state, place], stderr=subprocess.PIPE, text=True,
                                 env=dict(os.environ, SHIELD_FAULTS='stop-detach:1'))
        wait_for(lambda: has_stopped(first.pid), 'the first start to stop')
        assert harness.run(harness.SHIELDFS, state, place, ok=False).returncode == 0
        first.send_signal(signal.SIGCONT)
        assert 'already mounted here' in first.communicate(timeout=harness.TIMEOUT)[1]
        assert first.returncode == 1
        assert (place / '.shieldfs/version').read_bytes()
    finally:
        harness.release(place)


def test_covered_without_openat2(root, mount, base):
    """What is mounted over a bundle is seen to be another mount's by going name by name, too."""
    bundle = bundles.container(base / 'state', 'c', live=['1.1.1.1'])
    other = bundles.container(base / 'state', 'other', live=['2.2.2.2'])
    m = watching.settled(faulty(mount, 'openat2', base / 'state'))
    for _ in range(2):
        harness.run('mount', '--bind', other, bundle)
        try:
            wait_for(lambda: os.listdir(m.mnt) == ['.shieldfs', 'other'], 'the bundle to be gone')
            assert m.status()['problem'] == ['c: something is mounted over it: not entered']
        finally:
            harness.unmount(bundle, 'umount')
        wait_for(lambda: 'c' in os.listdir(m.mnt), 'the bundle to be back')


def test_start_that_takes_long(mount, state, two):
    """What was there at the start is read later: it can be used at once, has no event that is none, and what changes
    before that is announced then."""
    bundles.put(two / 'c/goes', 'x')
    bundles.put(two / 'c/stays', 'x')
    m = faulty(mount, 'unread', state)
    c = m.mnt / 'c'
    assert m.status()['complete'] == ['no']
    assert (c / 'effective').read_bytes() == versions.computed('effective', 1, 1, 1)
    assert sorted(os.listdir(m.mnt / 'other')) == sorted([*harness.COMPUTED, *os.listdir(two / 'other')])
    os.stat(c / 'goes')
    with Watch(m.mnt, m.mnt, c, m.mnt / 'other') as watch:
        versions.rewrite(two / 'c/deny.list', versions.whole('deny.list', 2))
        assert (c / 'denied').read_bytes() == versions.computed('denied', 1, 1, 2)
        (two / 'c/goes').unlink()
        bundles.container(state, 'new', live=['1.1.1.1'])  # that is seen to come
        wait_for(lambda: ('new', 'CREATE,ISDIR') in watch.poll(), 'it to be told')
        assert m.status()['complete'] == ['no']
        m.process.send_signal(signal.SIGHUP)
        wait_for(lambda: m.status()['complete'] == ['yes'], 'all to be read')
        changed = {f'c/{name}': CHANGED for name in ('deny.list', 'denied', 'effective')}
        watch.expect({**changed, 'c/goes': ['DELETE'], 'new': ['CREATE,ISDIR']}, loose=['c/deny.list'])


def test_forbidden_calls(mount, state):
    """A call that is not on the list fails with EPERM, and is one line in the log, whichever process makes it; what
    Landlock takes away fails with EACCES. All goes on."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'])
    m = watching.settled(faulty(mount, 'forbidden', state))
    said = re.findall('^shieldfs: debug: forbidden: (.*)$', m.log_path.read_text(), re.M)
    filtered, landlock = confined.FILTERED, confined.LANDLOCK_VERSION > 0
    files = 'EACCES' if landlock else 'done'
    call = 'EPERM' if filtered else 'done'
    assert said == [f'getpriority {call}, openat {call if filtered else files}, openat2 {files}, F_SETOWN {call}',
                    f'getpriority {call}, openat {files}, openat2 {files}, F_SETOWN {call}']
    lines = [f'{m.mnt}: the {who} was refused the system call {name}'
             for who, names in (('server', ['getpriority', 'openat', 'fcntl']), ('announcer', ['getpriority', 'fcntl']))
             for name in names] if filtered else []
    wait_for(lambda: len(m.log_lines()) >= len(lines), 'the lines')
    assert sorted(m.take_log()) == sorted(lines)
    with Watch(m.mnt, m.mnt / 'c/effective') as watch:
        bundles.put(behind / 'live.allowed', '2.2.2.2\n')
        watch.expect({'c/effective': CHANGED})
    assert (m.mnt / 'c/effective').read_text() == '2.2.2.2\n'


def stopped_when_mounted(base, state, manager):
    """A service whose server has mounted, and has not said so."""
    s = service.Service(base, state, address=manager.address, env={'SHIELD_FAULTS': 'stop-mounted'})
    wait_for(lambda: any(map(has_stopped, harness.servers(s.mnt))), 'the server to stop')
    return s, *filter(has_stopped, harness.servers(s.mnt))


def test_ready_when_it_answers(base, state):
    """A mount alone is not enough for the service manager."""
    manager = service.Manager(base)
    s, server = stopped_when_mounted(base, state, manager)
    with s:
        holds_for(lambda: not manager.hear(), 0.2, 'nothing to be told')
        assert os.fspath(s.mnt) in harness.mounts()
        os.kill(server, signal.SIGCONT)
        manager.wait('READY=1')
        s.end()


def test_not_ready_if_it_does_not_answer(base, state, root):
    """Covered by another mount in that moment: the start fails."""
    manager = service.Manager(base)
    s, server = stopped_when_mounted(base, state, manager)
    with s:
        harness.system_mount('none', s.mnt, 'tmpfs', 0)
        os.kill(server, signal.SIGCONT)
        assert s.process.wait(harness.TIMEOUT) == 1
        harness.unmount(s.mnt, 'umount')
        assert 'mounted, but it does not answer: No such file or directory' in s.log.read_text()
        assert 'READY=1' not in manager.hear() and 'STATUS=failed: the log says why' in manager.lines


MANY = 150  # names that come and go, where 100 are too many
CROWDED = '{}: names come and go faster than watchers can be told: list it to know what is there'


@pytest.fixture
def m(mount, state):
    bundles.container(state, 'busy', live=['1.1.1.1'])
    bundles.container(state, 'other', files={'audit.jsonl': '{}\n'})
    return watching.settled(faulty(mount, 'crowd', state))


@undisturbed
def test_too_many_names(m, state):
    """Names of a container: some are left out; what comes then is told, and in its turn so is another's."""
    counted, behind, last = Counted(m), state / 'containers/busy', f'last-{time.monotonic_ns()}'
    left_out = counted('changes_left_out_total')
    with Inotify() as inotify:
        watched = inotify.add(m.mnt / 'busy')
        with busy_announcer(m, state / 'containers/other/audit.jsonl'):
            for i in range(MANY):
                bundles.put(behind / f'{i}', '')
            assert len(os.listdir(m.mnt / 'busy')) > MANY
            for i in range(MANY):
                (behind / f'{i}').unlink()
            assert len(os.listdir(m.mnt / 'busy')) < MANY
            wait_for(lambda: counted('changes_left_out_total') > left_out, 'some to be left out')
            wait_for(lambda: counted('queue_length') < MANY, 'what nobody waits for to be forgotten')
        wait_for(lambda: Counted(m)('queue_length') == 0, 'all to be announced')
        bundles.put(behind / last, '')
        came, went = ghosts.names_told(inotify, watched)
        wait_for(lambda: last in came or came.extend(ghosts.names_told(inotify, watched)[0]), 'the last')
        assert sorted(came) == sorted([*went, last]) and 50 < len(went) < MANY
    m.expect_log(CROWDED.format('busy'))
    assert sum('faster than' in line for line in m.log_lines()) <= counted('announcer_restarts_total') + 1


@undisturbed
def test_too_many_containers(m, state):
    """So it is with containers."""
    counted = Counted(m)
    before, left_out = ghosts.told(m), counted('changes_left_out_total')
    with busy_announcer(m, state / 'containers/other/audit.jsonl'):
        for i in range(MANY):
            (state / f'containers/c{i}').mkdir()
        assert len(os.listdir(m.mnt)) > MANY
        for i in range(MANY):
            (state / f'containers/c{i}').rmdir()
        assert len(os.listdir(m.mnt)) < MANY
        wait_for(lambda: counted('changes_left_out_total') > left_out, 'some to be left out')
    wait_for(lambda: Counted(m)('queue_length') == 0, 'all to be announced')
    now = ghosts.told(m)
    assert now['create_directory'] - before['create_directory'] == now['delete_directory'] - before['delete_directory']
    assert 50 < now['delete_directory'] - before['delete_directory'] < MANY
    m.expect_log(CROWDED.format('/'))
