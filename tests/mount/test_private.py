# SPDX-License-Identifier: Apache-2.0
"""Who may read: only the mounting user, unless allow_other; then nobody reads through the view what he could
not read behind it. And a server that runs as a plain user, who may not read everything himself."""

import errno
import os
import random
import signal

import bundles
import harness
import pytest
import reference
import watching
from harness import NOBODY, STRANGER, as_user, fails, in_namespace

pytestmark = pytest.mark.usefixtures('root')


def readable(path):
    try:
        with harness.opened(path) as fd:
            harness.read_fd(fd)
        return True
    except PermissionError:
        return False


def listable(path):
    try:
        os.listdir(path)
        return True
    except PermissionError:
        return False


def test_without_allow_other(mount, state):
    bundles.container(state, 'c', profile=['1.1.1.1'])
    m = mount(state)

    def stranger():
        assert (state / 'containers/c/profile.allowed').read_bytes()
        for path in (m.mnt, m.mnt / 'c', m.mnt / 'c/effective', m.mnt / '.shieldfs/version'):
            with fails(errno.EACCES):
                os.stat(path)
    as_user(STRANGER, stranger)


def test_allow_other_shows_what_all_may_read(mount, state):
    bundles.full(state / 'containers/c')
    m = mount(state, options=['allow_other'])

    def stranger():
        assert os.listdir(m.mnt) == ['.shieldfs', 'c']
        for name in harness.COMPUTED:
            assert (m.mnt / 'c' / name).read_bytes() == reference.render(state / 'containers/c', name)
        assert (m.mnt / 'c/audit.jsonl').read_bytes() and os.listdir(m.mnt / 'c/hooks')
        assert not listable(m.mnt / '.shieldfs') and not readable(m.mnt / '.shieldfs/version')
        assert not readable(m.mnt / '.shieldfs/metrics')
        for flags in (os.O_WRONLY, os.O_RDWR):
            with fails(errno.EACCES, errno.EROFS):
                os.open(m.mnt / 'c/effective', flags)
    as_user(STRANGER, stranger)
    stranger_can_not_write = os.stat(m.mnt / 'c/effective').st_mode & 0o022
    assert stranger_can_not_write == 0


def test_allow_other_hides_what_a_mode_hides(mount, state):
    bundles.full(state / 'containers/private').chmod(0o700)
    bundles.full(state / 'containers/part')
    (state / 'containers/part/deny.list').chmod(0o600)
    (state / 'containers/part/dnsmasq.log').chmod(0o660)
    (state / 'containers/part/hooks').chmod(0o700)
    m = mount(state, options=['allow_other'])

    def stranger():
        part = m.mnt / 'part'
        for name in ('effective', 'denied', 'deny.list', 'dnsmasq.log', 'hooks/terok-shield-poststop.json'):
            assert not readable(part / name), name
        for name in ('allowed', 'effective.domains', 'profile.allowed', 'audit.jsonl'):
            assert readable(part / name), name
        assert not listable(m.mnt / 'private') and not listable(part / 'hooks')
        for name in ('effective', 'audit.jsonl'):
            assert not readable(m.mnt / 'private' / name), name
    as_user(STRANGER, stranger)
    for name in ('private/effective', 'part/effective', 'part/dnsmasq.log'):
        assert readable(m.mnt / name), f'the mounting user reads {name}'


@pytest.mark.parametrize('level', ['above', 'state', 'containers'])
def test_allow_other_minds_the_way_to_the_source(mount, base, level):
    """A directory on the way that others can't search hides everything below."""
    top = base / 'above'
    bundles.full(top / 'state/containers/c')
    {'above': top, 'state': top / 'state', 'containers': top / 'state/containers'}[level].chmod(0o700)
    m = mount(top / 'state', options=['allow_other'])

    def stranger():
        for name in (*harness.COMPUTED, 'audit.jsonl', 'hooks/terok-shield-poststop.json'):
            assert not readable(m.mnt / 'c' / name), name
        assert not listable(m.mnt / 'c')
    as_user(STRANGER, stranger)


