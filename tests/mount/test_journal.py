# SPDX-License-Identifier: Apache-2.0
"""Where lines go: to the journal with fields, else to syslog, else to a file that standard error was. A journal that
takes nothing holds nobody up."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess

import bundles
import harness
import pytest
import watching
from harness import wait_for
from test_log import BAD, WRONG, Syslog, answers, open_bad
from test_signals import status_pid

JOURNALD = '/lib/systemd/systemd-journald'
NASTY = b'a\nPRIORITY=0\nMESSAGE\n\xff: b'
ESCAPED = r'a\x0aPRIORITY=0\x0aMESSAGE\x0a\xff: b'


def parse(datagram):
    """The fields of an entry, by the rules of the journal's export format and protocol; each must be there once."""
    fields = {}
    while datagram:
        line, _, datagram = datagram.partition(b'\n')
        name, equals, value = line.partition(b'=')
        if not equals:
            length = int.from_bytes(datagram[:8], 'little')
            value, end, datagram = datagram[8:8 + length], datagram[8 + length:9 + length], datagram[9 + length:]
            assert len(value) == length and end == b'\n', (name, value)
        assert name.decode('ascii') not in fields, (name, fields)
        fields[name.decode('ascii')] = value.decode('utf-8')
    return fields


class Journal:
    """A journal's socket, in a mount namespace of our own."""

    def __init__(self):
        harness.hide('/run')
        os.makedirs('/run/systemd/journal')
        self.entries = []
        self.open()

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind('/run/systemd/journal/socket')
        self.socket.setblocking(False)

    def close(self):
        self.socket.close()

    def poll(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.entries.append(parse(self.socket.recv(1 << 20)))
        return self.entries

    def wait_for(self, text, **fields):
        """An entry with that MESSAGE; returns the rest of it."""
        def found():
            said = [entry for entry in self.poll() if entry['MESSAGE'] == text]
            return said and said[-1]
        entry = wait_for(found, text)
        self.entries.clear()
        common = {'MESSAGE', 'SYSLOG_IDENTIFIER', 'SYSLOG_FACILITY', 'SYSLOG_PID'}
        assert {k: v for k, v in entry.items() if k not in common} == fields
        assert entry['SYSLOG_IDENTIFIER'] == 'shieldfs' and entry['SYSLOG_FACILITY'] == '3'
        return entry


def in_space(body):
    harness.in_child(body, harness.private_namespace)


def start_behind(state, mnt, *words, **kw):
    mnt.mkdir(exist_ok=True)
    harness.run(harness.SHIELDFS, *words, state, mnt, **kw)
    wait_for(lambda: answers(mnt), 'the announcer')
    return status_pid(mnt)


def end(mnt):
    harness.unmount(mnt)
    wait_for(lambda: not harness.servers(mnt), 'the end')


def test_fields(root, base, state):
    """Of each line: whose it is, how bad, and of which mount point, container and file; and whatever a file is called,
    it makes no field."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    mnt = base / 'mnt\n'
    place = f'{base}/mnt\\x0a'
    (behind / 'hooks').mkdir()
    os.mkfifo(os.fsencode(behind) + b'/hooks/' + NASTY)

    def body():
        journal = Journal()
        pid = start_behind(state, mnt)
        about = {'SHIELDFS_MOUNTPOINT': place}
        of_list = about | {'SHIELDFS_CONTAINER': 'c', 'SHIELDFS_FILE': 'deny.list'}
        assert journal.wait_for(f'{place}: mounted', PRIORITY='6', **about)['SYSLOG_PID'] == str(pid)
        open_bad(mnt / 'c/effective')
        assert journal.wait_for(WRONG, PRIORITY='4', **of_list)['SYSLOG_PID'] == str(pid)
        bundles.put(behind / 'deny.list', '')
        journal.wait_for('c/deny.list: right again', PRIORITY='6', **of_list)
        with harness.fails(errno.EIO):
            os.open(os.fsencode(mnt) + b'/c/hooks/' + NASTY, os.O_RDONLY)
        journal.wait_for(f'c/hooks/{ESCAPED}: no regular file: not read', PRIORITY='4', SHIELDFS_CONTAINER='c',
                         SHIELDFS_FILE=f'hooks/{ESCAPED}', **about)
        server, announcer = sorted(watching.children_of(pid), key=lambda p: not watching.has_fuse(p))
        os.kill(announcer, signal.SIGKILL)
        journal.wait_for(f'{place}: the announcer was killed by signal 9 (Killed): there will be another', PRIORITY='4',
                         **about)
        os.kill(server, signal.SIGKILL)
        journal.wait_for(f'{place}: the server was killed by signal 9 (Killed)', PRIORITY='3', **about)
        wait_for(lambda: not harness.servers(mnt), 'the end')
    in_space(body)


def test_journal_that_takes_nothing_and_one_that_goes(root, base, state):
    """One that hangs holds nobody up, and what it loses is counted; one that ends leaves its lines to syslog, and gets
    them when it is back."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    mnt = base / 'mnt'
    kinds = [WRONG, 'c/deny.list: line 1: not UTF-8 at byte 1']

    def break_it(which):
        bundles.put(behind / 'deny.list', (BAD, BAD[3:])[which])
        open_bad(mnt / 'c/denied')

    def body():
        journal = Journal()
        start_behind(state, mnt)
        for i in range(harness.SOCKET_KEEPS + 100):
            break_it(i % 2)
        assert (mnt / 'c/allowed').read_text() == '1.1.1.1\n'
        said = [entry['MESSAGE'] for entry in journal.poll()]
        assert said[1:] == [kinds[i % 2] for i in range(len(said) - 1)]
        break_it(0)
        break_it(1)
        lost = harness.SOCKET_KEEPS + 100 - (len(said) - 1)
        assert lost >= 99
        wait_for(lambda: journal.poll()[-1]['MESSAGE'] == kinds[1], 'the last line')
        said = [entry['MESSAGE'] for entry in journal.entries][len(said):]
        assert said == [f'{lost} lines were lost: the log did not take them', kinds[0], kinds[1]]

        syslog = Syslog()
        journal.close()
        break_it(0)
        wait_for(lambda: any(line.endswith(f': {WRONG}') for line in syslog.poll()), 'the line in syslog')
        assert len(syslog.lines) == 1
        os.unlink('/run/systemd/journal/socket')
        break_it(1)
        wait_for(lambda: len(syslog.poll()) == 2, 'another line in syslog')
        journal.open()
        journal.entries.clear()
        break_it(0)
        wait_for(lambda: [entry['MESSAGE'] for entry in journal.poll()] == [WRONG], 'the line in the journal')
        assert len(syslog.poll()) == 2
        end(mnt)
    in_space(body)


def test_neither(root, base, state):
    """Where there is no journal and no syslog, a file that standard error was has the lines. Nothing else is kept open:
    who waits for the end of a pipe sees it."""
    bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    mnt = base / 'mnt'

    def body():
        harness.hide('/run')
        harness.hide('/dev', [('null', 1, 3), ('urandom', 1, 9), ('fuse', 10, 229)])
        start_behind(state, mnt)  # which reads its standard error to the end
        open_bad(mnt / 'c/denied')
        end(mnt)
        with open(base / 'file', 'wb') as file:
            subprocess.run([harness.SHIELDFS, state, mnt], stderr=file, check=True, timeout=harness.TIMEOUT)
        wait_for(lambda: answers(mnt), 'the announcer')  # after which the supervisor is done with the launcher's
        open_bad(mnt / 'c/denied')
        assert (base / 'file').read_text() == f'shieldfs: {mnt}: mounted\nshieldfs: {WRONG}\n'
        end(mnt)
        os.makedirs('/run/systemd/journal')
        journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        journal.bind('/run/systemd/journal/socket')
        with open(base / 'file', 'wb') as file:
            subprocess.run([harness.SHIELDFS, state, mnt], stderr=file, check=True, timeout=harness.TIMEOUT)
        wait_for(lambda: answers(mnt), 'the announcer')  # after which the supervisor is done with the launcher's
        journal.close()  # which was there at the start: so the file is not kept open
        open_bad(mnt / 'c/denied')
        assert (base / 'file').read_bytes() == b''
        end(mnt)
    in_space(body)


@pytest.mark.parametrize('whose', ['the journal', 'another'])
def test_foreground_as_a_service(root, base, state, whose):
    """Standard error is what systemd has connected with the journal: JOURNAL_STREAM says so. Then lines have fields; and
    not if it has become something else since."""
    bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    mnt = base / 'mnt'
    mnt.mkdir()

    def body():
        journal = Journal()
        ours, theirs = socket.socketpair()
        told = os.fstat((theirs if whose == 'the journal' else ours).fileno())
        process = subprocess.Popen([harness.SHIELDFS, '-f', state, mnt], stderr=theirs,
                                   env=dict(os.environ, JOURNAL_STREAM=f'{told.st_dev}:{told.st_ino}'))
        theirs.close()
        wait_for(lambda: answers(mnt), 'the mount')
        open_bad(mnt / 'c/denied')
        if whose == 'the journal':
            entry = journal.wait_for(WRONG, PRIORITY='4', SHIELDFS_MOUNTPOINT=str(mnt), SHIELDFS_CONTAINER='c',
                                     SHIELDFS_FILE='deny.list')
            assert entry['SYSLOG_PID'] == str(process.pid)
            journal.close()  # what it has connected with the service is still there
            bundles.put(state / 'containers/c/deny.list', BAD[3:])
            open_bad(mnt / 'c/denied')
        process.terminate()
        assert process.wait(harness.TIMEOUT) == 0
        said = b''.join(iter(lambda: ours.recv(65536), b'')).decode().splitlines()
        assert f'shieldfs: {WRONG}' not in said if whose == 'the journal' else f'shieldfs: {WRONG}' in said
        assert whose != 'the journal' or 'shieldfs: c/deny.list: line 1: not UTF-8 at byte 1' in said
        assert whose == 'the journal' or not journal.poll()
    in_space(body)


def test_journalctl(root, base, state):
    """A real journal, and what journalctl finds in it."""
    bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    mnt = base / 'mnt'

    def body():
        harness.hide('/run')
        harness.hide('/dev', [('null', 1, 3), ('urandom', 1, 9), ('fuse', 10, 229)])
        os.makedirs('/run/systemd/journal')
        os.makedirs('/run/log/journal')
        id_file = base / 'machine-id'
        id_file.write_text('0123456789abcdef0123456789abcdef\n', encoding='ascii')
        harness.system_mount(id_file, '/etc/machine-id', None, 0x1000)
        journald = subprocess.Popen([JOURNALD], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: os.path.exists('/run/systemd/journal/socket'), 'the journal')
            pid = start_behind(state, mnt)
            open_bad(mnt / 'c/denied', 50)
            bundles.put(state / 'containers/c/deny.list', '')
            assert (mnt / 'c/denied').read_text() == ''

            def found(*words):
                done = harness.run('journalctl', '-D', '/run/log/journal', '-o', 'json', '-t', 'shieldfs', *words, ok=False)
                return [json.loads(line) for line in done.stdout.splitlines()]
            wait_for(lambda: len(found()) == 3, 'the lines, while there is a process to say more about')
            end(mnt)
            wait_for(lambda: len(found()) == 4, 'all lines')
            assert [found()[i]['MESSAGE'] for i in (0, -1)] == [f'{mnt}: mounted', f'{mnt}: unmounted']
            assert [entry['MESSAGE'] for entry in found('SHIELDFS_CONTAINER=c')] == [WRONG, 'c/deny.list: right again']
            assert [entry['MESSAGE'] for entry in found('-p', 'warning')] == [WRONG]
            wrong = found('SHIELDFS_FILE=deny.list', f'SHIELDFS_MOUNTPOINT={mnt}')[0]
            assert (wrong['SYSLOG_PID'], wrong['_COMM']) == (str(pid), 'shieldfs-server')
        finally:
            journald.terminate()
            journald.wait()
    in_space(body)


LINES = {'error': [], 'warning': [WRONG], 'info': [WRONG, 'c/deny.list: right again'],
         'debug': [WRONG, 'c/deny.list: right again']}


@pytest.mark.parametrize('word', LINES)
def test_loglevel(base, state, word):
    """Each word shows what is as bad, or worse. What goes wrong at the start is always told."""
    behind = bundles.container(state, 'c', live=['1.1.1.1'], files={'deny.list': BAD})
    mnt, log = base / 'mnt', base / 'log'
    refused = harness.run(harness.SHIELDFS, '-f', '-o', f'loglevel={word}', state, mnt, ok=False)
    assert b'no such mount point' in refused.stderr and refused.returncode == 1
    mnt.mkdir()
    with open(log, 'wb') as file:
        process = subprocess.Popen([harness.SHIELDFS, '-f', '-o', f'loglevel={word}', state, mnt],
                                   stdin=subprocess.DEVNULL, stderr=file)
    try:
        wait_for(lambda: answers(mnt), 'the mount')
        open_bad(mnt / 'c/denied')
        bundles.put(behind / 'deny.list', '')
        assert (mnt / 'c/denied').read_text() == ''
        server = next(p for p in watching.children_of(process.pid) if watching.has_fuse(p))
        os.kill(server, signal.SIGKILL)
        assert process.wait(harness.TIMEOUT) == 1
        lines = [line.removeprefix('shieldfs: ') for line in log.read_text().splitlines()]
        traced = [line for line in lines if line.startswith('debug: ')]
        assert [line for line in lines if line not in traced] == [
            *LINES[word], f'error: {mnt}: the server was killed by signal 9 (Killed)']
        assert bool(traced) == (word == 'debug')
    finally:
        process.kill()
        process.wait()
        harness.release(mnt)
