# SPDX-License-Identifier: Apache-2.0
"""Ordinary tools on the mount, each compared byte for byte with the truth: a plain directory that holds what
the view should show. And tools that walk over a list that can't be decoded must fail, and name it."""

import hashlib
import io
import mmap
import os
import re
import shutil
import stat
import subprocess
import tarfile

import bundles
import harness
import pytest
import reference
from harness import run, wait_for


@pytest.fixture
def truth(base, state):
    """Bundles of several kinds; returns the directory of plain files that the view must equal."""
    bundles.full(state / 'containers/web-1')
    bundles.task(state, 'acme', 'k3f9p', {'audit.jsonl': '{"action":"setup"}\n'},
                 profile=['192.0.2.1', '192.0.2.9'])
    bundles.container(state, '_default', live=['198.51.100.7'])
    bundles.container(state, 'odd', {
        'profile.allowed': b'\xef\xbb\xbf1.1.1.1\r\n\x1c2.2.2.2\xe2\x80\xa83.3.3.3\0\n\n# note',
        'deny.list': b'2.2.2.2',
        'profile.domains': 'CAF\xe9.fr\n\u212aelvin.com\n', 'empty': b'', 'no newline': b'the end'})
    bundles.container(state, 'big', profile=[f'10.{i // 256}.{i % 256}.0/24' for i in range(20000)],
                      deny=[f'10.{i // 256}.{i % 256}.0/24' for i in range(0, 20000, 7)])
    top = base / 'truth'
    top.mkdir()
    sources = {p.name: p for p in (state / 'containers').iterdir()}
    sources['acme.k3f9p'] = state / 'tasks/acme/k3f9p/shield'
    for i, path in enumerate(sorted(state.rglob('*'), reverse=True)):
        os.utime(path, ns=(10**18, 15 * 10**17 + i * 10**9 + i))
    for name, behind in sources.items():
        shutil.copytree(behind, top / name)
        for computed, inputs in reference.SOURCES.items():
            bundles.put(top / name / computed, reference.render(behind, computed))
            there = [behind / f for f in inputs if (behind / f).exists()] or [behind]
            latest = max(f.stat().st_mtime_ns for f in there)
            os.utime(top / name / computed, ns=(latest, latest))
    for path in [*top.rglob('*'), top]:
        path.chmod(0o555 if path.is_dir() else 0o444)
        behind = sources.get(os.path.relpath(path, top).split('/')[0])
        twin = behind / path.relative_to(top / path.relative_to(top).parts[0]) if behind else None
        if twin and twin.exists():
            times = twin.stat()
            os.utime(path, ns=(times.st_mtime_ns, times.st_mtime_ns))
    yield top
    for path in [top, *top.rglob('*')]:
        if path.is_dir():
            path.chmod(0o755)


@pytest.fixture
def view(mount, state, truth):
    return mount(state).mnt


def files(truth):
    return sorted(p.relative_to(truth) for p in truth.rglob('*') if p.is_file())


def same(view, truth, *argv, **kw):
    """The tool, run in the view and in the truth, must print the same; returns what."""
    got, want = (run(*argv, cwd=top, **kw) for top in (view, truth))
    assert got.stdout == want.stdout, argv
    return got.stdout


@pytest.mark.parametrize('tool', [
    'cat', 'md5sum', 'sha256sum', 'wc', 'wc -c', 'wc -l', 'tac', 'head -n 3', 'head -c 100', 'tail -n 3',
    'tail -c 50', 'tail -n +2', 'sort', 'sort -u', 'file', 'od -c', 'grep -c 1', 'grep -n 192', 'cksum', 'nl',
    'cut -c 1-5', 'rev', "stat -c '%n|%s|%a|%h|%F|%y|%U|%G'", "find -P -printf '%p %s %y %m %T@\\n'",
    "awk '{ print FILENAME, $1 }'", 'dd status=none if=', 'less', 'ls -ld --full-time'])
def test_tool_on_every_file(view, truth, tool):
    """Each file by itself; the tool prints the same on the view as on the truth."""
    words = re.findall(r"'[^']*'|\S+", tool)
    words = [w.strip("'") for w in words]
    if words[0] == 'find':
        words = ['find', '@', *words[2:]]
    wanted = 0
    for name in files(truth):
        argv = [w.replace('@', os.fspath(name)) for w in words]
        if words[0] == 'dd':
            argv[-1] += os.fspath(name)
        elif words[0] != 'find':
            argv.append(name)
        got, want = (run(*argv, cwd=top, ok=False) for top in (view, truth))
        assert (got.stdout, got.stderr, got.returncode) == (want.stdout, want.stderr, want.returncode), argv
        wanted += want.returncode == 0
    assert wanted > 0


