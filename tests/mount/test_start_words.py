# SPDX-License-Identifier: Apache-2.0
"""What the start is told: words, names of devices and places of any length, as mount(8) and fstab hand them over; one
line on standard error for whatever is refused."""

import os
import pathlib
import shutil
import socket
import subprocess

import bundles
import harness
import pytest
from harness import run
from test_start import begun, ended, entries, refused, start

WORDS = ('defaults,async,atime,noatime,auto,noauto,dev,nodev,diratime,nodiratime,dirsync,exec,noexec,group,iversion,'
         'noiversion,mand,nomand,_netdev,nofail,relatime,norelatime,strictatime,nostrictatime,lazytime,nolazytime,'
         'suid,nosuid,silent,loud,owner,ro,rw,sync,user,nouser,users,X-mount.mkdir,X-mount.mkdir=755,x-gvfs-hide,'
         'x-systemd.automount,x-systemd.requires=/,comment=x,nosymfollow,uhelper=x,helper=x,private,rprivate,shared,'
         'slave,unbindable,auto_unmount,user=someone')
OTHERS = ('attr_timeout=1', 'entry_timeout=1', 'use_ino', 'kernel_cache', 'umask=022', 'uid=1000', 'bogus', 'remount')


def shown(path):
    return harness.mounts()[os.fspath(path)][2]


def test_mount_that_is_refused(place, state, root):
    """What the kernel or its helper says, with the place, in one line."""
    said = refused('-o', 'rootcontext=no:such:label', state, place)
    assert said.startswith(f'shieldfs: {place}: could not be mounted: '), said
    assert entries(place) == 0


def test_helper_that_refuses(place, state, exe, root):
    """fusermount3 has no use for SELinux's words; what it says comes in our line."""
    os.chown(place, harness.NOBODY, -1)

    def body():
        said = refused('-o', 'context=no:such:label', state, place, exe=exe)
        assert said.startswith(f'shieldfs: {place}: could not be mounted: fusermount3: '), said
    harness.in_namespace(body, uid=harness.NOBODY)


@pytest.mark.parametrize('words', [['a', 'b', 'c'], ['', 'MNT'], ['STATE', ''], ['STATE', 'MNT', '-o'], ['STATE', '--'],
                                   ['-o', 'fsname=', 'STATE', 'MNT'], ['--', 'STATE', 'MNT', '-f'], ['-o', 'STATE'],
                                   ['a:', 'MNT'], ['STATE', 'a' * 300], ['STATE', 'a/' * 2500], ['STATE', '/proc/1/mem'],
                                   ['STATE', '\n\x1b']], ids=repr)
def test_wrong_words(place, state, words):
    refused(*({'STATE': state, 'MNT': place}.get(w, w) for w in words))
    assert entries(place) == 0


@pytest.mark.parametrize('name', ['a,b', 'a\\b', 'a b', 'tab\t#', 'line\nline', '\x01\x7f', 'none', 'ümläut', '-'])
def test_device_name(place, state, name):
    begun('-o', 'fsname=' + name.replace('\\', '\\\\').replace(',', '\\,'), state, place)
    assert shown(place) == name.encode('utf-8').decode('utf-8')
    ended(place)


def longest(place):
    """How long a device may be so that the line of the mount table is not too long: 255 is for the rest."""
    return 4095 - 255 - len(os.fspath(place))


