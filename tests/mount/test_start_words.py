# SPDX-License-Identifier: Apache-2.0
"""What the start is told: words, names of devices and places of any length, as mount(8) and fstab hand them over; one
line on standard error for whatever is refused."""

import os
import pathlib
import resource
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


@pytest.mark.parametrize('words, said', [
    (['-o', 'remount,rw', 'STATE', 'MNT'], 'remount: this is between you and the kernel: mount -i -o remount,OPTIONS MOUNTPOINT'),
    (['-o', 'settle', 'STATE', 'MNT'], "settle: this option takes a value, after '='"),
    (['-o', 'settle=', 'STATE', 'MNT'], "'': -o settle= takes milliseconds, at most an hour"),
    (['STATE', ''], "'': an empty MOUNTPOINT"),
    (['-df', 'STATE', 'MNT'], '-df: unknown option, or one word too many'),
], ids=str)
def test_what_is_wrong_with_a_word(place, state, words, said):
    assert refused(*({'STATE': state, 'MNT': place}.get(w, w) for w in words)) == f"shieldfs: {said}: see 'shieldfs --help'\n"


@pytest.mark.parametrize('words', [['STATE', '.'], ['MNT'], ['there', 'MNT']], ids=' '.join)
def test_current_directory_is_gone(base, place, state, words):
    """It is not taken for the root, as the place to mount or as a source; what is absolute needs none."""
    (base / 'gone').mkdir()
    argv = [{'STATE': state, 'MNT': place}.get(w, w) for w in words]
    go = ['sh', '-c', 'cd "$1" && rmdir "$1" && shift && exec "$@"', 'sh', base / 'gone', harness.SHIELDFS, *argv]
    if words == ['MNT']:
        begun(*go[1:], exe=go[0], env={**os.environ, 'TEROK_SHIELD_STATE_DIR': os.fspath(state)})
        ended(place)
    else:
        said = refused(*go[1:], exe=go[0])
        assert said == f"shieldfs: {words[0 if words[-1] == 'MNT' else 1]}: the current directory is gone: change to another: " \
            "see 'shieldfs --help'\n"
        assert entries(place) == 0


def test_too_few_descriptors(place, state):
    limits = {'preexec_fn': lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))}
    assert refused(state, place, **limits) == 'shieldfs: ulimit -Hn: 40 open files are too few: raise that to 64 at least\n'
    begun(state, place, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert (place / '.shieldfs/status').read_text(encoding='ascii').startswith('source: ok ')
    ended(place)


def test_what_the_machine_lacks(base, place, state, root):
    """No /proc; a /dev/fuse that is another device, or whose filesystem takes none: each is said."""
    def body():
        os.unlink('/dev/fuse')
        os.mknod('/dev/fuse', 0o20666, os.makedev(1, 3))
        assert "/dev/fuse: not the kernel's device: that is made by mknod -m 666 /dev/fuse c 10 229" in refused(state, place)
        (base / 'nodev').mkdir()
        harness.system_mount('tmpfs', base / 'nodev', 'tmpfs', 0x4)
        os.mknod(base / 'nodev/fuse', 0o20666, os.makedev(10, 229))
        harness.system_mount(base / 'nodev/fuse', '/dev/fuse', None, 0x1000)
        assert '/dev/fuse: no permission: ' in refused(state, place)
        if harness.SLOW:  # a sanitizer needs a /proc itself
            return
        harness.hide('/proc')
        assert refused(state, place) == 'shieldfs: /proc: No such file or directory: mount it: what is open is found by it\n'
    harness.in_namespace(body)


def test_overlap_is_told_first(state):
    """Not that the mount point is not empty, which to allow would lead to the next refusal."""
    bundles.container(state, 'c')
    assert 'the source lies inside the mount point' in refused(state / 'containers', state)
    assert 'the source contains the mount point' in refused(state, state / 'containers')
