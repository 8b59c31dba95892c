# SPDX-License-Identifier: Apache-2.0
"""The event table as golden sequences: what inotifywait prints for each kind of change, on a file, on its
directory and recursively, and that nothing else is printed; and readers, who cause none."""

import os
import signal

import bundles
import harness
import pytest
import watching
from harness import opened, wait_for
from watching import CHANGED, GONE, NEW, Watch

LISTED = {'profile': ['1.1.1.1', '2.2.2.2'], 'live': ['3.3.3.3'], 'deny': ['2.2.2.2', '9.9.9.9']}
STATUS = '.shieldfs/status'


def make(state, name='c'):
    return bundles.container(state, name, {
        'profile.domains': 'a.org\nb.org\n', 'denied.domains': 'b.org\n', 'audit.jsonl': '{}\n', 'empty': '',
    }, **LISTED)


def append(path, text):
    with opened(path, os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, text.encode())


def put_over(path, text, mode=0o644):
    """As careful writers do; the new file comes from another directory."""
    other = path.parents[2] / 'other'
    bundles.put(other, text)
    other.chmod(mode)
    os.rename(other, path)


def touch_nothing(path):
    with opened(path, os.O_WRONLY | os.O_APPEND):
        pass


# what is done to the bundle b; what that is for the container c, {name: [EVENT, …]}; names that are written in
# steps, so that they may be announced twice
CASES = {
    'append-to-list': (lambda b: append(b / 'live.allowed', '4.4.4.4\n'),
                       {'live.allowed': CHANGED, 'allowed': CHANGED, 'effective': CHANGED}, ()),
    'append-to-log': (lambda b: append(b / 'audit.jsonl', '{"a":1}\n'), {'audit.jsonl': CHANGED}, ()),
    'append-what-is-denied': (lambda b: append(b / 'live.allowed', '9.9.9.9\n'),
                              {'live.allowed': CHANGED, 'allowed': CHANGED}, ()),
    'append-what-is-known': (lambda b: append(b / 'live.allowed', '1.1.1.1\n'), {'live.allowed': CHANGED}, ()),
    'append-domain': (lambda b: append(b / 'profile.domains', 'c.org\n'),
                      {'profile.domains': CHANGED, 'effective.domains': CHANGED}, ()),
    'rewrite': (lambda b: bundles.put(b / 'deny.list', '3.3.3.3\n'),
                {'deny.list': CHANGED, 'denied': CHANGED, 'effective': CHANGED}, ('deny.list',)),
    'rewrite-same': (lambda b: bundles.put(b / 'deny.list', (b / 'deny.list').read_bytes()),
                     {'deny.list': CHANGED}, ('deny.list',)),
    'write-same-in-place': (lambda b: open(b / 'deny.list', 'r+b').write((b / 'deny.list').read_bytes()),
                            {'deny.list': CHANGED}, ()),
    'truncate': (lambda b: os.truncate(b / 'live.allowed', 0),
                 {'live.allowed': CHANGED, 'allowed': CHANGED, 'effective': CHANGED}, ()),
    'rename-over': (lambda b: put_over(b / 'live.allowed', '5.5.5.5\n'),
                    {'live.allowed': CHANGED, 'allowed': CHANGED, 'effective': CHANGED}, ()),
    'rename-over-same': (lambda b: put_over(b / 'live.allowed', '3.3.3.3\n'), {'live.allowed': CHANGED}, ()),
    'rename-over-log': (lambda b: put_over(b / 'audit.jsonl', 'x\n'), {'audit.jsonl': CHANGED}, ()),
    'new-raw': (lambda b: put_over(b / 'gateway', '10.0.2.2\n'), {'gateway': NEW}, ()),
    'new-raw-written': (lambda b: bundles.put(b / 'gateway', '10.0.2.2\n'), {'gateway': NEW}, ('gateway',)),
    'new-list': (lambda b: put_over(b / 'live.domains', 'd.org\n'),
                 {'live.domains': NEW, 'effective.domains': CHANGED}, ()),
    'link-in': (lambda b: os.link(b / 'audit.jsonl', b / 'linked'), {'linked': NEW}, ()),
    'remove-raw': (lambda b: os.unlink(b / 'audit.jsonl'), {'audit.jsonl': ['DELETE']}, ()),
    'remove-list': (lambda b: os.unlink(b / 'deny.list'),
                    {'deny.list': ['DELETE'], 'denied': CHANGED, 'effective': CHANGED}, ()),
    'rename': (lambda b: os.rename(b / 'audit.jsonl', b / 'old.jsonl'),
               {'audit.jsonl': ['DELETE'], 'old.jsonl': NEW}, ()),
    'rename-list': (lambda b: os.rename(b / 'deny.list', b / 'deny.old'),
                    {'deny.list': ['DELETE'], 'deny.old': NEW, 'denied': CHANGED, 'effective': CHANGED}, ()),
    'chmod-not-shown': (lambda b: os.chmod(b / 'audit.jsonl', 0o600), {}, ()),
    'chmod': (lambda b: os.chmod(b / 'audit.jsonl', 0o200), {'audit.jsonl': ['ATTRIB']}, ()),
    'rename-over-with-mode': (lambda b: put_over(b / 'audit.jsonl', 'x\n', 0o200),
                              {'audit.jsonl': [*CHANGED, 'ATTRIB']}, ()),
    'chmod-list': (lambda b: os.chmod(b / 'deny.list', 0),
                   {'deny.list': ['ATTRIB'], 'denied': ['ATTRIB'], 'effective': ['ATTRIB']}, ()),
    'touch': (lambda b: os.utime(b / 'audit.jsonl'), {}, ()),
    'touch-list': (lambda b: os.utime(b / 'deny.list', (1000, 1000)), {}, ()),
    'open-for-writing': (lambda b: touch_nothing(b / 'deny.list'), {}, ()),
    'hidden-name': (lambda b: put_over(b / 'effective', 'x\n'), {}, ()),
    'directory-not-shown': (lambda b: os.mkdir(b / 'hooks.d'), {}, ()),
}