def long_source(state, length):
    """A SOURCE of LENGTH bytes, STATE the first of it; none of the others exists."""
    text = ':'.join([os.fspath(state), *(f'/{i:0200}' for i in range(length // 200 + 1))])[:length]
    return text[:-1] + 'x'


def check_long_sources(state, place, exe=harness.SHIELDFS):
    for length, fits in ((longest(place), True), (longest(place) + 1, False), (20000, False)):
        source = long_source(state, length)
        begun(source, place, exe=exe)
        assert shown(place) == (source if fits else 'shieldfs')
        assert (place / 'c/effective').read_bytes() == b'1.1.1.1\n'
        status = (place / '.shieldfs/status').read_text(encoding='utf-8')
        assert status.count('\nsource: ') + 1 == source.count(':') + 1
        ended(place)


def test_long_sources(place, state):
    check_long_sources(state, place)


def test_long_sources_of_a_plain_user(place, state, exe, root):
    """fusermount3 -u must find the mount in the table."""
    os.chown(place, harness.NOBODY, -1)
    harness.in_namespace(lambda: check_long_sources(state, place, exe=exe), uid=harness.NOBODY)


def deep(base, length):
    path = os.fspath(base)
    while len(path) < length:
        rest = length - len(path) - 1
        path += '/' + 'd' * (rest if rest <= 200 else min(200, rest - 2))
    os.makedirs(path)
    return pathlib.Path(path)


def test_long_place(place, base, state):
    """The longest path that can be mounted on, and the first that is too long."""
    length = 4095 - 255 - len('shieldfs')
    good = deep(base / 'good', length)
    begun(state, good)
    assert shown(good) == 'shieldfs' and (good / 'c/effective').read_bytes() == b'1.1.1.1\n'
    ended(good)
    for more in (1, 100, 255):
        bad = deep(base / f'bad{more}', length + more)
        assert refused(state, bad) == 'shieldfs: MOUNTPOINT: File name too long\n'
        assert refused(state, bad / 'missing') == 'shieldfs: MOUNTPOINT: File name too long\n'
        assert entries(bad) == 0


@pytest.fixture
def helper(root, exe):
    """helper(BODY) runs BODY where mount(8) finds our program."""
    def prepare():
        harness.system_mount('tmpfs', '/usr/local/sbin', 'tmpfs', 0)
        shutil.copy2(exe, '/usr/local/sbin/shieldfs')

    def within(body):
        harness.in_namespace(body, prepare=prepare)
    return within


def mounted(*words):
    done = run('mount', *words, ok=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_mount_as_autofs_calls_it(helper, place, state):
    def body():
        for words in (['-n'], ['-v'], ['-s'], ['-r'], ['-w'], ['-n', '-s'], ['-o', WORDS], ['-c']):
            assert mounted(*words, '-t', 'fuse.shieldfs', state, place)[0] == 0, words
            assert {'nosuid', 'nodev', 'noexec'} <= set(harness.mounts()[os.fspath(place)][0])
            ended(place)
        for word in OTHERS:
            code, said = mounted('-o', word, '-t', 'fuse.shieldfs', state, place)
            assert code != 0 and said.startswith('shieldfs: ') and said.count('\n') == 1 and word in said, said
            assert entries(place) == 0
    helper(body)


@pytest.mark.parametrize('options', ['nofail', 'nonempty', 'defaults,,nofail'])
def test_mount_all_twice(helper, place, base, state, options):
    """mount(8) leaves alone what is mounted: it knows it by the source."""
    for name in ('sp ace', 'col:on', 'home'):
        (base / name / 'containers').mkdir(parents=True)
    (base / 'link').symlink_to(state)
    table = base / 'fstab'
    sources = [f'{state}', f'{state}/', f'{base}/./state', f'{base}//state', f'{base}/home/../state', f'{base}/link',
               f'{state}:{base}/home', f'{state}/:{base}/./home', f'{base}/link:{state}', f'{base}/sp\\040ace',
               f'{base}/col\\134:on', f'{base}/missing', f'{base}/missing/', 'state', './state', 'state/', 'missing',
               'state:home', 'none', 'home:x', ':'.join([f'{base}/{"x" * 200}'] * 10)]

    def body():
        os.chdir(base)
        os.environ['HOME'] = f'{base}/home'
        for source in sources:
            table.write_text(f'{source} {place} fuse.shieldfs {options} 0 0\n', encoding='utf-8')
            for _ in range(2):
                status, said = mounted('-a', '-T', table)
                assert status == 0 and all(harness.ABSENT.fullmatch(ln) for ln in said.splitlines()), (source, said)
                assert entries(place) == 1, source
            ended(place)
    helper(body)


CONF = ['user_allow_other\n', '  user_allow_other  \n', 'user_allow_other # for the backup\n', 'user_allow_other#\n',
        '\tuser_allow_other\t#x\n', 'user_allow_other\r\n', 'mount_max = 10\n\nuser_allow_other\n', '#user_allow_other\n',
        '# user_allow_other\nx\n', 'user_allow_other', 'x\nuser_allow_other', 'user_allow_other x\n',
        'user_allow_other=1\n', 'user_allow_other\x0b\n', 'user_allow_others\n', 'User_allow_other\n',
        'user_allow_other' + ' ' * 238 + '\n', 'user_allow_other' + ' ' * 239 + '\n', ' ' * 254 + 'user_allow_other\n',
        '#' * 300 + '\nuser_allow_other\n', ' ' * 255 + '\nuser_allow_other\n', '']


@pytest.mark.parametrize('text', CONF, ids=repr)
def test_fuse_conf_as_the_helper_reads_it(place, base, state, exe, root, text):
    """-o allow_other of a plain user: with the same file, fusermount3 and we are of one mind."""
    conf = bundles.put(base / 'fuse.conf', text)
    os.chown(place, harness.NOBODY, -1)

    def prepare():
        harness.system_mount(conf, '/etc/fuse.conf', None, 0x1000)

    def body():
        ours, its = socket.socketpair()  # nobody takes what it hands over
        with ours, its:
            helper = subprocess.run(['fusermount3', '-o', 'allow_other,fsname=x', '--', place], capture_output=True,
                                    text=True, check=False, pass_fds=[its.fileno()],
                                    env=dict(os.environ, _FUSE_COMMFD=str(its.fileno())))
        taken = 'only allowed if' not in helper.stderr
        if entries(place):
            run('fusermount3', '-uz', place)
        if taken:
            process = start('-o', 'allow_other', state, place, exe=exe)
            process.communicate(timeout=harness.TIMEOUT)
            assert process.returncode == 0
            ended(place)
        else:
            assert 'needs the line user_allow_other in /etc/fuse.conf' in refused('-o', 'allow_other', state, place,
                                                                                exe=exe)
    harness.in_namespace(body, uid=harness.NOBODY, prepare=prepare)
