# SPDX-License-Identifier: Apache-2.0
"""Sources that come and go, in all the ways in which they can, with watchers who hear of each change; and what
makes them hard to see: links that lead nowhere yet, something else in their place, mounts over them, a server
without descriptors."""

import errno
import os
import resource

import bundles
import harness
import haste
import pytest
import watching
from harness import fails, holds_for, opened, wait_for
from watching import CHANGED, Watch


@pytest.fixture
def mount(mount):
    """A mount whose first events are over."""
    return lambda *args, **kw: watching.settled(mount(*args, **kw))


def append(path, text):
    with open(path, 'a', encoding='utf-8') as file:
        file.write(text)


def test_source_that_comes_and_goes(mount, base):
    """Nothing but the nearest directory above it is there; then it comes, goes, and is moved with its parent."""
    bundles.container(base / 'new/a/b', 'c', live=['1.1.1.1'])
    source = base / 'x/a/b'
    m = mount(source)
    with Watch(m.mnt, m.mnt) as watch, Watch(m.mnt, m.mnt / '.shieldfs/status') as status:
        for _ in range(3):
            os.rename(base / 'new', base / 'x')
            watch.expect({'c': ['CREATE,ISDIR']})
            status.expect({'.shieldfs/status': CHANGED})
            bundles.put(source / 'containers/c/live.allowed', '2.2.2.2\n')
            os.rename(source, base / 'x/a/other')
            watch.expect({'c': ['DELETE,ISDIR']})
            status.expect({'.shieldfs/status': CHANGED})
            os.rename(base / 'x/a/other', source)
            watch.expect({'c': ['CREATE,ISDIR']})
            status.expect({'.shieldfs/status': CHANGED})
            os.rename(base / 'x', base / 'new')
            watch.expect({'c': ['DELETE,ISDIR']})
            status.expect({'.shieldfs/status': CHANGED})


def test_source_made_and_removed_step_by_step(mount, base):
    source = base / 'x/a/b'
    m = mount(source)
    with Watch(m.mnt, m.mnt, recursive=True) as watch:
        for i in range(5):
            bundles.container(source, 'c', live=[f'1.1.1.{i}'])
            watch.wait_for(('c', 'CREATE,ISDIR'), ('c/effective', 'CLOSE_WRITE'))
            assert m.status()['source'][0].startswith('ok ')
            append(source / 'containers/c/live.allowed', '2.2.2.2\n')
            watch.wait_for(('c/live.allowed', 'CLOSE_WRITE'), ('c/effective', 'CLOSE_WRITE'))
            bundles.remove(base / 'x')
            watch.wait_for(('c', 'DELETE,ISDIR'))
        wait_for(lambda: m.status()['source'][0].startswith('waiting '), 'the status file to tell')
        watch.wait_for(('.shieldfs/status', 'CLOSE_WRITE'))
        wait_for(lambda: watching.at_rest(m), 'all to be announced')
        watch.poll().clear()
        watch.expect_nothing()


def test_source_replaced_by_another(mount, base):
    """By rename, so that there is no moment without one."""
    bundles.container(base / 'state', 'c', live=['1.1.1.1'])
    bundles.container(base / 'state', 'only', live=['1.1.1.1'])
    bundles.container(base / 'next', 'c', live=['2.2.2.2'])
    m = mount(base / 'state')
    with Watch(m.mnt, m.mnt) as watch:
        for text in ('2.2.2.2\n', '1.1.1.1\n'):
            os.rename(base / 'state', base / 'old')
            os.rename(base / 'next', base / 'state')
            os.rename(base / 'old', base / 'next')
            only = ['DELETE,ISDIR' if text == '2.2.2.2\n' else 'CREATE,ISDIR']
            watch.expect({'c': ['DELETE,ISDIR', 'CREATE,ISDIR'], 'only': only})
            assert (m.mnt / 'c/effective').read_text() == text


def test_source_behind_a_link(mount, base):
    """Resolved anew when it reappears."""
    for name in ('one', 'two'):
        bundles.container(base / name, f'c-{name}', live=['1.1.1.1'])
    (base / 'link').symlink_to('one')
    m = mount(base / 'link')
    with Watch(m.mnt, m.mnt) as watch:
        append(base / 'one/containers/c-one/live.allowed', '2.2.2.2\n')
        os.rename(base / 'one', base / 'hidden')
        watch.expect({'c-one': ['DELETE,ISDIR']})
        (base / 'link').unlink()
        (base / 'link').symlink_to('two')
        watch.expect({'c-two': ['CREATE,ISDIR']})
        os.rename(base / 'two', base / 'one')
        watch.expect({'c-two': ['DELETE,ISDIR']})
        os.rename(base / 'one', base / 'two')
        watch.expect({'c-two': ['CREATE,ISDIR']})