@pytest.fixture
def mount(mount):
    """A mount whose first events are over."""
    return lambda *args, **kw: watching.settled(mount(*args, **kw))


class Watches:
    """A recursive watch of the mount, one of the container c, and one of all the files in c."""

    def __init__(self, m, name='c'):
        self.m, self.name, place = m, name, m.mnt / name
        self.files = [p for p in sorted(place.iterdir()) if not p.is_dir()]
        self.names = {p.name for p in self.files}
        self.all = (Watch(m.mnt, m.mnt, recursive=True), Watch(m.mnt, place), Watch(m.mnt, *self.files))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for watch in self.all:
            watch.__exit__()

    def expect(self, want, loose=(), elsewhere=None):
        """WANT for c, and what is said ELSEWHERE in the view."""
        inside = {f'{self.name}/{name}': events for name, events in want.items()}
        loose = [f'{self.name}/{name}' for name in loose]
        of_files = {}
        for path, events in inside.items():
            if path.split('/', 1)[1] in self.names and 'CREATE' not in events[0]:
                of_files[path] = [e for event in events for e in (GONE if event == 'DELETE' else [event])]
        near = {path: [e for e in events if e != 'DELETE_SELF'] for path, events in inside.items()
                if path.count('/') == 1}
        self.all[0].expect({**inside, **(elsewhere or {})}, loose, rest=self.m)
        self.all[1].expect(near, loose, quiet=0)
        self.all[2].expect(of_files, loose, quiet=0)


FOR_ROOT = {'chmod-list'}  # it makes the list one that a plain user can't read


@pytest.mark.parametrize('case', [pytest.param(c, marks=[pytest.mark.root] if c in FOR_ROOT else []) for c in CASES])
def test_a_change(mount, state, case):
    change, want, loose = CASES[case]
    behind = make(state)
    make(state, 'still')
    m = mount(state)
    numbers = {name: os.stat(m.mnt / 'c' / name).st_ino for name in os.listdir(m.mnt / 'c')}
    elsewhere = {STATUS: CHANGED} if case == 'directory-not-shown' else {}
    with Watches(m) as watches:
        change(behind)
        watches.expect(want, loose, elsewhere)
        for name, events in want.items():
            if name in numbers and 'DELETE' not in events:
                assert os.stat(m.mnt / 'c' / name).st_ino == numbers[name]
        watches.expect({})


