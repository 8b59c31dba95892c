# SPDX-License-Identifier: Apache-2.0
"""shield-state: the contract without a mount. Paths against Python's own pathlib, lists against the reference
reader, and its manners: output, errors, exit statuses."""

import os
import pathlib
import random
import stat

import bundles
import harness
import pytest
import reference
from harness import run

PATHS = {
    'hooks_dir': 'hooks', 'hook_entrypoint': 'terok-shield-hook', 'ruleset': 'ruleset.nft',
    'gateway': 'gateway', 'gateway_v6': 'gateway_v6', 'upstream_dns': 'upstream.dns', 'dns_tier': 'dns.tier',
    'profile_allowed': 'profile.allowed', 'profile_domains': 'profile.domains',
    'live_allowed': 'live.allowed', 'live_domains': 'live.domains', 'deny': 'deny.list',
    'denied_domains': 'denied.domains',
    'dnsmasq_conf': 'dnsmasq.conf', 'dnsmasq_pid': 'dnsmasq.pid', 'dnsmasq_log': 'dnsmasq.log',
    'resolv_conf': 'resolv.conf', 'interactive': 'interactive', 'container_id': 'container.id',
    'audit': 'audit.jsonl',
}
SHOWN = (*harness.COMPUTED, 'interactive')


def shield_state(*argv, **kw):
    return run(harness.SHIELD_STATE, *argv, ok=False, **kw)


def output(*argv, **kw):
    done = shield_state(*argv, **kw)
    assert (done.returncode, done.stderr) == (0, b''), done
    return done.stdout


def refused(*argv, names=(), status=1, **kw):
    """Ends with STATUS, nothing on stdout; one line on stderr that holds the words NAMES."""
    done = shield_state(*argv, **kw)
    assert (done.returncode, done.stdout) == (status, b''), done
    said = done.stderr.decode()
    assert said.startswith('shield-state: ') and said.endswith('\n') and said[:-1].isprintable(), done
    for name in names:
        assert os.fspath(name) in said, (name, said)
    return said


def line(path):
    return os.fsencode(path) + b'\n'


def test_version():
    assert output('version') == b'4\n'


@pytest.mark.parametrize('what', PATHS)
def test_path(what):
    for top in ('/srv/state', 'state', '.', '', '/', '//', '//srv', '///srv', 'a//b/./c/', '../x/..', './a',
                'a/.', ' ', 'a b'):
        assert output('path', top, what) == line(pathlib.PurePosixPath(top) / PATHS[what]), top


def test_hook_json():
    for top in ('/srv/state', 'a//b/./c/', '', '//x'):
        for stage in ('createRuntime', 'poststop', '', 'a b', '../x', 'a/./b//c/', '\xe9', '.', '..', '/x',
                      'x/'):
            want = pathlib.PurePosixPath(top) / 'hooks' / f'terok-shield-{stage}.json'
            assert output('path', top, 'hook_json', stage) == line(want), (top, stage)


def test_random_paths():
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    for _ in range(200):
        top = b''.join(rng.choice([b'/', b'/', b'//', b'.', b'..', b'a', b'bc', b' ', b'\n', b'\xff',
                                   b'\xc3\xa9', b'./', b'/.'])
                       for _ in range(rng.randrange(12)))
        if top.startswith(b'-'):
            continue
        what = rng.choice(list(PATHS))
        want = pathlib.PurePosixPath(os.fsdecode(top)) / PATHS[what]
        assert output('path', top, what) == line(want), f'seed {seed}: {top}'


def test_show_of_a_full_bundle(tmp_path):
    behind = bundles.full(tmp_path / 'b')
    for name in harness.COMPUTED:
        assert output('show', behind, name) == reference.render(behind, name)
        assert output('show', 'b', name, cwd=tmp_path) == reference.render(behind, name)
    assert output('show', behind, 'interactive') == b'nflog\n'
    (tmp_path / 'link').symlink_to(behind)
    assert output('show', tmp_path / 'link', 'effective') == reference.render(behind, 'effective')


def test_show_of_nothing(tmp_path):
    """A directory that is empty, does not exist, or is none: empty lists, as in the contract."""
    bundles.put(tmp_path / 'file', 'x')
    for top in (tmp_path, tmp_path / 'missing', tmp_path / 'missing/deeper', tmp_path / 'file'):
        for name in SHOWN:
            assert output('show', top, name) == b'', (top, name)
    for name in ('profile.allowed', 'deny.list', 'interactive'):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / 'live.allowed')
    os.mknod(tmp_path / 'live.domains', stat.S_IFSOCK | 0o600)
    for name in SHOWN:
        assert output('show', tmp_path, name) == b'', name


@pytest.mark.parametrize('content', [
    b'nflog\n', b' \t nflog\r\n\r\n', b'', b'\n \x1f\xc2\xa0\n', b'\xef\xbb\xbfnflog', b'\0',
    b'\xe2\x80\x8bx\xe3\x80\x80'])
def test_show_interactive(tmp_path, content):
    bundles.put(tmp_path / 'interactive', content)
    value = reference.interactive(tmp_path)
    assert output('show', tmp_path, 'interactive') == (f'{value}\n'.encode() if value else b'')


