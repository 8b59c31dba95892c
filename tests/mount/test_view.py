# SPDX-License-Identifier: Apache-2.0
"""The view as it lies there: which directories and files it shows and hides, their names and
what makes them errors, and what .shieldfs says."""

import errno
import os
import re
import stat

import bundles
import harness
import pytest
import reference
from harness import fails

FILES = {'effective', 'allowed', 'denied', 'effective.domains'}
REG, DIR = 8, 4


def names(path):
    return [e.name for e in os.scandir(path)]


def problems(m, start):
    return [p for p in m.status()['problem'] if p.startswith(start)]


def test_both_layouts(mount, state):
    bundles.container(state, 'web-1', profile=['1.1.1.1', '2.2.2.2'], deny=['2.2.2.2'])
    bundles.container(state, 'all')
    bundles.container(state, 'effective', live=['3.3.3.3'])
    bundles.container(state, '_default', {'audit.jsonl': '{}\n'}, live=['4.4.4.4'])
    bundles.task(state, 'acme', 'k3f9p', profile=['5.5.5.5'])
    bundles.task(state, 'my-proj_2', '17', live=['6.6.6.6'])
    bundles.task(state, 'my-proj_2', 'Other.name', deny=['7.7.7.7'])
    (state / 'tasks' / 'acme' / 'zzzzz').mkdir()
    m = mount(state)
    shown = ['.shieldfs', '_default', 'acme.k3f9p', 'all', 'effective', 'my-proj_2.17',
             'my-proj_2.Other.name', 'web-1']
    assert names(m.mnt) == sorted(shown, key=os.fsencode)
    assert (m.mnt / 'web-1/effective').read_bytes() == b'1.1.1.1\n'
    assert (m.mnt / 'acme.k3f9p/effective').read_bytes() == b'5.5.5.5\n'
    assert (m.mnt / 'my-proj_2.17/allowed').read_bytes() == b'6.6.6.6\n'
    assert (m.mnt / 'my-proj_2.Other.name/denied').read_bytes() == b'7.7.7.7\n'
    assert (m.mnt / 'effective/effective').read_bytes() == b'3.3.3.3\n'
    assert set(names(m.mnt / '_default')) == FILES | {'audit.jsonl', 'live.allowed'}
    assert set(names(m.mnt / 'all')) == FILES
    with fails(errno.ENOENT):
        os.stat(m.mnt / 'acme.zzzzz')
    with fails(errno.ENOENT):
        os.stat(m.mnt / 'web-1/shield_desired_state')
    assert m.status()['source'] == [f'ok {state}']
    assert m.status()['problem'] == []


def test_version_and_status(mount, state):
    (state / 'containers').mkdir()
    m = mount(state)
    said = harness.run(harness.SHIELDFS, '--version').stdout.decode()
    number = re.search(r'\d+\.\d+\.\d+', said)[0]
    assert (m.mnt / '.shieldfs/version').read_text() == f'version: {number}\nbundle: 4\n'
    assert names(m.mnt / '.shieldfs') == ['metrics', 'status', 'version']  # test_metrics.py has more of the first
    for name in ('status', 'version'):
        path = m.mnt / '.shieldfs' / name
        assert path.stat().st_size == len(path.read_bytes())
    want = f'source: ok {state}\ncomplete: yes\nannouncer: ok\npid: {m.process.pid}\n'
    want += ''.join(f'confined: {line}\n' for line in m.status()['confined'])  # test_confined.py has more of these
    assert m.status_text() == want
    with fails(errno.ENOENT):
        os.stat(m.mnt / '.shieldfs/nothing')
    with fails(errno.ENOENT):
        os.stat(m.mnt / '.hidden')