def test_what_a_directory_passes_on(root, mount, state):
    """With allow_other a computed file's owner is that of its lists, and a bundle that is closed closes all in it."""
    behind = make(state)
    m = mount(state, options=['allow_other'])
    for change in (lambda: [os.chown(behind / name, harness.NOBODY, -1) for name in ('profile.allowed', 'live.allowed', 'deny.list')],
                   lambda: os.chmod(behind, 0o700), lambda: os.chmod(behind, 0o755)):
        with watching.Inotify() as inotify:
            paths = {inotify.add(m.mnt / 'c' / name): name for name in ('effective', 'denied')}
            before = {name: os.stat(m.mnt / 'c' / name) for name in paths.values()}
            heard = set()
            change()

            def told():
                for wd, mask, _ in inotify.read():
                    assert mask == 4, mask  # IN_ATTRIB
                    heard.add(paths[wd])
                now = {name: os.stat(m.mnt / 'c' / name) for name in before}
                return len(heard) == len(paths) and all(
                    (now[name].st_uid, now[name].st_mode) != (info.st_uid, info.st_mode)
                    for name, info in before.items())
            wait_for(told, 'ATTRIB of the computed files')
        wait_for(lambda: watching.at_rest(m), 'all to be announced')


def test_mode_through_another_link(mount, state, base):
    """A change that makes no event below is announced when a stat comes upon it."""
    behind = make(state)
    os.link(behind / 'audit.jsonl', base / 'elsewhere')
    m = mount(state)
    with watching.Inotify() as inotify:
        inotify.add(m.mnt / 'c/audit.jsonl')
        os.chmod(base / 'elsewhere', 0o200)
        assert os.stat(m.mnt / 'c/audit.jsonl').st_mode & 0o777 == 0
        assert [mask for _, mask, _ in wait_for(inotify.read, 'ATTRIB')] == [4]


def test_a_change_of_owner(root, mount, state):
    behind = make(state)
    m = mount(state)
    with Watches(m) as watches:
        os.chown(behind / 'audit.jsonl', harness.NOBODY, -1)
        watches.expect({'audit.jsonl': ['ATTRIB']})
        os.chown(behind / 'audit.jsonl', harness.NOBODY, harness.STRANGER)
        watches.expect({'audit.jsonl': ['ATTRIB']})
        os.chown(behind / 'audit.jsonl', harness.NOBODY, harness.STRANGER)
        watches.expect({})


def test_hooks(mount, state, base):
    """A directory that comes is announced before its files, and goes after them."""
    behind = make(state)
    bundles.bundle(base / 'new', {'hooks/a.json': '{}\n', 'hooks/b.json': ''})
    m = mount(state)
    with Watches(m) as watches:
        for _ in range(2):
            os.rename(base / 'new/hooks', behind / 'hooks')
            watches.expect({'hooks': ['CREATE,ISDIR'], 'hooks/a.json': NEW, 'hooks/b.json': NEW})
            append(behind / 'hooks/b.json', '{}\n')
            watches.expect({'hooks/b.json': CHANGED})
            (behind / 'hooks/c.json').touch()
            watches.expect({'hooks/c.json': NEW})
            (behind / 'hooks/c.json').unlink()
            watches.expect({'hooks/c.json': ['DELETE']})
            os.rename(behind / 'hooks', base / 'new/hooks')
            watches.expect({'hooks/a.json': ['DELETE'], 'hooks/b.json': ['DELETE'],
                            'hooks': ['DELETE_SELF', 'DELETE,ISDIR']})


def shown(m, name):
    """The events of a container that comes, all its files with it."""
    want = {name: ['CREATE,ISDIR']}
    for path in sorted((m.mnt / name).rglob('*')):
        want[f'{name}/{path.relative_to(m.mnt / name)}'] = ['CREATE,ISDIR'] if path.is_dir() else NEW
    return want


