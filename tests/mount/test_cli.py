# SPDX-License-Identifier: Apache-2.0
"""The command line of shieldfs: help, options, and one clear line for everything that can't be mounted."""

import os
import re
import shutil

import bundles
import harness
import pytest
from harness import run

FSTAB_WORDS = ['rw', 'ro', 'nodev', 'nosuid', 'dev', 'suid', 'exec', 'noexec', 'auto', 'noauto', 'user',
               'nouser', 'users', '_netdev', 'nofail', 'x-systemd.automount', 'x-anything=1', 'auto_unmount']


def shieldfs(*argv, exe=harness.SHIELDFS, **kw):
    return run(exe, *argv, ok=False, **kw)


def refused(*argv, names, **kw):
    """The program ends with 1, silent but for one line on stderr that holds every word of NAMES."""
    done = shieldfs(*argv, **kw)
    assert (done.returncode, done.stdout) == (1, b''), done
    said = done.stderr.decode()
    assert said.startswith('shieldfs: ') and said.endswith('\n') and said.count('\n') == 1, done
    for name in names:
        assert os.fspath(name) in said, (name, said)
    return said


@pytest.fixture
def mnt(base):
    path = base / 'mnt'
    path.mkdir()
    return path


@pytest.mark.parametrize('option', ['-h', '--help'])
def test_help(option):
    done = run(harness.SHIELDFS, option)
    text = done.stdout.decode()
    assert max(map(len, text.split('\n'))) <= 80
    for word in ('SOURCE', 'MOUNTPOINT', '-f', '-d', '-s', '-o', '-h', '--help', '-V', '--version', 'settle=',
                 'poll=', 'max_size=', 'cache=', 'loglevel=', 'nonempty', 'allow_other'):
        assert word in text, word


@pytest.mark.parametrize('option', ['-V', '--version'])
def test_version(option):
    assert re.match(r'shieldfs\b.*\b\d+\.\d+\.\d+', run(harness.SHIELDFS, option).stdout.decode())


@pytest.mark.parametrize('words, name', [
    (['--bogus'], '--bogus'), (['-x'], '-x'), (['-o', 'bogus'], 'bogus'), (['-o', 'rw,bogus=1'], 'bogus=1'),
    *((['-o', bad], bad.split('=')[0]) for bad in (
        'settle=', 'settle=x', 'settle=-1', 'settle=1x', 'settle=99999999999999999999', 'settle=1.5',
        'settle', 'poll=x', 'max_size=', 'max_size=x', 'max_size=-1', 'max_size=1Q', 'max_size=K',
        'max_size=99999999999999999999G', 'cache', 'cache=', 'cache=0', 'cache=1T', 'loglevel=all'))])
@pytest.mark.parametrize('foreground', [[], ['-f']])
def test_bad_options(state, mnt, words, name, foreground):
    refused(*foreground, *words, state, mnt, names=[name])
    assert os.fspath(mnt) not in harness.mounts()


def test_wrong_number_of_words(state, mnt):
    assert refused(names=[]) == "shieldfs: no MOUNTPOINT given: see 'shieldfs --help'\n"
    refused(state, mnt, 'surplus', names=['surplus'])
    assert os.fspath(mnt) not in harness.mounts()


@pytest.mark.parametrize('options', [['settle=250'], ['settle=0'], ['poll=5'], ['max_size=1M'],
                                     ['max_size=1G'], ['max_size=123'], ['cache=1G'], ['loglevel=debug'], ['nonempty'], FSTAB_WORDS,
                                     *([w] for w in FSTAB_WORDS)], ids=','.join)