@pytest.mark.parametrize('write', [bundles.full, bundles.later])
def test_samples_of_every_file(mount, state, write):
    """A bundle as the writer makes it, at the contract's version and at the last one: everything is there, and equal to
    what is behind; and nothing is said of what is normal."""
    behind = write(state / 'containers' / 'web-1')
    m = mount(state)
    shown = m.mnt / 'web-1'
    raw = {os.fspath(p.relative_to(behind)) for p in behind.rglob('*')}
    assert {os.fspath(p.relative_to(shown)) for p in shown.rglob('*')} == raw | FILES
    for name in raw - {'hooks'}:
        assert (shown / name).read_bytes() == (behind / name).read_bytes(), name
    for name in FILES:
        assert (shown / name).read_bytes() == reference.render(behind, name), name
    assert names(shown / 'hooks') == sorted(names(behind / 'hooks'))
    assert not m.status()['problem'] and not m.status()['degraded']


def test_unknown_names_are_shown(mount, state):
    behind = bundles.container(state, 'c')
    odd = [b'.hidden', b'with space', b'new\nline', b'\xff\xfe', 'caf\xe9'.encode(), b'x' * 255,
           b'hook-error.log', b'-']
    for name in odd:
        bundles.put(os.fsencode(behind) + b'/' + name, b'<' + name + b'>')
    m = mount(state)
    listed = os.listdir(os.fsencode(m.mnt / 'c'))
    assert listed == sorted([*odd, *map(os.fsencode, FILES)])
    for name in odd:
        with open(os.fsencode(m.mnt / 'c') + b'/' + name, 'rb') as file:
            assert file.read() == b'<' + name + b'>'
    m.status()


def test_a_name_that_is_too_long(mount, state):
    """255 bytes may be a name, 256 are none, in every directory and whatever is to be done with it."""
    bundles.full(state / 'containers/c')
    m = mount(state)
    for place in ('', '.shieldfs', 'c', 'c/hooks'):
        with fails(errno.ENOENT):
            os.stat(m.mnt / place / ('x' * 255))
        path = m.mnt / place / ('x' * 256)
        for act in (os.stat, os.listdir, os.mkdir, os.mkfifo, os.unlink, os.rmdir,
                    lambda p: os.open(p, os.O_RDONLY), lambda p: os.open(p, os.O_CREAT | os.O_WRONLY),
                    lambda p: os.symlink('x', p), lambda p: os.link(m.mnt / 'c/effective', p),
                    lambda p: os.rename(m.mnt / 'c/effective', p)):
            with fails(errno.ENAMETOOLONG):
                act(path)


def test_computed_hides_raw(mount, state):
    bundles.container(state, 'c', {'effective': 'lie\n', 'allowed': 'lie\n'}, profile=['1.1.1.1'])
    (state / 'containers/c/denied').mkdir()
    m = mount(state)
    assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'
    assert (m.mnt / 'c/allowed').read_bytes() == b'1.1.1.1\n'
    assert (m.mnt / 'c/denied').read_bytes() == b''
    assert sorted(names(m.mnt / 'c')) == sorted([*FILES, 'profile.allowed'])


def test_names_that_are_none(mount, state):
    """Illegal names and names that get too long are not shown; the status tells of each."""
    bad = ['-x', 'a b', '.hid', 'x:y', 'caf\xe9', 'new\nline', '~']
    for name in bad:
        bundles.container(state, name, live=['1.1.1.1'])
    os.mkdir(os.fsencode(state / 'containers') + b'/\xff')
    bundles.task(state, '-bad', '1', live=['1.1.1.1'])
    bundles.task(state, 'p', '-1', live=['1.1.1.1'])
    bundles.task(state, 'p' * 200, '1' * 100, live=['1.1.1.1'])
    bundles.task(state, 'q' * 200, '1' * 54, live=['1.1.1.1'])
    bundles.container(state, 'x' * 255, live=['1.1.1.1'])
    m = mount(state)
    assert names(m.mnt) == ['.shieldfs', 'q' * 200 + '.' + '1' * 54, 'x' * 255]
    said = m.status()['problem']
    for word in ('-x', 'a b', '.hid', 'x:y', '-bad', 'p/-1', '1' * 100, '~'):
        assert any(word in p for p in said), (word, said)
    assert len(said) == len(bad) + 4, said
    for name in bad:
        with fails(errno.ENOENT):
            os.stat(m.mnt / name)