def test_show_errors(tmp_path):
    bundles.bundle(tmp_path, {'deny.list': b'1.1.1.1\r\n2.2.2.2\n\xc3\x28\n', 'interactive': b'\xff',
                              'live.domains': b'\n\n\xed\xa0\x80'}, profile=['1.1.1.1'])
    for name in ('denied', 'effective'):
        said = refused('show', tmp_path, name, names=['deny.list: line 3: not UTF-8 at byte 18'])
        assert said.count('\n') == 1
    refused('show', tmp_path, 'interactive', names=['interactive: line 1: not UTF-8 at byte 1'])
    refused('show', tmp_path, 'effective.domains', names=['live.domains: line 3: not UTF-8 at byte 3'])
    assert output('show', tmp_path, 'allowed') == b'1.1.1.1\n'
    for name in ('deny.list', 'interactive', 'live.domains'):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to('profile.allowed')
    for name, file in (('denied', 'deny.list'), ('effective', 'deny.list'), ('interactive', 'interactive'),
                       ('effective.domains', 'live.domains')):
        refused('show', tmp_path, name, names=[f'{file}: '])


def test_show_what_is_being_written(tmp_path):
    """Retried, then an error that names the list; a list that nobody writes is not concerned."""
    bundles.bundle(tmp_path, profile=['1.1.1.1'], deny=['2.2.2.2'])
    with harness.opened(tmp_path / 'deny.list', os.O_WRONLY | os.O_TRUNC) as writer:
        os.write(writer, b'1.1.')
        for name in ('denied', 'effective'):
            refused('show', tmp_path, name, names=['deny.list: '])
        assert output('show', tmp_path, 'allowed') == b'1.1.1.1\n'
        os.write(writer, b'1.1\n')
    assert output('show', tmp_path, 'effective') == b''


def test_show_what_may_not_be_read(base, root):
    behind = bundles.bundle(base / 'b', profile=['1.1.1.1'], deny=['2.2.2.2'])
    (behind / 'deny.list').chmod(0)
    program = base / 'shield-state'
    program.write_bytes(harness.SHIELD_STATE.read_bytes())
    program.chmod(0o755)

    def user():
        done = run(program, 'show', behind, 'effective', ok=False)
        assert (done.returncode, done.stdout) == (1, b'') and b'deny.list: ' in done.stderr, done
        assert run(program, 'show', behind, 'allowed').stdout == b'1.1.1.1\n'
    harness.as_user(harness.NOBODY, user)


def test_show_to_a_full_disk(tmp_path):
    """Output that can't be written is an error too."""
    behind = bundles.full(tmp_path / 'b')
    with open('/dev/full', 'wb') as full:
        done = harness.subprocess.run([harness.SHIELD_STATE, 'show', behind, 'effective'], stdout=full,
                                      stderr=harness.subprocess.PIPE, timeout=harness.TIMEOUT, check=False)
    assert done.returncode == 1, done
    assert done.stderr.startswith(b'shield-state: ') and done.stderr.count(b'\n') == 1, done


def test_init(tmp_path):
    top = tmp_path / 'a/b/c'
    for _ in range(2):
        assert output('init', top) == b''
        assert sorted(tmp_path.rglob('*')) == [tmp_path / 'a', tmp_path / 'a/b', top, top / 'hooks']
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o755 for p in tmp_path.rglob('*'))
    assert output('init', 'x//y/../z/./', cwd=tmp_path) == b''
    assert (tmp_path / 'x/z/hooks').is_dir() and (tmp_path / 'x/y').is_dir()
    (tmp_path / 'link').symlink_to(top)
    assert output('init', tmp_path / 'link') == b''
    bundles.put(top / 'deny.list', 'kept\n')
    assert output('init', top) == b'' and (top / 'deny.list').read_bytes() == b'kept\n'


def test_init_errors(tmp_path):
    file = bundles.put(tmp_path / 'file', '')
    refused('init', file, names=[file])
    refused('init', file / 'below', names=['file'])
    (tmp_path / 'dangling').symlink_to('nowhere')
    refused('init', tmp_path / 'dangling', names=['dangling'])
    (tmp_path / 'b').mkdir()
    bundles.put(tmp_path / 'b/hooks', '')
    refused('init', tmp_path / 'b', names=['hooks'])


@pytest.mark.parametrize('argv', [
    [], ['bogus'], ['version', 'surplus'], ['path'], ['path', 'x'], ['path', 'x', 'bogus'],
    ['path', 'x', 'deny_path'], ['path', 'x', 'deny', 'surplus'], ['path', 'x', 'hook_json'],
    ['path', 'x', 'hook_json', 'a', 'b'],
    ['path', 'x', ''], ['show'], ['show', 'x'], ['show', 'x', 'bogus'], ['show', 'x', 'deny.list'],
    ['show', 'x', 'denied', 'surplus'], ['init'], ['init', 'x', 'surplus'], ['--bogus'], ['-x'],
    ['show', '--bogus', 'x', 'denied']],
                         ids=' '.join)
def test_wrong_usage(argv, tmp_path):
    done = shield_state(*argv, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b''), done
    assert done.stderr.startswith(b'shield-state: ') and done.stderr.endswith(b'\n'), done
    assert os.listdir(tmp_path) == []