def test_allow_other_never_allows_more(mount, state):
    """Random owners and modes: what a user reads through the view he can read behind it, and all of it."""
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    for i in range(40):
        behind = bundles.full(state / f'containers/c{i}')
        for path in [behind, *behind.rglob('*')]:
            os.chown(path, rng.choice((0, NOBODY, STRANGER)), rng.choice((0, NOBODY, STRANGER)))
            kind = (0o777, 0o755, 0o711, 0o750, 0o700, 0o070, 0o007) if path.is_dir() else (
                0o644, 0o640, 0o604, 0o600, 0o440, 0o040, 0o004, 0o000)
            path.chmod(rng.choice(kind))
    m = mount(state, options=['allow_other'])

    def user():
        seen = 0
        for i in range(40):
            shown, behind = m.mnt / f'c{i}', state / f'containers/c{i}'
            if listable(shown):
                assert listable(behind), f'seed {seed}: {shown}'
            for name in harness.COMPUTED:
                if readable(shown / name):
                    seen += 1
                    for source in reference.SOURCES[name]:
                        assert readable(behind / source), f'seed {seed}: {shown}/{name} without {source}'
            for name in ('audit.jsonl', 'dns.tier', 'hooks/terok-shield-poststop.json'):
                if readable(shown / name):
                    assert readable(behind / name), f'seed {seed}: {shown}/{name}'
        assert seen > 0, 'nothing at all can be read'
    for uid in (NOBODY, STRANGER):
        as_user(uid, user)


def plain_user(base, exe, body, how=None):
    """BODY(m) with a mount made by a plain user, who owns it all, in a namespace; HOW: a signal to end it."""
    (base / 'own').mkdir()
    for path in (base, base / 'own', base / 'state', *(base / 'state').rglob('*')):
        os.chown(path, NOBODY, NOBODY)
    in_namespace(lambda: serve(base, exe, body, how), uid=NOBODY)


def serve(base, exe, body, how=None):
    m = harness.Mount(base / 'own', [base / 'state'], exe=exe)
    try:
        body(m.start())
        m.stop(how)
    except BaseException as error:
        raise AssertionError(f'{error}\nlog: {m.log_path.read_text()[-3000:]}') from error
    finally:
        m.kill()


@pytest.mark.parametrize('how', [None, signal.SIGTERM], ids=['unmount', 'TERM'])
def test_plain_user(base, state, exe, how):
    """The whole of it as a plain user: reading, changes, and the end."""
    behind = bundles.full(state / 'containers/web-1')
    bundles.task(state, 'p', '1', profile=['1.1.1.1'])

    def body(m):
        assert os.listdir(m.mnt) == ['.shieldfs', 'p.1', 'web-1']
        for name in harness.COMPUTED:
            assert (m.mnt / 'web-1' / name).read_bytes() == reference.render(behind, name)
        for name in os.listdir(behind):
            if name != 'hooks':
                assert (m.mnt / 'web-1' / name).read_bytes() == (behind / name).read_bytes()
        info = os.stat(m.mnt / 'web-1/effective')
        assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (NOBODY, NOBODY, 0o444)
        bundles.put(behind / 'deny.list', '192.0.2.1\n')
        assert (m.mnt / 'web-1/effective').read_bytes() == reference.render(behind, 'effective')
        for act in (os.unlink, lambda p: os.truncate(p, 0), lambda p: os.chmod(p, 0o777)):
            with fails(errno.EROFS):
                act(m.mnt / 'web-1/effective')
        with fails(errno.EROFS):
            os.mkdir(m.mnt / 'new')
        confined = m.status()['confined']  # test_confined.py looks at that
        assert m.status() == {'source': [f'ok {state}'], 'complete': ['yes'], 'announcer': ['ok'],
                              'pid': [str(m.process.pid)], 'confined': confined, 'degraded': [], 'problem': []}
    plain_user(base, exe, body, how)