def test_two_sources(mount, base):
    """The earlier one has the name; when it gives it up, the other's container comes."""
    for i in (1, 2):
        bundles.container(base / f's{i}', 'c', live=[f'{i}.{i}.{i}.{i}'])
    m = mount(base / 's1', base / 's2')
    with Watch(m.mnt, m.mnt) as watch:
        for _ in range(3):
            os.rename(base / 's1', base / 'away')
            watch.expect({'c': ['DELETE,ISDIR', 'CREATE,ISDIR']})
            assert (m.mnt / 'c/effective').read_text() == '2.2.2.2\n'
            os.rename(base / 'away', base / 's1')
            watch.expect({'c': ['DELETE,ISDIR', 'CREATE,ISDIR']})
            assert (m.mnt / 'c/effective').read_text() == '1.1.1.1\n'


def test_what_comes_beside_a_source(mount, base):
    """Where a source is waited for, or was, other names mean nothing."""
    source, said = base / 'x/state', b': all bundles are looked for\n'
    m = mount(source)
    with Watch(m.mnt, m.mnt) as watch:
        for where in (base, base / 'x'):
            before = m.log_path.read_bytes().count(said)
            for i in range(50):
                bundles.put(where / f'other-{i}', '')
            if where == base:
                bundles.container(source, 'c', live=['1.1.1.1'])
                watch.wait_for(('c', 'CREATE,ISDIR'))
            else:
                bundles.container(source, 'd', live=['1.1.1.1'])
                watch.wait_for(('d', 'CREATE,ISDIR'))
            assert m.log_path.read_bytes().count(said) - before < 10


def test_link_that_leads_nowhere_yet(mount, base):
    """Its target comes, goes, and comes again; so does what a link on the way leads to."""
    bundles.container(base / 'new', 'c', live=['1.1.1.1'])
    (base / 'far').mkdir()
    (base / 'link').symlink_to(base / 'far' / 'away')
    (base / 'second').symlink_to('link')
    m = mount(base / 'second')
    with Watch(m.mnt, m.mnt) as watch:
        for _ in range(2):
            os.rename(base / 'new', base / 'far/away')
            watch.expect({'c': ['CREATE,ISDIR']})
            os.rename(base / 'far/away', base / 'new')
            watch.expect({'c': ['DELETE,ISDIR']})


def test_way_of_a_links_target(mount, base):
    """A directory that the target of the link lies in is renamed."""
    bundles.container(base / 'r/real/state', 'c', live=['1.1.1.1'])
    (base / 'link').symlink_to(base / 'r/real/state')
    m = mount(base / 'link')
    with Watch(m.mnt, m.mnt) as watch:
        for _ in range(2):
            os.rename(base / 'r/real', base / 'r/other')
            watch.expect({'c': ['DELETE,ISDIR']})
            os.rename(base / 'r/other', base / 'r/real')
            watch.expect({'c': ['CREATE,ISDIR']})


@pytest.mark.parametrize('where', ['x', 'x/state'])
def test_something_else_in_its_place(mount, base, where):
    """A file, which makes way."""
    bundles.container(base / 'new/state', 'c', live=['1.1.1.1'])
    if where == 'x/state':
        (base / 'x').mkdir()
    bundles.put(base / where, '')
    m = mount(base / 'x/state')
    if where == 'x/state':
        m.expect_log(r'.*/x/state: Not a directory: nothing of it is shown while that is so')
    with Watch(m.mnt, m.mnt) as watch:
        (base / where).unlink()
        os.rename(base / 'new' if where == 'x' else base / 'new/state', base / where)
        watch.expect({'c': ['CREATE,ISDIR']})


def test_writes_after_the_name_is_gone(mount, state):
    """Whoever still has the old file open changes nothing that the name stands for."""
    behind = bundles.container(state, 'c', files={'audit.jsonl': 'old\n'}, live=['1.1.1.1'])
    m = mount(state)
    with Watch(m.mnt, m.mnt / 'c') as watch:
        with opened(behind / 'audit.jsonl', os.O_WRONLY) as old:
            bundles.put(state / 'new', 'new\n')
            os.rename(state / 'new', behind / 'audit.jsonl')
            watch.expect({'c/audit.jsonl': CHANGED})
            os.write(old, b'more\n')
        watch.expect_nothing()


