# SPDX-License-Identifier: Apache-2.0
"""Other users on a view with allow_other. What each may do behind the view the kernel says, asked as that user, and
the view says the same; while somebody swaps names, directories and permissions, nobody is given what he may not
read."""

import contextlib
import errno
import os
import random
import select
import signal
import struct

import bundles
import harness
import pytest
import reference
from harness import NOBODY, fails

pytestmark = pytest.mark.usefixtures('root')

SEED = int(os.environ.get('SHIELD_SEED') or random.SystemRandom().randrange(2**32))
ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 1500)
ALICE, BOB, CAROL = 4001, 4002, 4003
STAFF, GUESTS = 5001, 5002
USERS = {ALICE: (STAFF,), BOB: (GUESTS,), CAROL: (STAFF, GUESTS)}
RAW = ('deny.list', 'audit.jsonl', 'dns.tier', 'hooks/terok-shield-poststop.json')


def become(uid):
    os.setgroups(USERS[uid])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def each_user(function):
    """FUNCTION(uid) as each of the users, one after the other."""
    for uid in USERS:
        harness.in_child(lambda uid=uid: function(uid), lambda uid=uid: become(uid))


def can(act, *args):
    try:
        act(*args)
        return True
    except PermissionError:
        return False


def read(path):
    with harness.opened(path) as fd:
        return harness.read_fd(fd)


def own(top, uid, gid, rng=None, modes=(0o755,), files=(0o644,)):
    """Give all below TOP to UID and GID; with modes that RNG draws."""
    for path in [top, *top.rglob('*')]:
        os.chown(path, uid, gid)
        if rng:
            path.chmod(rng.choice(modes if path.is_dir() else files))


def compare(m, places):
    """What this user sees of PLACES {name in the view: directory} is what he may see behind. Returns how much that is."""
    seen = 0
    told = os.listdir(m.mnt)
    for name, behind in places.items():
        shown = m.mnt / name
        lists = can(os.listdir, behind)
        assert can(os.listdir, shown) == lists, (name, lists)
        searches = can(os.stat, behind / 'deny.list')
        holders = [p for p in behind.parents if 'containers' in p.parts or 'tasks' in p.parts]
        assert (name in told) == (searches or all(can(os.listdir, p) for p in holders)), (name, told)
        for raw in RAW:
            assert can(read, shown / raw) == can(read, behind / raw), (name, raw)
        for computed in harness.COMPUTED:
            may = searches and all(can(read, behind / source) for source in reference.SOURCES[computed])
            assert can(read, shown / computed) == may, (name, computed, may)
            if may:
                assert read(shown / computed) == reference.render(behind, computed)
                assert os.stat(shown / computed).st_size == len(read(shown / computed))
            elif searches:
                assert os.stat(shown / computed).st_size == 0, (name, computed)
            seen += may
    return seen


def test_who_may_read_behind_may_read(mount, state):
    """Neither more nor less, wherever the classes of users can be told from each other: the directories are of one
    owner and group, or for everyone; the lists are of one owner and group, be it others."""
    rng = random.Random(SEED)
    places = {}
    for i in range(30):
        uid, gid = rng.choice(list(USERS)), rng.choice((STAFF, GUESTS))
        name, behind = f'c{i}', state / f'containers/c{i}'
        if i % 3 == 0:
            name, behind = f'p{i}.{i}', state / f'tasks/p{i}/{i}/shield'
        bundles.full(behind)
        if i % 2:
            own(behind, uid, gid, rng, (0o755, 0o750, 0o711, 0o710, 0o700, 0o705), (0o644, 0o640, 0o604, 0o600, 0o440))
        else:
            own(behind, uid, gid, rng, files=(0o644, 0o640, 0o604, 0o600, 0o440))
            for path in (behind, behind / 'hooks'):
                os.chown(path, *rng.choice(((0, 0), (BOB, STAFF), (ALICE, GUESTS))))
                path.chmod(rng.choice((0o755, 0o711)))
        if i % 3 == 0:
            behind.parent.chmod(rng.choice((0o755, 0o711, 0o700)))
        places[name] = behind
    m = mount(state, options=['allow_other'])
    counted = state.parent / 'counted'
    counted.mkdir(mode=0o777)
    counted.chmod(0o777)
    each_user(lambda uid: (counted / f'{uid}.{compare(m, places)}').touch())
    assert sum(int(name.split('.')[1]) for name in os.listdir(counted)) > 20, 'hardly anything could be read'
    assert set(os.listdir(m.mnt)) == {'.shieldfs', *places}


