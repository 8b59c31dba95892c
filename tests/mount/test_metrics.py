# SPDX-License-Identifier: Apache-2.0
"""What .shieldfs/metrics counts: the text is what Prometheus' programs take, the counters count what was done, the
gauges follow what there is, and whoever watches the view hears nothing of all that."""

import contextlib
import errno
import itertools
import math
import os
import re
import select
import signal
import socket
import subprocess
import urllib.request

import bundles
import harness
import pytest
import watching
from counted import Counted, busy_announcer, parse, text_of, undisturbed
from harness import fails, opened, run, wait_for
from watching import Watch

MANUAL = harness.REPO / 'fs/doc/shieldfs.1'
REQUESTS = {'lookup', 'forget', 'getattr', 'access', 'open', 'read', 'poll', 'release', 'opendir', 'readdir',
            'releasedir', 'statfs', 'change'}
EVENTS = {'modify', 'late_close', 'early_modify', 'attrib', 'create', 'create_directory', 'delete', 'delete_directory'}
# All labels there are: nothing that a bundle holds makes one more.
LABELS = {'request': REQUESTS, 'event': EVENTS, 'state': {'ok', 'waiting', 'refused', 'failed', 'restarting', 'stuck', 'stopped'},
          'kind': {'list', 'name', 'place', 'requests', 'upkeep', 'later'}, 'version': None, 'le': None}


@pytest.fixture
def web(mount, state):
    bundles.container(state, 'web-1', profile=['192.0.2.1'], deny=['192.0.2.9'], files={'audit.jsonl': '{}\n'})
    m = watching.settled(mount(state))
    return m, state / 'containers/web-1', Counted(m)


def recipe():
    """The commands of the manual that hand the metrics to node_exporter."""
    text = MANUAL.read_text(encoding='utf-8').split('.Ss Metrics\n')[1].split('\n.Ss ')[0]
    return re.search(r'^\.Bd -literal.*?\n(.*?)^\.Ed$', text, re.M | re.S)[1].replace('\\e', '\\')


def collect(m, base):
    """Does what the recipe says; the file that it makes."""
    home, directory = base / 'home', base / 'textfiles'
    for path in (home, directory):
        path.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (home / 'shield').symlink_to(m.mnt)
    run('sh', '-euc', recipe(), env={'HOME': os.fspath(home), 'dir': os.fspath(directory)})
    file = directory / f'shieldfs-{run("id", "-un").stdout.decode().strip()}.prom'
    assert os.listdir(directory) == [file.name]
    return file


def test_the_text(web, base):
    m, _, _ = web
    text = text_of(m)
    samples = parse(text)
    assert text.endswith('\n# EOF\n') and len(text) < 32768
    for name, *labels in samples:
        for label, value in labels:
            assert LABELS[label] is None or value in LABELS[label], (name, label, value)
    number = re.search(r'\d+\.\d+\.\d+', run(harness.SHIELDFS, '--version').stdout.decode())[0]
    assert samples[('build_info', ('version', number))] == 1
    for name, *labels in samples:
        if name.endswith('_count'):
            of = name.removesuffix('_count')
            buckets = [v for (n, *ls), v in samples.items() if n == f'{of}_bucket' and {*labels} < {*ls}]
            assert len(buckets) == 10 and buckets == sorted(buckets), 'they are cumulative'
            assert buckets[-1] == samples[(name, *labels)]
            assert (samples[(f'{of}_sum', *labels)] > 0) <= (buckets[-1] > 0)
    assert {ls[0][1] for name, *ls in samples if name == 'request_duration_seconds_count'} == REQUESTS
    done = run('promtool', 'check', 'metrics', stdin=None, input=collect(m, base).read_bytes())
    assert done.stdout == b'', done.stdout