def test_hooks_without_a_watch(root, mount, state):
    """They come when there are no more watches to be had: compared now and then, as the status says."""
    behind = bundles.container(state, 'c')

    def body():
        m = mount(state, options=['poll=1'])
        with Watch(m.mnt, m.mnt, m.mnt / 'c') as watch, watching.few_watches(0):
            (behind / 'hooks').mkdir()
            watch.wait_for(('c/hooks', 'CREATE,ISDIR'))
            wait_for(lambda: any(line.startswith('c/hooks: not watched') for line in m.status()['degraded']), 'status')
            bundles.put(behind / 'hooks/one', '')
            wait_for(lambda: b' one: node ' in m.log_path.read_bytes(), 'the new hook to be announced')
        wait_for(lambda: not m.status()['degraded'], 'watches, once there are some')
        m.stop()
    harness.in_user_namespace(body)


def test_removed_under_somebody(mount, base):
    """Who has a directory of the source open keeps it from ending, so that its watch tells nothing of that yet."""
    m = mount(base / 'x/y/state')
    with Watch(m.mnt, m.mnt) as watch:
        for i in range(3):
            behind = bundles.container(base / 'x/y/state', 'c', live=[f'1.1.1.{i}'])
            watch.expect({'c': ['CREATE,ISDIR']})
            assert (m.mnt / 'c/effective').read_text() == f'1.1.1.{i}\n'
            with opened(behind):
                bundles.remove(base / ('x/y/state', 'x/y', 'x')[i])
                watch.expect({'c': ['DELETE,ISDIR']})
                behind = bundles.container(base / 'x/y/state', 'c', live=[f'2.2.2.{i}'])
                watch.expect({'c': ['CREATE,ISDIR']})
                assert (m.mnt / 'c/effective').read_text() == f'2.2.2.{i}\n'
            bundles.remove(base / 'x')
            watch.expect({'c': ['DELETE,ISDIR']})


@pytest.mark.parametrize('removed', haste.REMOVED)
def test_bundle_made_and_removed_in_haste(mount, base, removed):
    """Whatever the watcher is doing then: who reads, sees what is there."""
    haste.make_and_remove(mount(base / 'x/state'), base / 'x', removed, 100)


def test_directories_are_closed(root, mount, base, state):
    """Those of bundles are kept for a while by who reads, and no longer: what they lie on can be unmounted."""
    for i in range(3):
        bundles.full(state / f'containers/c{i}')
    m = mount(state)
    server = watching.children(m)[0]
    wait_for(lambda: not watching.open_directories(server), 'those of the start to be closed')
    for i in range(3):
        (m.mnt / f'c{i}/effective').read_bytes()
    assert sorted(watching.open_directories(server)) == [f'{state}/containers', *(f'{state}/containers/c{i}' for i in range(3))]
    wait_for(lambda: not watching.open_directories(server), 'them to be closed')


def test_no_descriptors_left(root, mount, state):
    """Nothing is taken for gone: who looks is told of the want, watchers hear nothing, and all is well later."""
    for i in range(3):
        bundles.full(state / f'containers/c{i}')
    m = mount(state, options=['poll=1'])
    m.patterns[r'(.+: )?Too many open files'] = 1
    names = sorted(os.listdir(m.mnt))
    numbers = {name: os.stat(m.mnt / name).st_ino for name in names}
    server = watching.children(m)[0]
    with Watch(m.mnt, m.mnt, m.mnt / 'c0') as watch:
        limits = resource.prlimit(server, resource.RLIMIT_NOFILE)
        resource.prlimit(server, resource.RLIMIT_NOFILE, (8, limits[1]))  # it has more than that
        wait_for(lambda: not watching.open_directories(server), 'the directories that were looked at to be closed')
        for _ in range(5):
            assert sorted(os.listdir(m.mnt)) == names  # that is known
            with fails(errno.EMFILE):
                os.stat(m.mnt / 'c1/effective')
        bundles.put(state / 'containers/c0/live.allowed', '9.9.9.9\n')
        bundles.container(state, 'c9', live=['1.1.1.1'])
        holds_for(lambda: not any('DELETE' in event for _, event in watch.poll()), 0.3, 'nothing is gone')
        resource.prlimit(server, resource.RLIMIT_NOFILE, limits)
        watch.wait_for(('c9', 'CREATE,ISDIR'), ('c0/live.allowed', 'CLOSE_WRITE'), ('c0/effective', 'CLOSE_WRITE'))
        assert not any('DELETE' in event for _, event in watch.poll())
    assert {name: os.stat(m.mnt / name).st_ino for name in names} == numbers
    wait_for(lambda: m.status()['complete'] == ['yes'], 'the view to be complete')