def test_one_users_directory_is_nobody_elses_lock(mount, state):
    """Who closes his own task closes it for others, and nothing else."""
    bundles.full(state / 'containers/c')
    behind = bundles.full(state / 'tasks/alice/1/shield')
    own(state / 'tasks/alice', ALICE, ALICE)
    m = mount(state, options=['allow_other'])
    root = os.stat(m.mnt)

    def others(uid):
        assert can(read, m.mnt / 'c/effective') and can(os.listdir, m.mnt)
        assert can(read, m.mnt / 'alice.1/effective') == (uid == ALICE or not closed)
        assert ('alice.1' in os.listdir(m.mnt)) == (uid == ALICE or not closed)
        with fails(errno.EACCES) if closed and uid != ALICE else contextlib.nullcontext():
            os.stat(m.mnt / 'alice.1')
    for place in (behind, behind.parent, behind.parent.parent):
        closed = place != behind  # a directory that may be listed tells of what is in it
        if closed:
            place.chmod(0o700)
            each_user(others)
            assert os.stat(m.mnt).st_mode == root.st_mode == 0o40755
            place.chmod(0o755)
        closed = False
        each_user(others)


@pytest.mark.parametrize('level', ['one/two', 'one', 'one/two/state', 'one/two/state/containers',
                                   'one/two/state/containers/c'])
def test_above_a_bundle(mount, base, level):
    """A directory on the way that is closed while the view is there, and opened again."""
    bundles.full(base / 'one/two/state/containers/c')
    m = mount(base / 'one/two/state', options=['allow_other'])
    for mode in (0o755, 0o700, 0o711, 0o700, 0o755):
        (base / level).chmod(mode)

        def others(_uid, opens=mode != 0o700, lists=mode == 0o755, itself=level.endswith('c')):
            assert can(read, m.mnt / 'c/effective') == can(read, m.mnt / 'c/audit.jsonl') == opens
            assert can(os.listdir, m.mnt / 'c') == (lists if itself else opens)
            assert ('c' in os.listdir(m.mnt)) == (opens or itself)
        for _ in range(2):  # what is remembered, too
            each_user(others)


def test_where_nobody_may_list(mount, state):
    """Of what lies where he may not list, the root lists to each what he may search, and no more once it is closed."""
    behind = bundles.full(state / 'containers/c')
    (state / 'containers').chmod(0o711)
    m = mount(state, options=['allow_other'])
    for mode in (0o755, 0o700, 0o711, 0o700, 0o755):
        behind.chmod(mode)

        def others(_uid, opens=mode != 0o700):
            assert os.listdir(m.mnt) == ['.shieldfs', *['c'] * opens]
        for _ in range(2):
            each_user(others)
        assert os.listdir(m.mnt) == ['.shieldfs', 'c']


def acl(*entries):
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


def test_access_lists(mount, state):
    """Users and groups whom an ACL names are let in by the judgement, and never beyond it."""
    behind = bundles.full(state / 'containers/c')
    none = 0xffffffff
    os.setxattr(behind / 'audit.jsonl', 'system.posix_acl_access',
                acl((1, 6, none), (2, 0, BOB), (4, 4, none), (16, 4, none), (32, 4, none)))
    os.setxattr(behind / 'deny.list', 'system.posix_acl_access',
                acl((1, 6, none), (4, 4, none), (8, 0, GUESTS), (16, 4, none), (32, 4, none)))
    m = mount(state, options=['allow_other'])

    def user(_uid):
        for name in ('audit.jsonl', 'deny.list'):
            assert can(read, behind / name) or not can(read, m.mnt / 'c' / name)
        assert can(read, behind / 'deny.list') or not can(read, m.mnt / 'c/effective')
        assert can(read, m.mnt / 'c/allowed')
    each_user(user)