def test_clashes(mount, base):
    """The first source wins; within one, containers before tasks; the status tells of the others."""
    a, b = base / 'a', base / 'b'
    bundles.container(a, 'one', live=['1.1.1.1'])
    bundles.container(b, 'one', live=['2.2.2.2'])
    bundles.task(a, 'p', '1', live=['3.3.3.3'])
    bundles.container(b, 'p.1', live=['4.4.4.4'])
    bundles.task(b, 'q', '1', live=['5.5.5.5'])
    bundles.container(b, 'q.1', live=['6.6.6.6'])
    bundles.container(b, 'alone', live=['7.7.7.7'])
    m = mount(a, b)
    assert names(m.mnt) == ['.shieldfs', 'alone', 'one', 'p.1', 'q.1']
    shown = {n: (m.mnt / n / 'effective').read_text().strip() for n in names(m.mnt)[1:]}
    assert shown == {'alone': '7.7.7.7', 'one': '1.1.1.1', 'p.1': '3.3.3.3', 'q.1': '6.6.6.6'}
    assert m.status()['source'] == [f'ok {a}', f'ok {b}']
    said = m.status()['problem']
    assert len(said) == 3, said
    for word in ('one', 'p.1', 'q.1'):
        assert any(word in p for p in said), (word, said)
    bundles.remove(a / 'containers' / 'one')
    assert (m.mnt / 'one/effective').read_text() == '2.2.2.2\n'
    assert len(m.status()['problem']) == 2


def test_links_on_the_way_are_not_followed(mount, base, state):
    real = bundles.container(base / 'other', 'real', live=['9.9.9.9'])
    bundles.container(state, 'ok')
    (state / 'containers/linked').symlink_to(real)
    (state / 'tasks/p/1').mkdir(parents=True)
    (state / 'tasks/p/1/shield').symlink_to(real)
    (state / 'tasks/q').symlink_to(base / 'other')
    (state / 'tasks/p/2').symlink_to(base / 'other')
    m = mount(state)
    assert names(m.mnt) == ['.shieldfs', 'ok']
    said = m.status()['problem']
    assert len(said) == 4, said
    for word in ('linked', 'p/1', 'tasks/q', 'p/2'):
        assert any(word in p for p in said), (word, said)


def test_linked_layouts_are_not_followed(mount, base, state):
    bundles.container(base / 'other', 'real', live=['9.9.9.9'])
    (state / 'containers').symlink_to(base / 'other/containers')
    (state / 'tasks').symlink_to(base / 'other/containers')
    m = mount(state)
    assert names(m.mnt) == ['.shieldfs']
    assert len(m.status()['problem']) == 2


def test_source_may_be_a_link(mount, base):
    bundles.container(base / 'other', 'real', live=['9.9.9.9'])
    (base / 'link').symlink_to(base / 'other')
    m = mount(base / 'link')
    assert (m.mnt / 'real/effective').read_text() == '9.9.9.9\n'


def special(behind):
    """{name: errno of opening it} of what a bundle should not hold."""
    os.mkfifo(behind / 'fifo')
    os.mknod(behind / 'sock', stat.S_IFSOCK | 0o644)
    (behind / 'link').symlink_to('profile.allowed')
    (behind / 'dangling').symlink_to('nowhere')
    made = {'fifo': errno.EIO, 'sock': errno.EIO, 'link': errno.ELOOP, 'dangling': errno.ELOOP}
    if os.geteuid() == 0:
        os.mknod(behind / 'zero', stat.S_IFCHR | 0o666, os.makedev(1, 5))
        made['zero'] = errno.EIO
    return made