def test_requests_are_counted(web):
    m, _, counted = web
    before = {kind: counted.requests(kind) for kind in REQUESTS}

    def grown(kind):
        return counted.requests(kind) - before[kind]
    opens = grown('open')  # it is one of its own
    for _ in range(20):
        assert (m.mnt / 'web-1/effective').read_bytes() == b'192.0.2.1\n'
    assert grown('open') == opens + 21
    with opened(m.mnt / 'web-1/effective') as fd:
        before['read'] = counted.requests('read')
        reads = grown('read')
        for _ in range(5):
            os.pread(fd, 1, 0)
        assert grown('read') == 2 * reads + 5
    changes = grown('change')
    for _ in range(3):
        with fails(errno.EROFS):
            os.mkdir(m.mnt / 'new')
    assert grown('change') == changes + 3
    statfs = grown('statfs')
    os.statvfs(m.mnt)
    assert grown('statfs') > statfs
    directories = grown('opendir')
    os.listdir(m.mnt / 'web-1')
    assert grown('opendir') == directories + 1
    wait_for(lambda: grown('releasedir') >= directories + 1, 'the end of the listing')
    total = parse(text_of(m))
    assert 0 < total[('request_duration_seconds_sum', ('request', 'open'))] < 600


def test_a_held_request_takes_its_time(mount, state):
    behind = bundles.container(state, 'web-1', profile=['192.0.2.1'])
    m = watching.settled(mount(state, options=['settle=60000']))
    counted = Counted(m)
    path = m.mnt / 'web-1/effective'
    assert path.read_bytes() == b'192.0.2.1\n'

    def held():
        return counted('requests_held', request='open')

    def long():
        samples = parse(text_of(m))  # one text, for each open of it counts
        return (samples[('request_duration_seconds_count', ('request', 'open'))] -
                samples[('request_duration_seconds_bucket', ('le', '0.1'), ('request', 'open'))])
    assert held() == 0
    before = long()
    with opened(behind / 'profile.allowed', os.O_WRONLY | os.O_TRUNC) as fd:
        readers = [subprocess.Popen(['cat', path], stdout=subprocess.DEVNULL) for _ in range(3)]
        wait_for(lambda: held() == 3, 'three to be held')
        harness.holds_for(lambda: held() == 3, 0.2, 'they are')
        os.write(fd, b'192.0.2.2\n')
    assert all(reader.wait(harness.TIMEOUT) == 0 for reader in readers)
    assert held() == 0 and long() >= before + 3


def test_gauges_follow(web, state):
    m, behind, counted = web
    watches, descriptors = counted('watches'), counted('descriptors')
    assert counted('containers') == 1 and counted('complete') == 1
    assert counted('sources', state='ok') == 1
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(opened(m.mnt / 'web-1/audit.jsonl'))
        wait_for(lambda: counted('descriptors') >= descriptors + 4, 'descriptors')  # a directory may be closed
    bundles.container(state, 'dns-1', profile=['192.0.2.7'] * 50)
    wait_for(lambda: counted('containers') == 2 and counted('watches') > watches, 'the container')
    cached = counted('cache_bytes')
    assert (m.mnt / 'dns-1/effective').read_bytes() == b'192.0.2.7\n'
    assert 0 < cached < counted('cache_limit_bytes') == 64 * 1024 * 1024
    bundles.put(behind / 'deny.list', b'\xff\n')
    os.mkfifo(behind / 'odd')
    (state / 'containers/-odd').mkdir()
    for kind in ('list', 'name', 'place'):
        wait_for(lambda kind=kind: counted('problems', kind=kind) == 1, f'the problem of a {kind}')
    jobs = sum(counted('job_duration_seconds_count', kind=kind) for kind in ('requests', 'upkeep', 'later'))
    assert jobs > 0
    (behind / 'odd').unlink()
    (state / 'containers/-odd').rmdir()
    bundles.remove(state / 'containers/dns-1')
    bundles.put(behind / 'deny.list', b'')
    wait_for(lambda: counted('containers') == 1 and counted('watches') == watches, 'all to be as before')
    for kind in ('list', 'name', 'place'):
        wait_for(lambda kind=kind: counted('problems', kind=kind) == 0, f'the end of the problem of a {kind}')


