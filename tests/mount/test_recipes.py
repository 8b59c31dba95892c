# SPDX-License-Identifier: Apache-2.0
"""The recipes work: each block of recipes.md is run as it stands there, by somebody who has the samples for his own
containers. What is `endless` must do its work at a change, and go on until it is ended. podman and notify-send are
scripts that note how they were called; this podman runs the command in a mount namespace as the real one makes it."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile

import harness
import pytest
from harness import REPO, wait_for
from test_notifiers import NODE_PATH, waits_without_end

PAGE = REPO / 'fs/doc/recipes.md'
BLOCK = re.compile(r'(?:^`(\S+)`:\n\n)?^```(\w+)(?: (\w+))?\n(.*?)^```$', re.M | re.S)
SETUP = 'setup'
tried = set()

NOTE = '''#!/bin/sh
printf '%s\\n' "$(basename "$0")" "$@" >>"$HOME/called"
'''
# What podman does with -v OUTSIDE:INSIDE:ro,rslave; the image is this system.
PODMAN = NOTE + '''
[ "$1" = run ] || exit 0
outside=${4%%:*} inside=${4#*:} inside=${inside%%:*}
[ "$2 $3 ${4##*:} $5" = '--rm -v ro,rslave debian' ] || exit 1
shift 5
exec unshare -rm --propagation slave sh -euc '
    mount --rbind "$1" "$2"
    mount -o remount,bind,ro "$2"
    shift 2
    exec "$@"' sh "$outside" "$inside" "$@"
'''


def recipes():
    """{heading: [(name, language, kind, text)]}; what is above the first heading is the setup."""
    parts = re.split(r'^## (.*)$', PAGE.read_text(encoding='utf-8'), flags=re.M)
    parts[0] = SETUP + '\n' + parts[0]
    sections = {SETUP: parts[0], **dict(zip(parts[1::2], parts[2::2]))}
    return {heading: BLOCK.findall(text) for heading, text in sections.items()}


def recipe(heading):
    """The test of a recipe."""
    tried.add(heading)
    return pytest.mark.parametrize('cook', [heading], indirect=True)


class Output:
    """What a command has printed so far."""

    def __init__(self, path):
        self.path = path

    def __call__(self):
        return self.path.read_text(encoding='utf-8')

    __repr__ = __call__


class Cook:
    """Somebody with a home, a view in it, and one recipe."""

    def __init__(self, base, heading):
        self.home, self.backup, programs = base / 'home', base / 'backup', base / 'bin'
        self.state = self.home / '.local/state/terok/shield'
        self.view = self.home / 'shield'
        for path in (self.home, self.backup, programs):
            path.mkdir()
        shutil.copytree(REPO / 'tests/data/state', self.state)
        for name, text in (('podman', PODMAN), ('notify-send', NOTE)):
            (programs / name).write_text(text, encoding='ascii')
            (programs / name).chmod(0o755)
        (programs / 'shieldfs').symlink_to(harness.SHIELDFS.resolve())
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(('TEROK_', 'XDG_', 'GO'))}
        self.env.update(HOME=os.fspath(self.home), BACKUP=os.fspath(self.backup), LC_ALL='C.UTF-8', NODE_PATH=NODE_PATH,
                        PATH=f'{programs}:{os.environ["PATH"]}')
        self.blocks = recipes()[heading]
        for name, _, _, text in self.blocks:
            if name:
                (self.home / name).write_text(text, encoding='utf-8')

    def texts(self, wanted=''):
        return [text for name, language, kind, text in self.blocks if not name and language == 'sh' and kind == wanted]

    def bash(self, text, *before, status=0):
        """What it prints."""
        done = subprocess.run([*before, 'bash', '-c', text], cwd=self.home, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=4 * harness.TIMEOUT, check=False)
        output = done.stdout.decode('utf-8')
        assert done.returncode == status, (text, output)
        return output

    def mount(self):
        for _, _, _, text in recipes()[SETUP]:
            self.bash(text)
        wanted = {'complete: yes', 'announcer: ok'}
        wait_for(lambda: wanted <= set((self.view / '.shieldfs/status').read_text().splitlines()), wanted)

    def follow(self, number=0, status=0):
        return self.bash(self.texts()[number], status=status)

    @contextlib.contextmanager
    def going_on(self, number=0):
        """The N-th endless block, which must still be running at the end; gives what reads its output so far."""
        out = self.home / 'out'
        with open(out, 'wb') as file, subprocess.Popen(['bash', '-c', self.texts('endless')[number]], cwd=self.home, env=self.env,
                                                       stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                                       start_new_session=True) as process:
            try:
                yield process.pid, Output(out)
                assert process.poll() is None, out.read_text(encoding='utf-8')
            finally:
                os.killpg(process.pid, signal.SIGKILL)

    def changes(self, container='web-1', entry='203.0.113.7'):
        with open(self.state / 'containers' / container / 'live.allowed', 'a', encoding='ascii') as file:
            file.write(f'{entry}\n')

    def directories(self):
        return sum(1 for _ in os.walk(self.view))

    def called(self):
        path = self.home / 'called'
        return path.read_text(encoding='utf-8').splitlines() if path.exists() else []


@pytest.fixture
def cook(base, request):
    cook = Cook(base, request.param)
    cook.mount()
    yield cook
    harness.unmount(cook.view)
    wait_for(lambda: not harness.servers(cook.view), 'the end of the server')


def processes(session):
    """The directories in /proc of the processes of a session."""
    for proc in pathlib.Path('/proc').iterdir():
        with contextlib.suppress(OSError):
            if proc.name.isdigit() and int((proc / 'stat').read_text().rpartition(') ')[2].split()[3]) == session:
                yield proc


def watches(session):
    """How many inotify watches they have."""
    count = 0
    for proc in processes(session):
        with contextlib.suppress(OSError):
            count += sum(info.read_text().count('inotify wd:') for info in (proc / 'fdinfo').iterdir())
    return count


def read_to_the_end(session, name):
    """How many files called NAME they have open, and have read to their ends."""
    count = 0
    for proc in processes(session):
        with contextlib.suppress(OSError):
            for link in (proc / 'fd').iterdir():
                path = os.readlink(link)
                at = int((proc / 'fdinfo' / link.name).read_text().split()[1])
                count += os.path.basename(path) == name and at == os.stat(path).st_size
    return count


def entr_waits(session):
    """What comes in its first moments, and shortly after a run, is none of entr's business."""
    with contextlib.suppress(OSError):
        return any((proc / 'comm').read_text() == 'entr\n' and waits_without_end(proc.name) for proc in processes(session))
    return False  # one has ended meanwhile: look again