def test_ls_long(view, truth):
    """ls -lR shows the truth; only sizes of directories and block counts are a file system's own."""
    def normal(top):
        lines = run('ls', '-lR', '--full-time', '--ignore=.*', cwd=top).stdout.decode().split('\n')
        lines = [re.sub(r'^(d\S+ +\d+ \S+ +\S+) +\d+', r'\1', re.sub(r' +', ' ', ln)) for ln in lines]
        return [ln for ln in lines if not ln.startswith('total ')]
    assert normal(view) == normal(truth)
    for name in (p.name for p in truth.iterdir()):
        got, want = (run('ls', '-U', top / name).stdout for top in (view, truth))
        assert sorted(got.split(b'\n')) == sorted(want.split(b'\n'))


def test_wc_in_one_go(view, truth):
    same(view, truth, 'wc', '-c', *files(truth))


def test_find(view, truth):
    shown = run('find', '.', '-mindepth', '1', '-path', './.shieldfs', '-prune', '-o', '-type', 'f',
                '-printf', '%P %s %m %n\\0', cwd=view).stdout
    want = run('find', '.', '-type', 'f', '-printf', '%P %s %m %n\\0', cwd=truth).stdout
    assert sorted(shown.split(b'\0')) == sorted(want.split(b'\0'))
    for test in (['-empty'], ['-type', 'f', '-size', '+1k'], ['-newermt', '2017-07-14 02:40:30'],
                 ['-name', '*.allowed'], ['-type', 'd'], ['-perm', '444'], ['-links', '3']):
        argv = ['find', '.', '-mindepth', '1', '-name', '.shieldfs', '-prune', '-o', *test, '-print']
        got, want = (run(*argv, cwd=top).stdout for top in (view, truth))
        differ = {p for p in set(got.split(b'\n')) ^ set(want.split(b'\n')) if p != b'.'}
        if test == ['-empty']:
            differ = {p for p in differ if not (truth / os.fsdecode(p)).is_dir()}
        assert not differ, (test, differ)


def test_grep(view, truth):
    for argv in (['grep', '-r', '192.0.2.9'], ['grep', '-rl', '192.0.2.9'], ['grep', '-rc', '192'],
                 ['grep', '-raL', 'x'],
                 ['grep', '-rn', 'caf', '-i'], ['grep', '-rah', '^']):
        got, want = (run(*argv, '--exclude-dir=.shieldfs', '.', cwd=top).stdout for top in (view, truth))
        assert sorted(got.split(b'\n')) == sorted(want.split(b'\n')), argv
        assert got, argv


def test_diff(view, truth):
    assert run('diff', '-r', '-x', '.shieldfs', view, truth).stdout == b''
    assert run('diff', '-rq', '-x', '.shieldfs', truth, view).stdout == b''
    assert run('cmp', view / 'big/effective', truth / 'big/effective').stdout == b''
    plain = run('diff', view / 'web-1/allowed', view / 'web-1/effective', ok=False)
    assert plain.returncode == 1
    assert plain.stdout == run('diff', truth / 'web-1/allowed', truth / 'web-1/effective', ok=False).stdout


def check_copy(copy, view, truth):
    """COPY holds the truth's bytes and the view's modes and times."""
    assert sorted(p.relative_to(copy) for p in copy.rglob('*') if p.is_file()) == files(truth)
    for path in truth.rglob('*'):
        name = path.relative_to(truth)
        got, want = (copy / name).stat(), (view / name).stat()
        assert (got.st_mode, got.st_mtime_ns) == (want.st_mode, want.st_mtime_ns), name
        if path.is_file():
            assert (copy / name).read_bytes() == path.read_bytes(), name
            assert (copy / name).stat().st_mtime_ns == path.stat().st_mtime_ns, name


def test_cp(view, truth, base):
    copy = base / 'copy'
    copy.mkdir()
    names = [p.name for p in truth.iterdir()]
    run('cp', '-a', *[view / n for n in names], copy)
    check_copy(copy, view, truth)
    run('chmod', '-R', 'u+w', copy)


def test_rsync(view, truth, base):
    copy = base / 'copy'
    run('rsync', '-a', '--exclude=.shieldfs', f'{view}/', f'{copy}/')
    check_copy(copy, view, truth)
    again = run('rsync', '-a', '-i', '--checksum', '--exclude=.shieldfs', f'{view}/', f'{copy}/').stdout
    assert again == b''
    run('chmod', '-R', 'u+w', copy)