def test_size_and_time_tell_nothing(mount, state):
    """Of a list that he may not read, a user learns nothing by what a computed file's size and time become."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'], live=['2.2.2.2'], deny=['3.3.3.3'])
    (behind / 'deny.list').chmod(0o600)
    m = mount(state, options=['allow_other'])
    path = m.mnt / 'c/effective'

    def look(_uid):
        info = os.stat(path)
        assert (info.st_size, info.st_blocks) == (0, 0)
        assert info.st_mtime_ns == info.st_ctime_ns == info.st_atime_ns == latest
    for live in ('2.2.2.2', '3.3.3.3', '4.4.4.4', '3.3.3.3'):  # denied or not: it must look the same
        bundles.put(behind / 'live.allowed', f'{live}\n')
        for name in bundles.LISTS:
            os.utime(behind / name, ns=(10**18, 10**18))
        latest = 10**18
        want = reference.render(behind, 'effective')
        assert read(path) == want and os.stat(path).st_size == len(want)
        each_user(look)


def test_root_of_a_namespace(mount, state):
    """Is root to the kernel, and may read nobody's files but his own."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    os.chown(state / 'containers/c/live.allowed', ALICE, ALICE)
    (state / 'containers/c/live.allowed').chmod(0o600)
    m = mount(state, options=['allow_other'])

    def leave():
        assert harness.libc.unshare(0x10000000) == 0  # CLONE_NEWUSER
        for path, text in ('setgroups', 'deny'), ('uid_map', '0 0 1'), ('gid_map', '0 0 1'):
            with harness.opened(f'/proc/self/{path}', os.O_WRONLY) as fd:
                os.write(fd, text.encode())

    def renew():
        with harness.opened(m.mnt / 'c/effective') as fd:
            assert harness.read_fd(fd) == b'1.1.1.1\n'
            select.select([], [], [fd], 0)
            leave()
            with fails(errno.EACCES):
                read(state / 'containers/c/live.allowed')
            with fails(errno.EACCES):
                os.pread(fd, 99, 0)
    harness.in_child(renew, lambda: None)