def check_watcher(cook, line, ready, number=0):
    """It prints LINE at a change of web-1/effective, and again at the next."""
    with cook.going_on(number) as (session, output):
        wait_for(lambda: ready(session), output)
        cook.changes()
        wait_for(lambda: re.search(line.format(8), output()), output)
        wait_for(lambda: ready(session), output)
        cook.changes(entry='203.0.113.8')
        wait_for(lambda: re.search(line.format(9), output()), output)
        assert 'dns-1/effective' not in output()


def has_watches(count):
    return lambda session: watches(session) >= count


@recipe('Who lists an address?')
def test_who_lists_an_address(cook):
    words, spellings = cook.texts()
    assert cook.bash(words, status=2).splitlines() == [
        f'{cook.view}/acme.7/effective',
        f'grep: {cook.view}/garbled-1/effective: Invalid or incomplete multibyte or wide character']
    output = cook.bash(spellings, status=2)
    assert 'web-1 198.51.100.128/25\n' in output and 'garbled-1' in output
    (cook.state / 'containers/garbled-1/deny.list').unlink()
    assert cook.bash(words) == f'{cook.view}/acme.7/effective\n'
    assert cook.bash(spellings) == 'web-1 198.51.100.128/25\n'


@recipe('What was changed live?')
def test_what_was_changed_live(cook):
    lists, when = cook.texts()
    assert 'web-1/live.allowed:192.0.2.200\n' in cook.bash(lists)
    assert '2026-03-08T09:10:00+00:00\tacme-cli-7\tdenied\t198.51.100.77\n' in cook.bash(when)


@recipe('A command at each change')
def test_entr(cook):
    check_watcher(cook, r'(?m)^{} .*web-1/effective$', entr_waits)


@recipe('A command at each change')
def test_loop_across_a_remount(cook):
    with cook.going_on(1) as (_, output):
        for entry in ('203.0.113.7', '203.0.113.8'):
            wait_for(lambda: 'dns-1/effective' in output(), output)  # all of them, when it watches
            pathlib.Path(cook.home / 'out').write_bytes(b'')
            cook.changes(entry=entry)
            wait_for(lambda: 'web-1/effective' in output(), output)
            assert 'dns-1/effective' not in output()
            harness.unmount(cook.view)
            wait_for(lambda: not harness.servers(cook.view), 'the end of the server')
            cook.mount()
        wait_for(lambda: 'dns-1/effective' in output(), output)


@recipe('A systemd path unit')
def test_path_unit(cook):
    units = [cook.home / name for name, language, _, _ in cook.blocks if language == 'ini']
    assert [u.suffix for u in units] == ['.path', '.service']
    verify = 'XDG_RUNTIME_DIR=~ systemd-analyze --user --man=no --recursive-errors=one verify'
    assert cook.bash(' '.join([verify, *(u.name for u in units)])) == ''
    path = re.search(r'^PathChanged=%h/(.*)$', units[0].read_text(), re.M)[1]
    assert (cook.home / path).exists()
    assert units[0].stem == units[1].stem, 'the path unit starts the service of its name'