@pytest.mark.parametrize('look', [False, True], ids=['unseen', 'seen'])
def test_new_container(mount, state, base, look):
    """CREATE,ISDIR first; then, when watchers had time to follow, its files, once."""
    make(state, 'still')
    bundles.full(base / 'new')
    m = mount(state)
    with Watch(m.mnt, m.mnt, recursive=True) as deep, Watch(m.mnt, m.mnt) as flat:
        for _ in range(2):
            os.rename(base / 'new', state / 'containers/web-1')
            if look:
                harness.run('ls', '-lR', m.mnt)
                harness.run('cat', m.mnt / 'web-1/effective')
            wait_for(deep.poll, 'the first event')
            assert deep.poll()[0] == ('web-1', 'CREATE,ISDIR')
            deep.expect(shown(m, 'web-1'), rest=m)
            flat.expect({'web-1': ['CREATE,ISDIR']}, quiet=0)
            gone = [p.relative_to(m.mnt) for p in (m.mnt / 'web-1').rglob('*')]
            os.rename(state / 'containers/web-1', base / 'new')
            if look:
                harness.run('ls', '-lR', m.mnt)
            wait_for(lambda: ('web-1', 'DELETE,ISDIR') in deep.poll(), 'the last event')
            order = [path for path, event in deep.poll() if event.startswith('DELETE')]
            assert set(order[-2:]) == {'web-1'}, order
            deep.expect({**{os.fspath(p): ['DELETE'] for p in gone},
                         'web-1/hooks': ['DELETE_SELF', 'DELETE,ISDIR'],
                         'web-1': ['DELETE_SELF', 'DELETE,ISDIR']})
            flat.expect({'web-1': ['DELETE,ISDIR']}, quiet=0)


@pytest.mark.parametrize('look', [False, True], ids=['unseen', 'seen'])
def test_new_container_without_listing(mount, state, base, look):
    """Who watches what comes at once, and lists nothing, hears of all of it: he is given the time. On a busy machine he may
    be too late for that now and then."""
    make(state, 'still')
    bundles.full(base / 'new')
    m = mount(state)
    with Watch(m.mnt, m.mnt, recursive=True, listing=False) as watch:
        def is_told():
            os.rename(base / 'new', state / 'containers/web-1')
            if look:
                harness.run('ls', '-lR', m.mnt)
            wait_for(lambda: ('web-1', 'CREATE,ISDIR') in watch.poll(), 'it to come')
            wait_for(lambda: watching.at_rest(m), 'all to be announced')
            want, found = shown(m, 'web-1'), watch.by_path()
            os.rename(state / 'containers/web-1', base / 'new')
            wait_for(lambda: ('web-1', 'DELETE,ISDIR') in watch.poll(), 'it to go')
            wait_for(lambda: watching.at_rest(m), 'all to be announced')
            watch.events.clear()
            return found == want
        assert any(is_told() for _ in range(20))


def test_container_written_file_by_file(mount, state):
    (state / 'containers').mkdir()
    m = mount(state)
    with Watch(m.mnt, m.mnt, recursive=True) as watch:
        for _ in range(2):
            bundles.full(state / 'containers/c')
            want = shown(m, 'c')
            watch.expect(want, want, rest=m)
            bundles.remove(state / 'containers/c')
            wait_for(lambda: ('c', 'DELETE,ISDIR') in watch.poll(), 'the end')
            found = watch.by_path(want)
            assert found.keys() == want.keys()
            for path, events in found.items():
                assert [e for e in events if e not in CHANGED][0].startswith('DELETE'), (path, events)
            watch.events.clear()
            watch.expect_nothing()


def test_container_replaced_under_its_name(mount, state, base):
    """What is watched ends, and what comes is announced anew."""
    make(state)
    bundles.container(base, 'c', profile=['7.7.7.7'])
    m = mount(state)
    before = os.stat(m.mnt / 'c/effective').st_ino
    with Watch(m.mnt, m.mnt / 'c/effective') as file, Watch(m.mnt, m.mnt, recursive=True) as deep:
        os.rename(state / 'containers/c', base / 'old')
        os.rename(base / 'containers/c', state / 'containers/c')
        file.expect({'c/effective': GONE})
        want = {path: events for path, events in shown(m, 'c').items() if path != 'c'}
        wait_for(lambda: deep.by_path().get('c') == ['DELETE_SELF', 'DELETE,ISDIR', 'CREATE,ISDIR'], 'c')
        wait_for(lambda: all(deep.by_path()[p][-3:] == e for p, e in want.items()), 'its files')
    assert os.stat(m.mnt / 'c/effective').st_ino != before


