# SPDX-License-Identifier: Apache-2.0
"""What is known is not looked for again, and is true all the same: counts of requests, of system calls and of looks
at the bundles; and names that come to lead elsewhere while the kernel goes by what it knows of them."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time

import bundles
import harness
import pytest
import watching
from harness import opened, wait_for
from watching import Watch

SCAN = b': all bundles are looked for\n'
REQUEST = re.compile(rb'shieldfs: debug: ([A-Z]+) \d+')


@pytest.fixture
def mount(mount):
    """A mount whose first events are over."""
    return lambda *args, **kw: watching.settled(mount(*args, **kw))


def cat(path):
    return subprocess.run(['cat', path], stdout=subprocess.PIPE, check=True).stdout


def requests(m, start):
    return [request.decode() for request in REQUEST.findall(m.log_path.read_bytes()[start:])]


def test_requests_of_a_warm_cat(mount, state):
    """The kernel goes by the names for a second, but asks for the content each time."""
    bundles.container(state, 'c', profile=[f'10.0.0.{i}' for i in range(200)])
    m = mount(state)
    wanted = ['OPEN', 'GETATTR', 'READ', 'READ', 'RELEASE']

    def warm():
        start = m.log_path.stat().st_size
        first, again = time.monotonic(), cat(m.mnt / 'c/effective')
        middle = m.log_path.stat().st_size
        assert cat(m.mnt / 'c/effective') == again
        wait_for(lambda: 'RELEASE' in requests(m, middle), 'the file to be closed')
        found = requests(m, middle)
        return found if time.monotonic() - first < 0.8 else requests(m, start) and None
    wait_for(lambda: warm() == wanted, f'a cat that makes no other requests than {wanted}')


@contextlib.contextmanager
def traced(pid, path):
    """All system calls of the process go to PATH meanwhile."""
    tracer = subprocess.Popen(['strace', '-f', '-o', path, '-p', str(pid)], stderr=subprocess.PIPE)
    try:
        line = tracer.stderr.readline()
        assert b' attached with ' in line, line
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()


def calls_of(text):
    """The names of the calls that were begun; writes to the log left out."""
    return [name for name in re.findall(r'^\d+ +([a-z_0-9]+)\(', text, re.M) if name != 'write']


@pytest.mark.parametrize('depth', [3, 12])
def test_system_calls_of_a_warm_cat(root, mount, base, depth):
    """At most 25, however deep the source lies: no path is walked, no directory opened."""
    source = base.joinpath(*[f'd{i}' for i in range(depth)])
    bundles.container(source, 'c', profile=[f'10.0.0.{i}' for i in range(200)])
    m = mount(source)
    server = watching.children(m)[0]

    def warm():
        trace = base / 'trace'
        with traced(server, trace):
            cat(m.mnt / 'c/effective')
            trace.write_bytes(b'')
            at = m.log_path.stat().st_size
            cat(m.mnt / 'c/effective')
            wait_for(lambda: 'RELEASE' in requests(m, at), 'the file to be closed')
            found = requests(m, at)
        calls = calls_of(trace.read_text())
        return (found == ['OPEN', 'GETATTR', 'READ', 'READ', 'RELEASE'] and len(calls) <= 25
                and not {'open', 'openat', 'openat2'} & {*calls})
    wait_for(warm, 'a cat of at most 25 system calls')


def test_status_is_assembled(root, mount, base, state):
    """As long as nothing happens to the bundles, it is told what was found of them: fewer calls than bundles."""
    for i in range(100):
        bundles.container(state, f'c{i}', deny=['1.1.1.1'])
    for i in range(3):
        bundles.put(state / f'containers/c{i}/deny.list', b'\xff\n')
    m = mount(state)
    server = watching.children(m)[0]
    problems = [f'c{i}/deny.list: line 1: not UTF-8 at byte 1' for i in range(3)]

    def warm():
        trace = base / 'trace'
        said = m.status()['problem']
        with traced(server, trace):
            cat(m.mnt / '.shieldfs/status')
        return said == problems and len(calls_of(trace.read_text())) < 50
    wait_for(warm, 'a status file of fewer than 50 system calls')
    bundles.put(state / 'containers/c1/deny.list', '1.1.1.1\n')
    assert m.status()['problem'] == [problems[0], problems[2]]
    os.symlink('x', state / 'containers/link')
    assert m.status()['problem'] == [f'{state}/containers/link: symbolic link: not followed', problems[0], problems[2]]


def test_hot_file_backs_off(mount, state):
    """The longer it goes on changing, the more of its changes are one: eighty milliseconds lie between two events. The
    last change is told, and after a rest the first one soon."""
    bundle = bundles.container(state, 'c', live=['1.1.1.1'])
    m = mount(state)
    with watching.Inotify() as inotify:
        inotify.add(m.mnt / 'c/effective', watching.CLOSE_WRITE)
        start, came = time.monotonic(), 0
        for i in range(400):
            bundles.put(bundle / 'live.allowed', f'2.2.{i // 250}.{i % 250}\n')
            time.sleep(0.004)  # it need not be exact
            came += len(inotify.read())
        wait_for(lambda: watching.at_rest(m), 'the last to be told')
        came += len(inotify.read())
        assert 2 <= came <= 5 + (time.monotonic() - start) / 0.08
        assert (m.mnt / 'c/effective').read_text() == '2.2.1.149\n'


def test_no_look_at_all_bundles(mount, state):
    """Neither a change of content leads to one, nor a bundle that comes or goes, nor what is done beside them."""
    for i in range(20):
        bundles.container(state, f'c{i}', live=['1.1.1.1'])
        bundles.task(state, 'p', f'{i}', live=['1.1.1.1'])
    m = mount(state)
    before = m.log_path.read_bytes().count(SCAN)
    with Watch(m.mnt, m.mnt, m.mnt / 'c0', m.mnt / 'p.0') as watch:
        for i in range(30):
            bundles.put(state / 'containers/c0/live.allowed', f'2.2.2.{i}\n')
            os.chmod(state / 'containers/c0', 0o700 + i % 2 * 0o55)
            for half in ('containers', 'tasks'):
                (state / half / 'a-file').write_text('')
                (state / half / 'a-file').unlink()
            (state / 'beside').mkdir()
            (state / 'beside').rmdir()
            os.mkdir(state / 'tasks/p/0/workspace')
            os.rmdir(state / 'tasks/p/0/workspace')
        watch.wait_for(('c0/effective', 'CLOSE_WRITE'))
        for name, place in (('new', 'containers/new'), ('p.77', 'tasks/p/77')):
            bundles.bundle(state / (place if name == 'new' else f'{place}/shield'), live=['3.3.3.3'])
            watch.wait_for((name, 'CREATE,ISDIR'))
            assert (m.mnt / name / 'effective').read_text() == '3.3.3.3\n'
            bundles.remove(state / place)
            watch.wait_for((name, 'DELETE,ISDIR'))
            assert not (m.mnt / name).exists()
    assert m.log_path.read_bytes().count(SCAN) == before
    assert len(os.listdir(m.mnt)) == 41


def test_task_directories_come_back(mount, state):
    """A task that went away as a whole and came again is watched like the first."""
    bundles.task(state, 'p', '1', live=['1.1.1.1'])
    m = mount(state)
    with Watch(m.mnt, m.mnt) as watch:
        for i in range(3):
            bundles.remove(state / 'tasks/p/1')
            watch.expect({'p.1': ['DELETE,ISDIR']})
            os.makedirs(state / 'tasks/p/1')
            bundles.bundle(state / 'tasks/p/1/shield', live=[f'2.2.2.{i}'])
            watch.expect({'p.1': ['CREATE,ISDIR']})
            assert (m.mnt / 'p.1/effective').read_text() == f'2.2.2.{i}\n'


def test_name_taken_over(mount, base):
    """By an earlier source, and given back: who reads right afterwards has the content of the one whose turn it is,
    though the kernel knows the name, the other bundle is as it was, and nothing has been announced yet."""
    for i in (1, 2):
        bundles.container(base / f's{i}', 'other')
        bundles.bundle(base / f's{i}/containers/c' if i == 2 else base / 'aside', live=[f'{i}.{i}.{i}.{i}'])
    m = mount(base / 's1', base / 's2')
    for _ in range(100):
        assert (m.mnt / 'c/effective').read_text() == '2.2.2.2\n'
        os.rename(base / 'aside', base / 's1/containers/c')
        assert (m.mnt / 'c/effective').read_text() == '1.1.1.1\n'
        os.rename(base / 's1/containers/c', base / 'aside')


def test_bundle_replaced(mount, base, state):
    """By another in one step: who reads, stats or lists right afterwards sees the new one; nobody sees none."""
    bundles.container(state, 'c', files={'one': ''}, live=['1.1.1.1'])
    bundles.bundle(base / 'aside', files={'two': ''}, live=['2.2.2.2', '2.2.2.3'])
    m = mount(state)
    texts = ['1.1.1.1\n', '2.2.2.2\n2.2.2.3\n']
    for i in range(1, 61):
        if i % 4:  # the kernel has its names, else some of them are yet to be announced
            wait_for(lambda: watching.at_rest(m), 'all to be announced')
            assert (m.mnt / 'c/effective').read_text() == texts[1 - i % 2]
        harness.exchange(state / 'containers/c', base / 'aside')
        if i % 3 == 0:
            assert (m.mnt / 'c/effective').read_text() == texts[i % 2]
        elif i % 3 == 1:
            assert os.stat(m.mnt / 'c/effective').st_size == len(texts[i % 2])
        else:
            assert {'one', 'two'} & {*os.listdir(m.mnt / 'c')} == {['one', 'two'][i % 2]}


def test_end_of_a_directory_that_somebody_comes_upon(mount, base, state):
    """He is sent elsewhere, and has the time to get there before the kernel knows that it is removed; but however often
    he comes, its end is told."""
    bundles.container(state, 'c', live=['1.1.1.1'])
    bundles.bundle(base / 'aside', live=['2.2.2.2'])
    m = mount(state)

    def come(inside, over):
        while not over.is_set():
            with contextlib.suppress(OSError):
                os.stat('effective', dir_fd=inside)

    def has_waited():
        """Only if he came just before it was to be told."""
        over = threading.Event()
        with opened(m.mnt / 'c') as inside:
            thread = threading.Thread(target=come, args=(inside, over))
            thread.start()
            try:
                harness.exchange(state / 'containers/c', base / 'aside')
                watch.wait_for(('c', 'DELETE,ISDIR'), ('c', 'CREATE,ISDIR'))
            finally:
                over.set()
                thread.join()
        return b' event c: gone: to be told when who came upon it has looked' in m.log_path.read_bytes()
    with Watch(m.mnt, m.mnt) as watch:
        wait_for(has_waited, 'him to come upon it')
    assert (m.mnt / 'c/effective').read_bytes() == (state / 'containers/c/live.allowed').read_bytes()


def test_list_of_names_is_true(mount, state):
    """Whatever came and went just before it is taken."""
    m = mount(state)
    names = set()
    for i in range(200):
        name = f'c{i * 7 % 20}'
        if name in names:
            bundles.remove(state / 'containers' / name)
        else:
            bundles.container(state, name)
        names ^= {name}
        assert {*os.listdir(m.mnt)} == {'.shieldfs', *names}
        assert (m.mnt / name).exists() == (name in names)