def test_tar(view, truth):
    names = sorted(p.name for p in truth.iterdir())
    packed = run('tar', '-C', view, '-cf', '-', '--format=posix', *names).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = {m.name: m for m in archive.getmembers()}
        assert set(members) == {os.fspath(p.relative_to(truth)) for p in truth.rglob('*')}
        for name, member in members.items():
            info = (truth / name).stat()
            assert member.isdir() == stat.S_ISDIR(info.st_mode), name
            assert member.mode == stat.S_IMODE(info.st_mode), name
            if member.isfile():
                assert archive.extractfile(member).read() == (truth / name).read_bytes(), name
                assert round(member.mtime, 6) == round(info.st_mtime_ns / 10**9, 6), name
    assert run('tar', '-C', view, '-df', '-', '--format=posix', input=packed, stdin=None).stdout == b''


def test_md5sum_check(view, truth):
    sums = ''.join(f'{hashlib.md5((truth / n).read_bytes()).hexdigest()}  {n}\n' for n in files(truth))
    run('md5sum', '--quiet', '-c', '-', cwd=view, input=sums.encode(), stdin=None)


def test_mmap(view, truth):
    """A private mapping holds the bytes, also after the list has changed."""
    for name in files(truth):
        size = (view / name).stat().st_size
        if size:
            with harness.opened(view / name) as fd, mmap.mmap(fd, size, access=mmap.ACCESS_COPY) as mapped:
                assert mapped[:] == (truth / name).read_bytes(), name


def test_python_and_shell(view, truth):
    script = 'import sys\nfor line in open(sys.argv[1], "rb"): sys.stdout.buffer.write(line)'
    for name in files(truth):
        same(view, truth, '/usr/bin/python3', '-c', script, name)
        same(view, truth, 'sh', '-c', 'exec < "$1"; cat', 'sh', name)


def test_less_in_a_terminal(view, truth, base):
    """less by hand; tmux holds its terminal."""
    tmux = ['tmux', '-f', '/dev/null', '-S', os.fspath(base / 'tmux')]
    path = view / 'big/effective'
    run(*tmux, 'new-session', '-d', '-x', '80', '-y', '20', f'less -X {path}',
        env={'LESS': '', 'TERM': 'xterm', 'SHELL': '/bin/sh'})
    try:
        def screen():
            return subprocess.run([*tmux, 'capture-pane', '-p'], capture_output=True, timeout=harness.TIMEOUT,
                                  check=False).stdout.decode().rstrip('\n').split('\n')
        lines = (truth / 'big/effective').read_text().splitlines()
        wait_for(lambda: screen()[:19] == lines[:19], 'less to show the first page')
        run(*tmux, 'send-keys', 'G')
        wait_for(lambda: screen()[:19] == lines[-19:], 'less to show the last page')
    finally:
        run(*tmux, 'send-keys', 'q')
        wait_for(lambda: subprocess.run([*tmux, 'ls'], capture_output=True, check=False).returncode != 0,
                 'less to end')


@pytest.mark.parametrize('tool, status', [
    ('grep -r 1.1.1.1 {view}', 2), ('tar -C {view} -cf {base}/out.tar bad good', 2),
    ('cp -a {view}/bad {base}/copy', 1),
    ('rsync -a {view}/ {base}/copy/', 23), ('diff -r {view}/bad {base}/behind', 2),
    ('cat {view}/bad/effective', 1),
    ('md5sum {view}/bad/effective {view}/bad/denied', 1),
    ('wc -l {view}/bad/effective {view}/bad/denied', 1)])
def test_tools_fail_on_what_can_not_be_decoded(mount, base, state, tool, status):
    """The tool fails and names the file, and the log names the list and the place."""
    bundles.container(state, 'bad', {'deny.list': b'2.2.2.2\nx\xe9\n'}, profile=['1.1.1.1', '2.2.2.2'])
    bundles.container(state, 'good', profile=['1.1.1.1'])
    shutil.copytree(state / 'containers/bad', base / 'behind')
    for name in ('effective', 'denied'):
        bundles.put(base / 'behind' / name, '')
    m = mount(state)
    m.expect_log(r'bad/deny\.list: line 2: not UTF-8 at byte 10')
    done = run(*tool.format(view=m.mnt, base=base).split(), ok=False)
    assert done.returncode == status, done
    assert b'bad/effective' in done.stderr, done
    if tool.count('denied') or status != 1 or tool.startswith('cp'):
        assert b'bad/denied' in done.stderr, done
    if tool.startswith(('grep', 'cat')):
        assert b'2.2.2.2' not in done.stdout
    for path in (base / 'copy/bad/effective', base / 'copy/effective'):
        assert not path.exists() or path.stat().st_size == 0
