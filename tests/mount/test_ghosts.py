# SPDX-License-Identifier: Apache-2.0
"""What comes and goes before watchers can be told of it, as the announcer is stopped meanwhile: who may be waiting for
its end hears of it, and what nobody can be waiting for costs nothing. (How many wait at most: test_moments.py.)"""

import contextlib
import os
import re
import signal

import bundles
import harness
import pytest
import watching
from counted import Counted, busy_announcer, undisturbed
from harness import opened, wait_for
from test_announcing import remount
from watching import Inotify


@pytest.fixture
def m(mount, state):
    bundles.container(state, 'busy', live=['1.1.1.1'])
    bundles.container(state, 'other', files={'audit.jsonl': '{}\n'})
    return watching.settled(mount(state))


def told(m):
    counted = Counted(m)
    return {event: counted('changes_announced_total', event=event)
            for event in ('create', 'create_directory', 'delete', 'delete_directory')}


def names_told(inotify, wd):
    """Those that came and those that went, by what WD was told."""
    events = [event for event in inotify.read() if event[0] == wd]
    return [[name for _, mask, name in events if mask & bit] for bit in (watching.CREATE, watching.DELETE)]


@undisturbed
@pytest.mark.parametrize('told_of', [False, True])
def test_gone_with_its_directory(m, state, told_of):
    """Of a directory that is gone its own end says all, whether it was announced or not."""
    before = told(m)
    if told_of:
        bundles.container(state, 'brief')
        wait_for(lambda: told(m)['create'] == before['create'] + 4, 'it and its computed files to be announced')
        before = told(m)
    with busy_announcer(m, state / 'containers/other/audit.jsonl'):
        behind = bundles.container(state, 'brief', files={f'f{i}': '' for i in range(200)})
        assert len(os.listdir(m.mnt / 'brief')) > 200
        bundles.remove(behind)
        assert 'brief' not in os.listdir(m.mnt)
    wait_for(lambda: told(m)['delete_directory'] > before['delete_directory'], 'the end of the directory')
    wait_for(lambda: Counted(m)('queue_length') == 0, 'all to be announced')
    now = told(m)
    assert {event: now[event] - before[event] for event in now} == \
        {'create': 0, 'create_directory': 0 if told_of else 1, 'delete': 4 if told_of else 0, 'delete_directory': 1}


@undisturbed
@pytest.mark.parametrize('inside', ['live.allowed', 'hooks/h'])
@pytest.mark.parametrize('directory', ['untold', 'told'])
def test_watched(m, state, directory, inside):
    """Who has found a file that is not announced yet and watches it hears of its end, whether the directory was
    announced by then or not, though nobody may be left who knows that one."""
    with Inotify() as inotify, contextlib.ExitStack() as stack:
        if directory == 'untold':
            stack.enter_context(busy_announcer(m, state / 'containers/other/audit.jsonl'))
        root = inotify.add(m.mnt)
        behind = bundles.container(state, 'brief')
        if directory == 'told':
            wait_for(lambda: (root, 'brief') in [(wd, name) for wd, _, name in inotify.read()], 'its announcement')
            stack.enter_context(busy_announcer(m, state / 'containers/other/audit.jsonl'))
        (behind / 'hooks').mkdir()
        bundles.put(behind / 'hooks/h', '')
        bundles.put(behind / 'live.allowed', '1.1.1.1\n')
        watched = inotify.add(m.mnt / 'brief' / inside)
        bundles.remove(behind)
        assert not (m.mnt / 'brief').exists()
        stack.close()
        wait_for(lambda: any(wd == watched and mask & watching.DELETE_SELF for wd, mask, _ in inotify.read()), 'its end')


def expect_two_lives(inotify, watched):
    """The container `brief` came, went and came; and WATCHED, a file of the first, has ended."""
    events = []

    def came():
        events.extend(inotify.read())
        return [mask & (watching.CREATE | watching.DELETE) for _, mask, name in events if name == 'brief']
    wait_for(lambda: came() == [watching.CREATE, watching.DELETE, watching.CREATE], 'both')
    wait_for(lambda: came() and (watched, watching.DELETE_SELF) in [(wd, mask) for wd, mask, _ in events], 'its end')