@recipe('A notification on the desktop')
def test_notification(cook):
    with cook.going_on() as (session, output):
        wait_for(lambda: watches(session) >= cook.directories(), output)
        cook.changes()
        wait_for(lambda: '203.0.113.7' in cook.called(), cook.called)
    assert cook.called()[:2] == ['notify-send', 'web-1 may reach something else']


@recipe('All audit logs in one stream')
def test_audit_logs(cook):
    lines = [json.loads(line) for line in cook.follow().splitlines()]
    assert len(lines) == sum(len(p.read_text().splitlines()) for p in cook.state.rglob('audit.jsonl'))
    assert [line['ts'] for line in lines] == sorted(line['ts'] for line in lines)
    assert len({line['container'] for line in lines}) == 6
    with cook.going_on() as (session, output):
        line = '{"ts":"2026-03-09T00:00:00+00:00","container":"web-1","action":"shield_up"}\n'
        wait_for(lambda: read_to_the_end(session, 'audit.jsonl') >= 6, output)
        with open(cook.state / 'containers/web-1/audit.jsonl', 'a', encoding='ascii') as file:
            file.write(line)
        wait_for(lambda: output() == line, output)


@recipe('Would nft take the list?')
def test_nft(cook):
    assert cook.follow() == ''
    cook.changes(entry='198.51.100.200')  # which is in 198.51.100.128/25
    assert 'conflicting intervals' in cook.follow(status=1)
    garbled = cook.texts()[0].replace('web-1', 'garbled-1')
    cook.bash(garbled, status=2)


@recipe('A watcher in Python')
def test_python(cook):
    check_watcher(cook, r'web-1/effective {}\n', has_watches(cook.directories()))


@recipe('A watcher in Go')
def test_go(cook):
    assert cook.follow() == ''
    check_watcher(cook, r'web-1/effective {} <nil>\n', has_watches(2))


@recipe('A watcher in Node.js')
def test_node(cook):
    check_watcher(cook, r'change .*web-1/effective {}\n', has_watches(len(list(cook.view.rglob('*')))))


@recipe('Prometheus')
def test_prometheus(cook):
    collected = cook.env['COLLECTED'] = os.fspath(cook.backup)
    assert cook.follow() == ''
    [name] = os.listdir(collected)
    assert name == f'shieldfs{os.fspath(cook.view).replace("/", "-")}.prom'
    text = (cook.backup / name).read_text(encoding='utf-8')
    assert f'\nshieldfs_containers{{view="{cook.view}"}} 6\n' in text
    for sample, kind in re.findall(r'^# TYPE (\S+) (\S+)$', text, re.M):
        assert sample.endswith('_total') == (kind == 'counter')
    cook.bash(cook.texts()[0].replace('~/shield', '~/no-view'), status=1)
    assert os.listdir(collected) == [name] and (cook.backup / name).read_text() == text


@recipe('A backup that leaves the view out')
def test_backup(cook):
    cook.follow()
    with tarfile.open(cook.backup / 'home.tar') as tar:
        names = tar.getnames()
    assert './shield' in names and './.local/state/terok/shield/containers/web-1/live.allowed' in names
    assert not [n for n in names if n.startswith('./shield/')]
    assert os.listdir(cook.backup / 'home/shield') == []
    assert (cook.backup / 'home/.local/state/terok/shield/containers/web-1/live.allowed').exists()


@recipe('A backup that leaves the view out')
def test_backup_by_another(cook, root):
    cook.backup.chmod(0o777)
    output = cook.bash(cook.texts('other')[0], 'setpriv', f'--reuid={harness.NOBODY}', '--clear-groups')
    assert output == '' or 'Removing leading' in output, output
    with tarfile.open(cook.backup / 'home.tar') as tar:
        names = tar.getnames()
    for name in (*names, *(os.fspath(p) for p in cook.backup.rglob('*'))):
        assert not name.endswith('home/shield') and 'home/shield/' not in name
    assert any(n.endswith('web-1/live.allowed') for n in names)
    assert list((cook.backup / 'home').rglob('web-1/live.allowed'))


@recipe('Which container is it for Podman?')
def test_podman(cook):
    by_id, by_name = cook.texts()
    cook.bash(by_id)
    assert cook.called() == ['podman', 'ps', '--filter', 'id=5f1c09e7ab32']
    assert 'acme.7\tacme-cli-7\n' in cook.bash(by_name)


@recipe('The view in a container')
def test_view_in_a_container(cook):
    start, end = cook.texts()
    try:
        assert '192.0.2.10\n' in cook.bash(start)
        assert f'{cook.home}/views:/mnt:ro,rslave' in cook.called()
    finally:
        cook.bash(end)
    wait_for(lambda: not harness.servers(cook.home / 'views/shield'), 'the end of the server')


def test_all_are_tried():
    assert tried | {SETUP} == set(recipes())