def test_plain_user_can_not_read_everything(base, state, exe):
    """EACCES for what the server may not read: never an empty list, and the log names it."""
    behind = bundles.full(state / 'containers/c')
    bundles.full(state / 'containers/closed')

    def body(m):
        (behind / 'deny.list').chmod(0)
        (behind / 'audit.jsonl').chmod(0)
        m.expect_log(r'c/deny\.list: .+')
        m.expect_log(r'c/audit\.jsonl: .+')
        for name in ('denied', 'effective', 'deny.list', 'audit.jsonl'):
            with fails(errno.EACCES):
                os.open(m.mnt / 'c' / name, os.O_RDONLY)
        for name in ('denied', 'effective'):
            assert os.stat(m.mnt / 'c' / name).st_size == 0
        assert (m.mnt / 'c/allowed').read_bytes() == reference.render(behind, 'allowed')
        assert any(p.startswith('c/deny.list: ') for p in m.status()['problem'])
        (behind / 'deny.list').chmod(0o600)
        assert (m.mnt / 'c/effective').read_bytes() == reference.render(behind, 'effective')
        closed = state / 'containers/closed'
        for mode in (0, 0o600):
            closed.chmod(mode)
            m.patterns[r'closed(/.*)?: .+'] = 1
            for name in harness.COMPUTED:
                with fails(errno.EACCES):
                    os.close(os.open(m.mnt / 'closed' / name, os.O_RDONLY))
            assert any(p.startswith('closed') for p in m.status()['problem'])
        closed.chmod(0o755)
        assert (m.mnt / 'closed/effective').read_bytes() == reference.render(closed, 'effective')
        (state / 'containers').chmod(0)
        m.patterns[r'.*containers.*'] = 1
        assert os.listdir(m.mnt) == ['.shieldfs']
        said = m.status()
        assert said['problem'] or said['source'] != [f'ok {state}'], said
        (state / 'containers').chmod(0o755)
        assert os.listdir(m.mnt) == ['.shieldfs', 'c', 'closed']
    plain_user(base, exe, body)


def test_plain_users_lists_of_another_owner(base, state, exe):
    """No lease can be had on a file of another owner: read all the same, and the status names it."""
    behind = bundles.full(state / 'containers/c')

    def body(m):
        assert (m.mnt / 'c/effective').read_bytes() == reference.render(behind, 'effective')
        assert any('c/deny.list' in d for d in m.status()['degraded']), m.status()
        assert m.status()['problem'] == []

    (base / 'own').mkdir()
    os.chown(base / 'own', NOBODY, NOBODY)
    in_namespace(lambda: serve(base, exe, body), uid=NOBODY)


def test_truncation_without_a_lease(base, state, exe):
    """What truncate(2) leaves looks like the middle of a rewrite where no lease tells: refused for some
    seconds, never for ever, and announced then."""
    behind = bundles.full(state / 'containers/c')
    want = reference.render(behind, 'allowed')
    (behind / 'deny.list').chmod(0o666)

    def body(m):
        path = m.mnt / 'c/effective'
        assert path.read_bytes() == reference.render(behind, 'effective')
        m.expect_log(r'c/deny.list: still being written after \d+ ms: try again')
        with watching.Inotify() as inotify:
            inotify.add(path)
            os.truncate(behind / 'deny.list', 0)
            with fails(errno.EBUSY):
                os.open(path, os.O_RDONLY)
            harness.wait_for(inotify.read, 'the change to be announced')
        assert path.read_bytes() == want
    (base / 'own').mkdir()
    os.chown(base / 'own', NOBODY, NOBODY)
    in_namespace(lambda: serve(base, exe, body), uid=NOBODY)


def test_plain_users_mount_point_is_freed(base, state, exe):
    """By fusermount3, when the server dies."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    own = base / 'own'
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)

    def body():
        m = harness.Mount(own, [state], exe=exe)
        try:
            m.start()
            os.kill(watching.children(m)[0], signal.SIGKILL)
            assert m.process.wait(harness.TIMEOUT) == 1
            assert os.fspath(m.mnt) not in harness.mounts() and os.listdir(m.mnt) == []
            assert any('killed by signal 9 ' in line for line in m.take_log())
        finally:
            m.kill()
    in_namespace(body, uid=NOBODY)


def test_what_could_not_be_seen(base, state, exe):
    """What changed in a bundle while a plain user's server could not look into it is announced afterwards."""
    behind = bundles.full(state / 'containers/c')
    for path in (state / 'containers', behind, *behind.rglob('*'), state):
        os.chown(path, NOBODY, NOBODY)
    (base / 'own').mkdir()
    os.chown(base / 'own', NOBODY, NOBODY)

    def body(m):
        watching.settled(m)
        for closed in (behind, state / 'containers'):
            with watching.Inotify() as inotify, harness.opened(behind / 'dnsmasq.log', os.O_WRONLY) as log:
                inotify.add(m.mnt / 'c/dnsmasq.log', watching.CHANGES)
                closed.chmod(0)
                with fails(errno.EACCES, errno.ENOENT):
                    os.stat(m.mnt / 'c/dnsmasq.log')
                os.ftruncate(log, 0)
                closed.chmod(0o755)
                harness.wait_for(inotify.read, 'the change to be announced')
        m.take_log()
    in_namespace(lambda: serve(base, exe, body), uid=NOBODY)