@pytest.mark.parametrize('dies', [False, True])
def test_made_again(m, state, dies):
    """Who watches a file that was never announced hears of its end before the next of that name is told of, also if the
    announcer dies when it was asked for the first."""
    with Inotify() as inotify, contextlib.ExitStack() as stack:
        inotify.add(m.mnt)
        pid = watching.announcer(m)
        if dies:
            harness.stop(pid)
        else:
            stack.enter_context(busy_announcer(m, state / 'containers/other/audit.jsonl'))
        behind = bundles.container(state, 'brief', live=['1.1.1.1'])
        if dies:
            wait_for(lambda: b'event brief: the announcer is asked for' in m.log_path.read_bytes(), 'it to be asked')
        watched = inotify.add(m.mnt / 'brief/live.allowed')
        bundles.remove(behind)
        assert not (m.mnt / 'brief').exists()
        bundles.container(state, 'brief', live=['1.1.1.1'])
        assert (m.mnt / 'brief/live.allowed').exists()
        if dies:
            os.kill(pid, signal.SIGKILL)
            m.expect_log(r'.*/mnt: the announcer was killed by signal 9 .*')
        stack.close()
        expect_two_lives(inotify, watched)


def test_made_again_unheard(m, state, root):
    """So it is if nothing can be announced for a while; and nobody is busy with that meanwhile."""
    m.patterns[r'(brief|.shieldfs)(/.*)?: could not be announced: Read-only file system'] = 0
    with Inotify() as inotify:
        inotify.add(m.mnt)
        remount(m, 'remount,ro')
        behind = bundles.container(state, 'brief', live=['1.1.1.1'])
        watched = inotify.add(m.mnt / 'brief/live.allowed')
        bundles.remove(behind)
        assert not (m.mnt / 'brief').exists()
        bundles.container(state, 'brief', live=['1.1.1.1'])
        assert (m.mnt / 'brief/live.allowed').exists()
        wait_for(lambda: any('no change can be announced' in line for line in m.status()['degraded']), 'it to be given up')

        def said(what):
            return len(re.findall(rb'event brief.*: ' + what, m.log_path.read_bytes()))
        tries, compared = said(b'the announcer answers'), said(b'')
        wait_for(lambda: said(b'the announcer answers') > tries + 2, 'two more tries')
        assert said(b'') - compared < 60
        remount(m, 'remount,rw')
        expect_two_lives(inotify, watched)


@undisturbed
def test_in_turn(m, state):
    """A change is told before what comes and goes after it in the same container, so that this can't hold it up for ever."""
    behind = state / 'containers/busy'
    with Inotify() as inotify:
        inotify.add(m.mnt / 'busy')
        with busy_announcer(m, state / 'containers/other/audit.jsonl'):
            bundles.put(behind / 'live.allowed', '192.0.2.1\n')
            assert (m.mnt / 'busy/effective').read_bytes() == b'192.0.2.1\n'
            wait_for(lambda: Counted(m)('queue_length') > 3, 'the change to be in the queue')
            for i in range(20):
                bundles.put(behind / f'{i}', '')
            assert len(os.listdir(m.mnt / 'busy')) > 20
            for i in range(20):
                (behind / f'{i}').unlink()
            assert len(os.listdir(m.mnt / 'busy')) < 20
        names = []

        def went():
            names.extend(name for _, mask, name in inotify.read() if mask & (watching.CREATE | watching.DELETE) or name == 'live.allowed')
            return sorted([*map(str, range(20))] * 2) == sorted(name for name in names if name.isdigit())
        wait_for(went, 'all of them')
        assert names[0] == 'live.allowed'


@undisturbed
def test_forgotten_meanwhile(m, state):
    """What the kernel holds is told of; when it holds it no more, there is nothing to tell."""
    before = told(m)
    with busy_announcer(m, state / 'containers/other/audit.jsonl'):
        behind = bundles.container(state, 'brief', live=['1.1.1.1'])
        with opened(m.mnt / 'brief/live.allowed'):
            bundles.remove(behind)
            assert not (m.mnt / 'brief').exists()
    wait_for(lambda: told(m)['delete_directory'] > before['delete_directory'], 'the end of the directory')
    wait_for(lambda: Counted(m)('queue_length') == 0, 'all to be announced')
    now = told(m)
    assert now['delete'] - before['delete'] <= 1 and now['delete_directory'] - before['delete_directory'] == 1
