# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests on real mounts: a private directory, a factory of mounts that are checked and taken down
after each test, and a watchdog. Without /dev/fuse or the programs nothing here can pass: one line says so."""

import contextlib
import faulthandler
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / 'lib'))
import bundles  # noqa: E402 (only now they can be found)
import harness  # noqa: E402


def pytest_configure(config):
    os.umask(0o022)
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    os.environ['PATH'] += f':{cache}/shieldfs/programs'  # tests/install-deps.sh
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so in the background of a shell, and our readers had it from us
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.wrong, config.left_out = [], 0
    for path in (harness.SHIELDFS, harness.SHIELD_STATE):
        if not os.access(path, os.X_OK):
            pytest.exit(f'no program at {path} (set SHIELDFS and SHIELD_STATE, or build into build/)', 1)
    if not pathlib.Path('/dev/fuse').exists():
        pytest.exit('/dev/fuse is missing: the tests on real mounts cannot run', returncode=1)
    # A plain user has no such namespace: in a user namespace of his own the setuid fusermount3 may not mount.
    if os.geteuid() == 0:
        harness.private_namespace()
    config.addinivalue_line('markers', 'root: needs root; not run as a plain user')


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Leaves out what can't be tried here, and counts it: that is not skipped."""
    if os.geteuid() == 0:
        return
    left_out = [item for item in items if 'root' in item.fixturenames or item.get_closest_marker('root')]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
        config.left_out = len(left_out)


def pytest_terminal_summary(terminalreporter, config):
    """What is wrong comes last, below all the logs."""
    for text in config.wrong:
        terminalreporter.write_line(text, red=True)
    if config.left_out:
        terminalreporter.write_line(f'{config.left_out} need root')


def pytest_sessionfinish(session, exitstatus):
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.left_out:
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.went_wrong = True
        for m in getattr(item, 'mounts', []):
            with contextlib.suppress(OSError):
                tail = m.log_path.read_bytes()[-20000:].decode('utf-8', 'backslashreplace')
                report.sections.append((f'end of the log of {m.mnt}', tail))
        seed = getattr(item.module, 'SEED', None)
        crash = getattr(report.longrepr, 'reprcrash', None)
        item.config.wrong.append(f'{item.nodeid}, {report.when}: {crash.message if crash else report.longrepr}'
                                 + (f'\nSHIELD_SEED={seed}' if seed is not None else ''))


@pytest.fixture(autouse=True)
def watchdog():
    """Nothing hangs for ever: killing the servers ends waits on a mount; if that is no help, all ends."""
    limit = harness.TIMEOUT * 8

    def bark():
        faulthandler.dump_traceback()
        for m in list(harness.Mount.running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(m.process.pid, signal.SIGKILL)
    timer = threading.Timer(limit, bark)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(limit + 60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    timer.cancel()


@pytest.fixture
def base():
    """A private directory that other users may enter (the tests about privacy need that)."""
    path = pathlib.Path(os.path.realpath(tempfile.mkdtemp(prefix='shieldfs.')))
    path.chmod(0o755)
    yield path
    for place in harness.mounts():
        if place.startswith(f'{path}/'):
            harness.release(place)
    if os.geteuid() != 0:
        harness.run('chmod', '-R', 'u+rwx', path)
    shutil.rmtree(path)


@pytest.fixture
def state(base):
    """An empty state root."""
    path = base / 'state'
    path.mkdir()
    return path


@pytest.fixture
def place(base, state):
    """A mount point beside a state with one container; nothing is left on it or of its servers."""
    bundles.container(state, 'c', profile=['1.1.1.1'])
    path = base / 'mnt'
    path.mkdir()
    yield path
    harness.release(path)


@pytest.fixture
def mount(request, base):
    """mount(*SOURCES, options=[…], …) starts a server; each is stopped and checked after the test."""
    request.node.mounts = made = []

    def make(*sources, **kw):
        m = harness.Mount(base, sources, name=f'mnt{len(made)}' if made else 'mnt', **kw)
        made.append(m)
        return m.start()
    yield make
    try:
        if not getattr(request.node, 'went_wrong', False):
            for m in reversed(made):
                m.stop()
    finally:
        for m in made:
            m.kill()


@pytest.fixture
def root():
    """For tests that change owners, make devices or a mount namespace: left out for a plain user."""


@pytest.fixture
def exe(base):
    """A copy of the program where every user may run it."""
    return pathlib.Path(shutil.copy2(harness.SHIELDFS, base / 'shieldfs'))