def test_good_options(mount, state, options):
    """Taken in silence: the log check at the end finds no line."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    m = mount(state, options=options)
    assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
    assert {'nosuid', 'nodev', 'noexec'} <= set(harness.mounts()[os.fspath(m.mnt)][0])


@pytest.mark.parametrize('args', [['-f'], ['-s'], ['-f', '-s', '-d'], ['-ofstab,rw'.replace('fstab,', '')],
                                  ['-o', 'rw', '-o', 'settle=5']], ids=' '.join)
def test_good_arguments(mount, state, args):
    bundles.container(state, 'c', profile=['1.1.1.1'])
    m = mount(state, args=args)
    assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'


def test_options_after_the_words(base, state, mnt):
    """As mount(8) calls its helpers: PROG SOURCE MOUNTPOINT -o a,b."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    try:
        done = shieldfs(state, mnt, '-o', 'rw,nosuid,settle=100')
        assert (done.returncode, done.stdout, done.stderr) == (0, b'', b'')
        assert (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
        harness.unmount(mnt)
        harness.wait_for(lambda: not harness.servers(mnt), 'the server to end')
    finally:
        harness.release(mnt)


@pytest.mark.parametrize('foreground', [[], ['-f']])
def test_bad_mountpoints(base, state, mnt, foreground):
    bundles.container(state, 'c')
    refused(*foreground, state, base / 'missing', names=[base / 'missing'])
    file = bundles.put(base / 'file', '')
    refused(*foreground, state, file, names=[file])
    refused(*foreground, state, file / 'below', names=[file / 'below'])
    bundles.put(mnt / 'something', '')
    refused(*foreground, state, mnt, names=[mnt])
    for inside in (state, state / 'containers', state / 'containers/c'):
        refused(*foreground, '-o', 'nonempty', state, inside, names=[state])
    refused(*foreground, f'{base}/elsewhere:{state}', state / 'containers/c', names=[state])
    around = base / 'around'
    bundles.container(around / 'source', 'c')
    refused(*foreground, '-o', 'nonempty', around / 'source', around, names=[around])
    refused(*foreground, base / 'link-to-nothing', '', names=[])
    (base / 'link').symlink_to(state)
    refused(*foreground, base / 'link', state / 'containers/c', names=[base / 'link'])
    assert not [p for p in harness.mounts() if p.startswith(os.fspath(base))]
    assert os.listdir(mnt) == ['something']


def test_nonempty(mount, base, state, mnt):
    bundles.put(mnt / 'something', 'below')
    m = mount(state, options=['nonempty'])
    assert os.listdir(m.mnt) == ['.shieldfs']
    harness.unmount(mnt)
    assert m.process.wait(harness.TIMEOUT) == 0
    assert (mnt / 'something').read_bytes() == b'below'
    m.check_log()
    m.kill()


def test_source_on_a_shieldfs_mount(mount, base, state):
    bundles.container(state, 'c')
    m = mount(state)
    (base / 'second').mkdir()
    for source in (m.mnt, m.mnt / 'c', f'{state}:{m.mnt}'):
        for foreground in ([], ['-f']):
            refused(*foreground, source, base / 'second', names=[m.mnt])
    assert os.fspath(base / 'second') not in harness.mounts()


def test_mountpoint_that_is_mounted(mount, base, state):
    """A second server on a view that lives is refused: its mountpoint is not empty."""
    m = mount(state)
    refused(state, m.mnt, names=[m.mnt])
    refused('-f', state, m.mnt, names=[m.mnt])
    assert (m.mnt / '.shieldfs/version').read_bytes()


def test_source_words(mount, base):
    """Directories joined by colons; a backslash escapes one; commas and blanks are letters like others."""
    made = [base / 'a,b', base / 'c:d', base / 'e f', base / 'g=h,fsname=x']
    for i, path in enumerate(made):
        bundles.container(path, f'n{i}', profile=[f'1.1.1.{i}'])
    m = mount(*made)
    assert os.listdir(m.mnt) == ['.shieldfs', 'n0', 'n1', 'n2', 'n3']
    assert m.status()['source'] == [f'ok {p}' for p in made]
    assert m.status()['degraded'] == []


def test_fsname(mount, base):
    """What mount(8) and df show as the source is the SOURCE as it was given."""
    made = base / 'a,b \\ c'
    bundles.container(made, 'n')
    m = mount(made)
    assert harness.mounts()[os.fspath(m.mnt)][1] == 'fuse.shieldfs'
    assert harness.mounts()[os.fspath(m.mnt)][2] == os.fspath(made)
    assert os.listdir(m.mnt) == ['.shieldfs', 'n']


def test_relative_words(base, state, mnt):
    """SOURCE and MOUNTPOINT relative to the caller's directory, in daemon mode."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    try:
        done = shieldfs('state', 'mnt', cwd=base)
        assert (done.returncode, done.stdout, done.stderr) == (0, b'', b'')
        assert (mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
        assert f'source: ok {state}' in (mnt / '.shieldfs/status').read_text()
        bundles.container(state, 'd', profile=['2.2.2.2'])
        assert (mnt / 'd/effective').read_bytes() == b'2.2.2.2\n'
    finally:
        harness.release(mnt)
        for pid in harness.servers('mnt'):
            harness.wait_for(lambda pid=pid: harness.has_ended(pid), 'the server to end')


@pytest.mark.parametrize('words', [[], ['none']], ids=['no-source', 'none'])
def test_default_sources(base, mount, words):
    """The state directory, then sandbox-live, then core; variables that are empty count as unset."""
    home, data = base / 'home', base / 'home/.local/share/terok'
    unset = dict.fromkeys(['TEROK_SHIELD_STATE_DIR', 'XDG_STATE_HOME', 'TEROK_SANDBOX_LIVE_DIR',
                           'XDG_DATA_HOME'])
    cases = [
        ({}, home / '.local/state/terok/shield', data / 'sandbox-live'),
        ({'TEROK_SHIELD_STATE_DIR': '', 'XDG_STATE_HOME': '', 'TEROK_SANDBOX_LIVE_DIR': ''},
         home / '.local/state/terok/shield', data / 'sandbox-live'),
        ({'XDG_STATE_HOME': os.fspath(base / 'xdg')}, base / 'xdg/terok/shield', data / 'sandbox-live'),
        ({'XDG_STATE_HOME': os.fspath(base / 'xdg'), 'TEROK_SHIELD_STATE_DIR': os.fspath(base / 'mine')},
         base / 'mine', data / 'sandbox-live'),
        ({'TEROK_SANDBOX_LIVE_DIR': os.fspath(base / 'live')}, home / '.local/state/terok/shield',
         base / 'live'),
    ]
    for i, (env, first, second) in enumerate(cases):
        bundles.container(first, f'one{i}', profile=['1.1.1.1'])
        bundles.task(second, f'two{i}', '1', profile=['2.2.2.2'])
        m = mount(*words, env={**unset, 'HOME': os.fspath(home), **env})
        assert m.status()['source'] == [f'ok {first}', f'ok {second}', f'waiting {data}/core']
        assert (m.mnt / f'one{i}/effective').read_bytes() == b'1.1.1.1\n'
        assert (m.mnt / f'two{i}.1/effective').read_bytes() == b'2.2.2.2\n'
        m.stop()
    env = {**unset, 'HOME': os.fspath(home), 'TEROK_SHIELD_STATE_DIR': os.fspath(data / 'core'),
           'TEROK_SANDBOX_LIVE_DIR': os.fspath(data / 'core')}
    bundles.task(data / 'core', 'three', '3', profile=['3.3.3.3'])
    m = mount(*words, env=env)
    assert m.status()['source'] == [f'ok {data}/core'], 'duplicates are dropped'
    assert m.status()['problem'] == []


@pytest.mark.parametrize('home', [None, '', 'below'])
def test_home_unset(base, mount, home):
    """Without HOME, or with one that is no path, the password database knows where home is."""
    m = mount(env={'HOME': home, 'TEROK_SHIELD_STATE_DIR': os.fspath(base / 's'),
                   'TEROK_SANDBOX_LIVE_DIR': None})
    sources = m.status()['source']
    assert len(sources) == 3 and sources[0] == f'waiting {base}/s', sources
    import pwd
    home = os.path.realpath(pwd.getpwuid(os.geteuid()).pw_dir)
    assert sources[2].split(' ', 1)[1] == f'{home}/.local/share/terok/core'


@pytest.mark.parametrize('foreground', [[], ['-f']])
def test_no_dev_fuse(state, mnt, root, foreground):
    harness.in_namespace(lambda: refused(*foreground, state, mnt, names=['/dev/fuse']), fuse_mode=None)


@pytest.mark.parametrize('foreground', [[], ['-f']])
def test_no_permission_for_dev_fuse(state, mnt, exe, root, foreground):
    os.chown(mnt, harness.NOBODY, -1)
    harness.in_namespace(lambda: refused(*foreground, state, mnt, exe=exe, names=['/dev/fuse']),
                         uid=harness.NOBODY, fuse_mode=0o600)


@pytest.mark.parametrize('foreground', [[], ['-f']])
def test_no_fusermount(state, mnt, exe, root, foreground):
    os.chown(mnt, harness.NOBODY, -1)
    directories = {os.path.realpath(os.path.dirname(shutil.which('fusermount3'))), '/usr/bin', '/usr/sbin'}

    def prepare():
        for path in directories:
            harness.hide(path)
    harness.in_namespace(lambda: refused(*foreground, state, mnt, exe=exe, names=['fusermount3']),
                         uid=harness.NOBODY, prepare=prepare)


@pytest.mark.parametrize('foreground', [[], ['-f']])
def test_no_permission_for_the_mountpoint(state, mnt, exe, root, foreground):
    """A plain user may mount only on a directory that he may write."""
    harness.in_namespace(lambda: refused(*foreground, state, mnt, exe=exe, names=[mnt]), uid=harness.NOBODY)


def test_allow_other_must_be_allowed(base, state, mnt, exe, root):
    """A plain user's allow_other needs a word in fuse.conf, and the error says which."""
    os.chown(mnt, harness.NOBODY, -1)
    empty = bundles.put(base / 'fuse.conf', '')

    def prepare():
        if os.path.exists('/etc/fuse.conf'):
            harness.system_mount(empty, '/etc/fuse.conf', None, 0x1000)
    harness.in_namespace(lambda: refused('-o', 'allow_other', state, mnt, exe=exe,
                                         names=['user_allow_other']),
                         uid=harness.NOBODY, prepare=prepare)
