# SPDX-License-Identifier: Apache-2.0
"""What shieldfs(7) tells an operator is so: its commands are run as they stand there (in a comment before each stands
what it is), what it says of upgrades, copies and health is tried, and each message of the code is in its tables."""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import signal
import subprocess

import bundles
import harness
import pytest
import watching
from harness import REPO, wait_for
from test_recipes import SETUP, Cook

PAGE = REPO / 'fs/doc/shieldfs.7'
DAEMON = 1  # another user who has a name everywhere: fusermount3 wants one
BLOCK = re.compile(r'^\.\\" (\w+)(?: (\S+))?\n\.Bd -literal.*?\n(.*?)^\.Ed$', re.M | re.S)

# Where the lines `degraded` and `problem` of the status file come from.
MESSAGES = ['core/inspect.c', 'core/catalog.c', 'core/sources.c', 'core/reading.c', 'core/lines.c', 'core/open.h', 'core/error.c',
            'fs/events/watchlist.c', 'fs/events/backlog.c', 'fs/view/findings.c', 'fs/view/status.c']
NO_TEXT = re.compile(r'/\*.*?\*/|^#include.*?$|(?:g_debug|sfs_openmetrics_\w+)\(.*?\);', re.M | re.S)
JOINT = re.compile(r'"\s*(?:G_GSIZE_FORMAT|G_GUINT64_FORMAT|)\s*"')


def blocks(kind):
    return [(name, text.replace(r'\e', '\\')) for k, name, text in BLOCK.findall(PAGE.read_text(encoding='utf-8')) if k == kind]


def block(name, kind='sh'):
    return next(text for n, text in blocks(kind) if n == name)


@pytest.fixture
def operator(base):
    """Somebody who has a home and no view yet; what he has started is gone at the end."""
    operator = Cook(base, SETUP)
    (operator.home / 'shield-health').write_text(block('shield-health', 'file'), encoding='utf-8')
    yield operator
    harness.release(operator.view)


def pid_of(view):
    return int(re.search(r'^pid: (\d+)$', (view / '.shieldfs/status').read_text(), re.M)[1])


def ends(operator):
    harness.unmount(operator.view)
    wait_for(lambda: not harness.servers(operator.view), 'the end of the server')


def test_every_command(operator):
    """In their order; before each but the first there is a view, but for the log there must be none."""
    pids = []
    for name, text in blocks('sh'):
        if name == 'log':
            ends(operator)
        if name == 'copies':
            text = f'{text.strip()} || [ $? = 2 ]'  # some process has ended meanwhile
        output = operator.bash(text, status=1 if name == 'health' else 0)
        if name == 'before':
            assert output == 'not mounted\n'
        else:
            pids.append(pid_of(operator.view))
        if name == 'copies':
            assert f'/proc/{pids[-1]}/mountinfo\n' in output
        if name == 'podman':
            assert operator.called()[-1] == 'id=5f1c09e7ab32'
    assert len(pids) == len(blocks('sh')) - 1 and len(set(pids)) == 3, 'one start, one restart, one more for the log'
    with pytest.raises(OSError):
        (operator.view / 'garbled-1/effective').read_bytes()
    wait_for(lambda: 'garbled-1/deny.list: line 2: ' in (operator.home / 'shieldfs.log').read_text(), 'a line in the log')
    ends(operator)


def test_health(operator):
    check = block('health')
    assert 'not served' in operator.bash(check, status=2)
    operator.mount()
    assert operator.bash(check, status=1) == 'problem: garbled-1/deny.list: line 2: not UTF-8 at byte 12\n'
    (operator.state / 'containers/garbled-1/deny.list').unlink()
    wait_for(lambda: 'problem' not in (operator.view / '.shieldfs/status').read_text(), 'no problem')
    assert operator.bash(check) == ''
    supervisor = pid_of(operator.view)
    server = next(p for p in watching.children_of(supervisor) if watching.has_fuse(p))
    hurry = operator.home / 'shield-health'
    hurry.write_text(hurry.read_text().replace('KILL 5 ', 'KILL 1 '))
    harness.stop(server)
    try:
        assert 'not served' in operator.bash(check, status=2)
    finally:
        os.kill(server, signal.SIGCONT)
    ends(operator)