def test_tasks(mount, state, base):
    (state / 'tasks').mkdir()
    bundles.task(base, 'p', '1', profile=['1.1.1.1'])
    m = mount(state)
    with Watch(m.mnt, m.mnt) as watch:
        for _ in range(2):
            os.rename(base / 'tasks/p', state / 'tasks/p')
            watch.expect({'p.1': ['CREATE,ISDIR']})
            os.rename(state / 'tasks/p/1/shield', base / 'shield')
            watch.expect({'p.1': ['DELETE,ISDIR']})
            os.rename(base / 'shield', state / 'tasks/p/1/shield')
            watch.expect({'p.1': ['CREATE,ISDIR']})
            os.rename(state / 'tasks/p', base / 'tasks/p')
            watch.expect({'p.1': ['DELETE,ISDIR']})


def test_renamed_container(mount, state):
    make(state, 'old')
    m = mount(state)
    with Watch(m.mnt, m.mnt) as watch:
        os.rename(state / 'containers/old', state / 'containers/new')
        watch.expect({'old': ['DELETE,ISDIR'], 'new': ['CREATE,ISDIR']})


def test_into_an_error_and_out_of_it(mount, state):
    behind = make(state)
    m = mount(state)
    with Watches(m) as watches:
        bad = {'deny.list': CHANGED, 'denied': CHANGED, 'effective': CHANGED}
        put_over(behind / 'deny.list', '\udcff\n'.encode('utf-8', 'surrogateescape'))
        watches.expect(bad, elsewhere={STATUS: CHANGED})
        put_over(behind / 'deny.list', '2.2.2.2\n9.9.9.9\n')
        watches.expect(bad, elsewhere={STATUS: CHANGED})
        os.unlink(behind / 'deny.list')
        watches.expect({**bad, 'deny.list': ['DELETE']})


def test_status(mount, state):
    """Announced when its lines change, and only then."""
    behind = make(state)
    m = mount(state)
    with Watch(m.mnt, m.mnt / STATUS) as watch:
        os.mkfifo(behind / 'pipe')
        watch.expect({STATUS: CHANGED})
        assert m.status()['problem']
        append(behind / 'audit.jsonl', 'x\n')
        make(state, 'other')
        watch.expect_nothing(0.5)
        os.unlink(behind / 'pipe')
        watch.expect({STATUS: CHANGED})
        assert not m.status()['problem']
        m.process.send_signal(signal.SIGHUP)
        watch.expect_nothing(0.5)


def test_readers_cause_nothing(mount, state):
    bundles.full(state / 'containers/full')
    make(state)
    m = mount(state)
    with Watch(m.mnt, m.mnt, recursive=True) as deep, Watches(m) as watches:
        for _ in range(3):
            harness.run('ls', '-lR', m.mnt)
            harness.run('find', m.mnt, '-type', 'f', '-exec', 'cat', '{}', '+')
            harness.run('find', m.mnt, '-exec', 'stat', '{}', '+')
            harness.run('tar', '-cf', '/dev/null', '-C', m.mnt, '.')
            for op in ('touch', 'truncate -s0', 'chmod 777', 'rm -f', 'mkdir', 'rmdir'):
                harness.run(*op.split(), m.mnt / 'c/effective', ok=False)
                harness.run(*op.split(), m.mnt / 'new', ok=False)
        deep.expect_nothing()
        watches.expect({})
        m.process.send_signal(signal.SIGHUP)
        watches.expect({})
        assert not deep.poll()


def test_first_change_of_a_directory(mount, state):
    """Watchers know the mode that it had at the start."""
    behind = make(state)
    m = mount(state)
    with Watch(m.mnt, m.mnt) as watch:
        behind.chmod(0o300)
        watch.expect({'c': ['ATTRIB,ISDIR']})
        behind.chmod(0o700)
        watch.expect({'c': ['ATTRIB,ISDIR']})