def test_announcements(web):
    m, behind, counted = web
    before = {event: counted('changes_announced_total', event=event) for event in EVENTS}

    def told(event):
        return counted('changes_announced_total', event=event) - before[event]
    with Watch(m.mnt, m.mnt / 'web-1') as watch:
        bundles.put(behind / 'new', 'x')
        watch.wait_for(('web-1/new', 'CREATE'))
        (behind / 'new').unlink()
        watch.wait_for(('web-1/new', 'DELETE'))
    wait_for(lambda: told('create') == 1 and told('delete') == 1, 'both to be counted')

    wait_for(lambda: counted('queue_length') == 0, 'the queue to be empty')
    restarts = counted('announcer_restarts_total')
    os.kill(watching.announcer(m), signal.SIGKILL)
    wait_for(lambda: counted('announcer_restarts_total') == restarts + 1, 'another announcer')
    wait_for(lambda: counted('announcer_state', state='ok') == 1, 'it to be at work')
    m.expect_log(r'.*the announcer was killed by signal 9 .*')


def test_queue(web):
    """What waits for the announcer, and what joins it there: changes of what is to be told already."""
    m, behind, counted = web
    content = itertools.count()

    @undisturbed
    def waits(m):
        modified = counted('changes_announced_total', event='modify')
        with busy_announcer(m, behind / 'audit.jsonl'):
            joined = counted('changes_joined_total')
            wait_for(lambda: counted('queue_oldest_seconds') > 0.1, 'what is asked for to be waiting')
            for i in itertools.islice(content, 4):
                bundles.put(behind / 'deny.list', f'192.0.2.{i}\n')
                assert (m.mnt / 'web-1/denied').read_bytes() == f'192.0.2.{i}\n'.encode()
            wait_for(lambda: counted('queue_length') > 1, 'something in the queue')
            assert counted('changes_joined_total') > joined
        wait_for(lambda: counted('queue_length') == 0 and counted('queue_oldest_seconds') == 0, 'the queue to be empty')
        wait_for(lambda: counted('changes_announced_total', event='modify') >= modified + 3, 'the changes to be told')
        assert counted('announcer_state', state='ok') == 1
    waits(m)


def test_evictions(mount, state):
    for i in range(8):
        bundles.container(state, f'c{i}', profile=[f'10.{i}.{n // 250}.{n % 250}' for n in range(8000)])
    m = watching.settled(mount(state, options=['cache=512K']))
    counted = Counted(m)
    before = counted('cache_evictions_total')
    for _ in range(2):
        for i in range(8):
            assert (m.mnt / f'c{i}/effective').read_bytes()
    assert counted('cache_evictions_total') > before
    assert 0 < counted('cache_bytes') <= counted('cache_limit_bytes') * 9 / 8


def test_nothing_is_announced(web):
    """Neither events nor another status come of counting and of reading."""
    m, _, counted = web
    status = m.mnt / '.shieldfs/status'
    before, when = status.read_bytes(), status.stat().st_mtime_ns
    with Watch(m.mnt, m.mnt, m.mnt / '.shieldfs', m.mnt / '.shieldfs/metrics') as watch:
        opens = counted.requests('open')
        for _ in range(20):
            assert (m.mnt / 'web-1/effective').read_bytes() and text_of(m)
            os.stat(m.mnt / '.shieldfs/metrics')
            os.listdir(m.mnt / '.shieldfs')
        m.process.send_signal(signal.SIGHUP)  # all is compared
        wait_for(lambda: counted.requests('open') > opens + 40 and watching.at_rest(m), 'all to be counted')
        watch.expect_nothing()
    assert status.read_bytes() == before and status.stat().st_mtime_ns == when