def test_descriptors_are_judged_again(mount, state):
    """A polled descriptor is given nothing newer, and an open directory is not listed again, once that is closed; both
    are when it is open again. What a descriptor has it keeps."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1'])
    m = mount(state, options=['allow_other'])
    go, done = os.pipe(), os.pipe()

    def step():
        os.write(done[1], b'.')
        assert os.read(go[0], 1) == b'.'

    def user():
        fd, silent = (os.open(m.mnt / 'c/effective', os.O_RDONLY) for _ in range(2))
        directory = os.open(m.mnt / 'c', os.O_RDONLY)
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        assert poll.poll(0) == []
        assert os.pread(fd, 99, 0) == b'1.1.1.1\n' and 'effective' in os.listdir(directory)
        step()  # the list is closed, and another
        assert poll.poll(harness.TIMEOUT * 1000)
        with fails(errno.EACCES):
            os.pread(fd, 99, 0)
        assert poll.poll(0) == [] and os.pread(silent, 99, 0) == b'1.1.1.1\n'
        step()  # it is another again: no news to him
        assert poll.poll(0) == []
        step()  # it is open, and the directory closed to be listed
        assert poll.poll(harness.TIMEOUT * 1000)
        assert os.pread(fd, 99, 0) == b'3.3.3.3\n'
        with fails(errno.EACCES):
            os.listdir(directory)
        step()
        assert 'effective' in os.listdir(directory)
        for open_fd in (fd, silent, directory):
            os.close(open_fd)
        step()

    def put(text, mode):
        bundles.put(behind / 'new', text).chmod(mode)
        os.rename(behind / 'new', behind / 'profile.allowed')

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            become(ALICE)
            user()
            code = 0
        finally:
            os._exit(code)
    for act in (lambda: put('2.2.2.2\n', 0o600), lambda: put('4.4.4.4\n', 0o600),
                lambda: (put('3.3.3.3\n', 0o644), behind.chmod(0o711)), lambda: behind.chmod(0o755), lambda: None):
        ready = select.select([done[0]], [], [], harness.TIMEOUT)[0]
        assert ready and os.waitpid(pid, os.WNOHANG) == (0, 0), 'it has ended'
        os.read(done[0], 1)
        act()
        os.write(go[1], b'.')
    assert os.waitpid(pid, 0)[1] == 0
    for fd in (*go, *done):
        os.close(fd)


@contextlib.contextmanager
def swapping(*acts):
    """Each of ACTS, again and again with short rests, in a process of its own."""
    pids = []
    try:
        for act in acts:
            pids.append(os.fork())
            if pids[-1] == 0:
                rests = random.Random(SEED + len(pids))
                try:
                    while True:
                        act()
                        select.select([], [], [], rests.random() ** 4 / 100)
                finally:
                    os._exit(1)
        yield
        assert all(os.waitpid(pid, os.WNOHANG) == (0, 0) for pid in pids), 'one has stopped swapping'
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


SECRET = b'203.0.113.99'
GONE = (errno.EACCES, errno.ENOENT, errno.ESTALE, errno.EBUSY, errno.ENOTDIR, errno.ENFILE)


def hunting_ground(state, keeper):
    """Things of KEEPER's that nobody else may read or list, beside others that everybody may."""
    places = [bundles.full(state / 'containers' / name) for name in ('files', 'lists', 'hooked', 'open', 'shut')]
    places += [bundles.full(state / 'tasks/p' / name / 'shield') for name in ('1', '2')]
    own(state, keeper, keeper)
    files, lists, hooked, _, shut, task, other = places
    for path in (files / 'secret', lists / 'secret', hooked / 'shut/secret.json'):
        path.parent.mkdir(exist_ok=True)
        bundles.put(path, SECRET + b'\n').chmod(0o600)
        os.chown(path, keeper, keeper)
    (hooked / 'shut/terok-shield-poststop.json').write_bytes(SECRET)
    (hooked / 'shut').chmod(0o700)
    for place in (shut, other):
        for path in place.iterdir():
            if path.is_file():
                path.write_bytes(SECRET + b'\n')
        (place / 'hooks/secret.json').touch()
    shut.chmod(0o700)
    other.parent.chmod(0o700)
    bundles.put(files / 'public', 'public\n')
    return places


def swaps(state):
    """What goes on meanwhile."""
    containers, tasks = state / 'containers', state / 'tasks/p'
    written = containers / 'files/live.allowed'

    def rewrite():
        written.chmod(0o600)
        written.write_bytes(SECRET + b'\n')
        written.write_bytes(b'192.0.2.77\n')
        written.chmod(0o644)

    def close():
        (containers / 'lists').chmod(0o700)
        (containers / 'lists').chmod(0o755)
    return (lambda: harness.exchange(containers / 'files/public', containers / 'files/secret'),
            lambda: harness.exchange(containers / 'lists/live.allowed', containers / 'lists/secret'),
            lambda: harness.exchange(containers / 'hooked/hooks', containers / 'hooked/shut'),
            lambda: harness.exchange(containers / 'open', containers / 'shut'),
            lambda: harness.exchange(tasks / '1', tasks / '2'),
            rewrite, close)