def test_what_the_announcer_may_not_touch(base, state, exe):
    """With allow_other a plain user's announcer may act on his own alone: the status names the rest, which is
    read as ever."""
    mine, theirs = (bundles.full(state / 'containers' / name) for name in ('mine', 'theirs'))
    for path in (mine, *mine.rglob('*')):
        if path.name != 'deny.list':
            os.chown(path, NOBODY, NOBODY)
    (mine / 'deny.list').chmod(0o666)

    def body(m):
        said = m.status()['degraded']
        whole = "another owner's: no event tells "
        for path in ('theirs', 'theirs/hooks', 'theirs/dnsmasq.log', 'mine/deny.list'):
            assert any(d.startswith(f'{path}: {whole}') for d in said), (path, said)
        assert not any(d.startswith(('mine: ', 'mine/live.allowed: another')) for d in said), said
        m.expect_log('mine/deny.list: could not be announced: Permission denied')
        with watching.Inotify() as inotify:
            inotify.add(m.mnt / 'mine/effective')
            for i in range(3):
                (mine / 'deny.list').write_text(f'10.0.0.{i}\n')
                assert (m.mnt / 'mine/deny.list').read_text() == f'10.0.0.{i}\n'
                (mine / 'live.allowed').write_text(f'10.0.1.{i}\n')
                harness.wait_for(inotify.read, 'what is his to be announced')
                watching.settled(m)
    harness.for_others_too(base, [state], exe, body)


def test_root_has_no_say_on_a_users_mount(base, state, exe):
    """Root gets EACCES on a plain user's mount without allow_other; the kernel wants it so."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    own = base / 'own'
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)

    def inside():
        as_user(NOBODY, lambda: harness.run(exe, state, own))
        try:
            with fails(errno.EACCES):
                os.stat(own / 'c')
            as_user(NOBODY, lambda: (own / 'c/effective').read_bytes())
        finally:
            harness.unmount(own)
            harness.wait_for(lambda: not harness.servers(own), 'the server to end')
    in_namespace(inside)


def test_what_can_not_be_looked_for_is_not_gone(base, state, exe):
    """While a plain user's server may not read the directory of the bundles it lists none, but watchers hear of no
    end, and what is found by name keeps its number."""
    behind = bundles.full(state / 'containers/c')
    for path in (state / 'containers', behind, *behind.rglob('*'), state):
        os.chown(path, NOBODY, NOBODY)
    (base / 'own').mkdir()
    os.chown(base / 'own', NOBODY, NOBODY)

    def body(m):
        watching.settled(m)
        number = os.stat(m.mnt / 'c').st_ino
        with watching.Inotify() as inotify:
            inotify.add(m.mnt)
            for closed in (state / 'containers', state):
                for mode in (0o100, 0, 0o400):
                    closed.chmod(mode)
                    for _ in range(3):
                        os.listdir(m.mnt)
                        if mode == 0o100:
                            assert os.stat(m.mnt / 'c').st_ino == number
                            assert (m.mnt / 'c/effective').read_bytes() == reference.render(behind, 'effective')
                        else:
                            with fails(errno.EACCES):
                                os.stat(m.mnt / 'c')
                    harness.holds_for(lambda: not inotify.read(), 0.3, 'no end')
                    closed.chmod(0o755)
            assert os.stat(m.mnt / 'c').st_ino == number
            harness.holds_for(lambda: not inotify.read(), 0.3, 'no end')
        m.take_log()
    in_namespace(lambda: serve(base, exe, body), uid=NOBODY)