def test_one_open_is_one_snapshot(web, base):
    m, behind, _ = web
    path = m.mnt / '.shieldfs/metrics'
    with opened(path) as fd:
        first = harness.read_fd(fd)
        poll = select.poll()
        poll.register(fd, select.POLLIN | select.POLLPRI)
        bundles.put(behind / 'deny.list', '')
        assert (m.mnt / 'web-1/effective').read_bytes()
        assert os.pread(fd, 1 << 20, 0) == first and os.pread(fd, 100, 50) == first[50:150]
        assert poll.poll(0) == [(fd, select.POLLIN)]
        assert text_of(m) != first.decode()
    # Whoever asks for its size is told none, as of the files in /proc, and reads to the end.
    assert path.stat().st_size == 0
    (base / 'link').symlink_to(path)
    run('cp', path, base / 'copy')
    whole = [run('cat', base / 'link').stdout, (base / 'copy').read_bytes(), run('tail', '-n', '+1', path).stdout,
             run('dd', f'if={path}', 'status=none', 'bs=777').stdout, run('head', '-c', '1M', path).stdout]
    for text in whole:
        assert parse(text.decode())
    assert run('tail', '-n', '1', path).stdout == b'# EOF\n'
    assert path.stat().st_mtime_ns == (m.mnt / '.shieldfs/version').stat().st_mtime_ns, 'tar sees no change'
    run('tar', '-cf', '/dev/null', '-C', m.mnt, '.shieldfs')


def test_hostile_names_get_nowhere(mount, state):
    names = ['"} 1\nshieldfs_containers 7\n# EOF', 'a"b', 'x\\', '{le="1"}', 'ä', '\udcff']
    behind = bundles.container(state, 'web-1')
    for name in names:
        (state / 'containers' / name).mkdir()
        os.mkfifo(behind / name)
    m = watching.settled(mount(state))
    counted = Counted(m)
    wait_for(lambda: counted('problems', kind='name') == len(names), 'the FIFOs to be counted')
    assert counted('problems', kind='place') == len(names) and counted('containers') == 1
    assert len(parse(text_of(m))) == text_of(m).count('\nshieldfs_'), 'each sample is a line, and no line is another\'s'


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as server:
        return server.getsockname()[1]


def test_node_exporter(web, base):
    """The recipe of the manual, and what the node exporter then tells whoever scrapes it."""
    m, _, counted = web
    collected = collect(m, base)
    directory, view = collected.parent, f'view="{base}/home/shield"'
    address = f'127.0.0.1:{free_port()}'
    argv = ['prometheus-node-exporter', '--collector.disable-defaults', '--collector.textfile', '--web.disable-exporter-metrics',
            f'--collector.textfile.directory={directory}', f'--web.listen-address={address}']
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as exporter:
        def scraped():
            with contextlib.suppress(OSError), urllib.request.urlopen(f'http://{address}/metrics', timeout=10) as reply:
                return reply.read().decode()
            return None
        try:
            text = wait_for(scraped, 'the exporter')
            assert 'node_textfile_scrape_error 0' in text
            assert f'\nshieldfs_containers{{{view}}} 1\n' in text and '# TYPE shieldfs_announcer_restarts_total counter' in text
            opens = re.compile(r'^shieldfs_request_duration_seconds_count\{request="open",view=".*"\} (\d+)$', re.M)
            before = int(opens.search(text)[1])
            for _ in range(10):
                assert (m.mnt / 'web-1/effective').read_bytes()
            collect(m, base)
            assert int(opens.search(scraped())[1]) == before + 11
            assert math.isfinite(counted('start_time_seconds'))
            # Another's view is told from it.
            other = directory / 'shieldfs-other.prom'
            other.write_text(collected.read_text(encoding='ascii').replace(view, 'view="/other"'), encoding='ascii')
            text = scraped()
            assert 'node_textfile_scrape_error 0' in text and '\nshieldfs_containers{view="/other"} 1\n' in text
            other.unlink()
            # It takes a link to the file itself as well.
            collected.unlink()
            collected.symlink_to(m.mnt / '.shieldfs/metrics')
            text = scraped()
            assert 'node_textfile_scrape_error 0' in text and '\nshieldfs_containers 1\n' in text
        finally:
            exporter.terminate()