def test_upgrade(operator, base):
    """The program is removed: the view goes on, with a new announcer, too; then it is restarted with another."""
    old = base / 'old'
    old.mkdir()
    path = operator.env['PATH']
    shutil.copy2(harness.SHIELDFS, old / 'shieldfs')
    operator.env['PATH'] = f'{old}:{path}'
    operator.mount()
    shutil.rmtree(old)
    operator.env['PATH'] = path
    supervisor = pid_of(operator.view)
    announcer = next(p for p in watching.children_of(supervisor) if not watching.has_fuse(p))
    os.kill(announcer, signal.SIGKILL)
    wait_for(lambda: harness.has_ended(announcer) and 'announcer: ok' in (operator.view / '.shieldfs/status').read_text(),
             'another announcer')
    with watching.Watch(operator.view, operator.view / 'web-1/effective') as watch:
        operator.changes()
        watch.wait_for(('web-1/effective', 'MODIFY'))
    operator.bash(block('restart'))
    assert pid_of(operator.view) != supervisor
    ends(operator)


@contextlib.contextmanager
def copied(operator, *words):
    """A mount namespace of its own; gives what leads to the view in it."""
    with subprocess.Popen(['unshare', *words, 'sh', '-c', 'echo; exec sleep infinity'], stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            yield pathlib.Path(f'/proc/{process.pid}/root{operator.view}')
        finally:
            process.kill()


def test_private_copy(operator):
    """It keeps the filesystem alive after an unmount, beside a new one, until its process is told to end."""
    operator.mount()
    with copied(operator, '-rm', '--propagation', 'private') as copy:
        old = pid_of(operator.view)
        harness.unmount(operator.view)
        assert os.listdir(operator.view) == []
        assert (copy / 'web-1/effective').read_text()
        operator.changes()
        wait_for(lambda: 'announcer: stopped' in (copy / '.shieldfs/status').read_text(), 'no more events')
        operator.mount()
        assert pid_of(copy) == old != pid_of(operator.view)
        os.kill(old, signal.SIGTERM)
        wait_for(lambda: harness.has_ended(old), 'the end of the old server')
        with pytest.raises(OSError, match='not connected'):
            os.listdir(copy)
        assert pid_of(operator.view)
    ends(operator)


def test_copy_that_follows(operator, root):
    """Of the directory above the view: unmounts and mounts outside happen inside."""
    harness.run('mount', '--bind', operator.home, operator.home)
    try:
        harness.run('mount', '--make-shared', operator.home)
        operator.mount()
        with copied(operator, '-m', '--propagation', 'slave') as copy:
            assert (copy / 'web-1/effective').read_text()
            ends(operator)
            assert os.listdir(copy) == []
            operator.mount()
            assert pid_of(copy) == pid_of(operator.view)
            ends(operator)
    finally:
        harness.release(operator.view)
        harness.run('umount', '-l', operator.home)


def test_several_users(base, exe, root):
    """Each has his own view of his own containers, and nobody else gets in, root neither."""
    users = {uid: base / str(uid) for uid in (harness.NOBODY, DAEMON)}
    for uid, home in users.items():
        bundles.container(home / 'state', f'of-{uid}', profile=['1.1.1.1'])
        (home / 'view').mkdir()
        os.chown(home / 'view', uid, uid)

    def look(uid):
        for other, home in users.items():
            if other == uid:
                assert sorted(os.listdir(home / 'view')) == ['.shieldfs', f'of-{uid}']
            else:
                with harness.fails(errno.EACCES):
                    os.listdir(home / 'view')

    def body():
        try:
            for uid, home in users.items():
                harness.as_user(uid, lambda home=home: harness.run(exe, home / 'state', home / 'view'))
            for uid in (0, *users):
                harness.as_user(uid, lambda uid=uid: look(uid))
        finally:
            for home in users.values():
                harness.release(home / 'view')
    harness.in_namespace(body)


def texts_of(path):
    """What a part of the code may say, without what is put in."""
    code = JOINT.sub('', NO_TEXT.sub('', (REPO / path).read_text(encoding='utf-8')))
    for literal in re.findall(r'"((?:[^"\\\n]|\\.)*)"', code):
        for part in re.split(r'%[a-z]*|\\n', literal):
            words = part.strip(' :;()')
            if ' ' in words:
                yield words


def test_every_message():
    page = PAGE.read_text(encoding='utf-8').split('\n.Sh MESSAGES\n')[1]
    tables = ' '.join(re.sub(r'^\.(?:It )?\w+ ', '', line) for line in page.split('\n'))
    said = {text for path in MESSAGES for text in texts_of(path)}
    assert len(said) > 30
    assert not {text for text in said if text not in tables}