@pytest.mark.parametrize('where', ['', 'hooks'])
def test_what_a_bundle_should_not_hold(mount, state, where):
    """Listed as a regular file of size 0 whose open fails at once; each a problem line."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1']) / where
    behind.mkdir(exist_ok=True)
    made = special(behind)
    (behind / 'subdir').mkdir()
    m = mount(state)
    shown = m.mnt / 'c' / where
    assert {n for _, _, n in harness.getdents(shown)} >= set(map(str.encode, made))
    assert b'subdir' not in {n for _, _, n in harness.getdents(shown)}
    for _, kind, name in harness.getdents(shown):
        if name.decode() in made:
            info = os.lstat(shown / name.decode())
            assert kind == REG and stat.S_IFMT(info.st_mode) == stat.S_IFREG and info.st_size == 0
    with fails(errno.ENOENT):
        os.stat(shown / 'subdir')
    for name, code in made.items():
        m.expect_log(f'c/({where}/)?{name}: .+')
        with fails(code):
            os.open(shown / name, os.O_RDONLY)
    said = problems(m, 'c/')
    assert len(said) == len(made) + 1, said
    for name in [*made, 'subdir']:
        assert any(f'{name}: ' in p for p in said), (name, said)
    assert (m.mnt / 'c/effective').read_bytes() == b'1.1.1.1\n'


def test_hooks_that_are_no_directory(mount, state):
    bundles.container(state, 'file', {'hooks': 'plain\n'})
    (bundles.container(state, 'link') / 'hooks').symlink_to('/etc')
    m = mount(state)
    assert (m.mnt / 'file/hooks').read_text() == 'plain\n'
    m.expect_log('link/hooks: .+')
    with fails(errno.ELOOP, errno.ENOTDIR):
        os.open(m.mnt / 'link/hooks', os.O_RDONLY)
    with fails(errno.ENOTDIR):
        os.open(m.mnt / 'link/hooks/passwd', os.O_RDONLY)
    assert len(problems(m, 'link/hooks')) == 1


def test_problem_lines_name_file_and_place(mount, state):
    bundles.container(state, 'web-1', {'deny.list': b'1.1.1.1\n2.2.2.2\nx\xff\n'}, profile=['1.1.1.1'])
    bundles.container(state, 'dir')
    (state / 'containers/dir/profile.allowed').mkdir()
    os.mkfifo(state / 'containers/dir/deny.list')
    (state / 'containers/dir/live.domains').symlink_to('x')
    m = mount(state)
    said = m.status()['problem']
    assert 'web-1/deny.list: line 3: not UTF-8 at byte 18' in said
    assert [p.split(': ')[0] for p in said] == [
        'dir/deny.list', 'dir/live.domains', 'dir/profile.allowed', 'web-1/deny.list'], said
    assert (m.mnt / 'dir/effective').read_bytes() == (m.mnt / 'dir/denied').read_bytes() == b''
    m.expect_log('dir/live.domains: .+')
    with fails(errno.ELOOP):
        os.open(m.mnt / 'dir/effective.domains', os.O_RDONLY)
    again = m.status()['problem']
    assert again == said
    m.expect_log('web-1/deny.list: line 3: not UTF-8 at byte 18')
    with fails(errno.EILSEQ):
        os.open(m.mnt / 'web-1/effective', os.O_RDONLY)
    bundles.put(state / 'containers/web-1/deny.list', '1.1.1.1\n')
    bundles.remove(state / 'containers/dir')
    assert m.status()['problem'] == []


def test_untrusted_bytes_are_escaped(mount, state):
    behind = bundles.container(state, 'c')
    os.symlink(b'x', os.fsencode(behind) + b'/a\n\x1b[31m\xff\xe2\x80\xaeb')
    m = mount(state)
    assert len(m.status()['problem']) == 1
    m.expect_log(r'c/a.*b: .+')
    with fails(errno.ELOOP):
        os.open(os.fsencode(m.mnt) + b'/c/a\n\x1b[31m\xff\xe2\x80\xaeb', os.O_RDONLY)


def test_max_size(mount, state):
    """Lists over max_size are refused by name, raw files have no limit."""
    bundles.container(state, 'c', {'deny.list': b'1' * 4096, 'profile.allowed': b'2' * 4097})
    m = mount(state, options=['max_size=4K'])
    m.expect_log('c/profile.allowed: .+')
    assert (m.mnt / 'c/denied').read_bytes() == b'1' * 4096 + b'\n'
    for name in ('allowed', 'effective'):
        with fails(errno.EFBIG):
            os.open(m.mnt / 'c' / name, os.O_RDONLY)
        assert os.stat(m.mnt / 'c' / name).st_size == 0
    assert (m.mnt / 'c/profile.allowed').read_bytes() == b'2' * 4097
    assert len(problems(m, 'c/profile.allowed: ')) == 1