def hunt(m, rounds, rng):
    """Tries what there is to try; a name or byte of what nobody else may know fails. Returns how many were let in."""
    files = ('files/public', 'files/secret', 'files/effective', 'files/allowed', 'lists/live.allowed', 'lists/allowed',
             'lists/effective', 'hooked/hooks/terok-shield-poststop.json', 'hooked/hooks/secret.json',
             'open/effective', 'open/audit.jsonl', 'shut/effective', 'p.1/effective', 'p.1/deny.list', 'p.2/allowed')
    directories = ('hooked/hooks', 'open', 'shut', 'p.1/hooks', 'p.2/hooks', 'open/hooks')
    let_in = 0
    held = []
    for i in range(rounds):
        try:
            if i % 8 == 0:
                path = m.mnt / rng.choice(directories)
                names = os.listdir(path)
                assert 'secret.json' not in names, f'{path} listed to {os.getuid()}: {names}'
            elif i % 8 == 1 and held:
                fd, path = rng.choice(held)
                if select.select([], [], [fd], 0)[2] or rng.random() < 0.5:
                    assert SECRET not in os.pread(fd, 9999, 0), f'{path} renewed for {os.getuid()}'
            elif i % 8 == 2:
                path = m.mnt / rng.choice(('lists/allowed', 'files/effective', 'open/effective'))
                fd = os.open(path, os.O_RDONLY)
                held.append((fd, path))
                select.select([], [], [fd], 0)
                if len(held) > 8:
                    os.close(held.pop(0)[0])
            else:
                path = m.mnt / rng.choice(files)
                assert SECRET not in read(path), f'{path} read by {os.getuid()}'
            let_in += 1
        except OSError as error:
            assert error.errno in GONE, f'{path}: {error}'
    for fd, _ in held:
        os.close(fd)
    return let_in


def hunt_all(m, state):
    """As all the users at once."""
    rounds = max(ROUNDS // len(USERS), 1)
    readers = {}
    with swapping(*swaps(state)):
        for uid in USERS:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                said = b'failed'
                try:
                    become(uid)
                    said = b'%d' % hunt(m, rounds, random.Random(SEED + uid))
                except BaseException as error:
                    said = f'{type(error).__name__}: {error}'.encode()
                finally:
                    os.write(writer, said)
                    os._exit(0)
            os.close(writer)
            readers[pid] = reader
        said = []
        for pid, reader in readers.items():
            said.append(harness.read_fd(reader).decode())
            os.close(reader)
            os.waitpid(pid, 0)
    assert all(s.isdigit() for s in said), said
    assert sum(map(int, said)) > rounds // 50, f'hardly anybody was let in: {said}'


def calm(m, state):
    """When it is over, all is as behind."""
    exchange_back = [('hooked/hooks/secret.json', 'hooked/hooks', 'hooked/shut'), ('shut/hooks/secret.json', None, None)]
    containers = state / 'containers'
    for probe, one, other in exchange_back:
        if one and (containers / probe).exists():
            harness.exchange(containers / one, containers / other)
    places = {name: containers / name for name in ('files', 'lists', 'hooked', 'open', 'shut')}
    places.update({f'p.{n}': state / f'tasks/p/{n}/shield' for n in (1, 2)})
    (containers / 'lists').chmod(0o755)
    (containers / 'files/live.allowed').chmod(0o644)
    each_user(lambda _uid: compare(m, places))


def test_while_somebody_swaps(mount, state):
    """Over the state of others, as root."""
    hunting_ground(state, 0)
    m = mount(state, options=['allow_other'])
    m.patterns[r'.+'] = 1
    hunt_all(m, state)
    calm(m, state)


def test_while_somebody_swaps_a_users(base, state, exe):
    """As a plain user over what is his own."""
    hunting_ground(state, NOBODY)
    conf = bundles.put(base / 'fuse.conf', 'user_allow_other\n')
    place = base / 'own'
    place.mkdir()
    for path in (base, place, state):
        os.chown(path, NOBODY, NOBODY)

    def body():
        m = harness.Mount(place, [state], exe=exe, options=['allow_other'])
        m.argv = ['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', *m.argv]
        m.patterns[r'.+'] = 1
        m.mnt.mkdir()
        os.chown(m.mnt, NOBODY, NOBODY)
        try:
            m.start()
            hunt_all(m, state)
            calm(m, state)
            m.stop()
        finally:
            m.kill()
    harness.in_namespace(body, prepare=lambda: harness.system_mount(conf, '/etc/fuse.conf', None, 0x1000))
