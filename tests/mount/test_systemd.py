# SPDX-License-Identifier: Apache-2.0
"""The units under a systemd of the test's own: started, reloaded, stopped with readers in the view, and whoever dies; the
service of a plain user; an fstab line with x-systemd.automount. On the machine that systemd manages all see the view."""

import os
import shutil
import signal

import bundles
import harness
import managed
import pytest
from harness import wait_for
from test_readme import literal_blocks

USER = harness.NOBODY
PLACE, OWN, AUTO = '/run/shield/web', f'/run/user/{USER}/shield', 'auto'
LEAKS = 'ASAN_OPTIONS=detect_leaks=0\n'  # a look for leaks takes more than the unit allows
# What logind starts for a user.
USER_MANAGER = '''[Service]
Type=notify
User={user}
Delegate=yes
RuntimeDirectory=user/{user}
RuntimeDirectoryMode=0700
Environment=XDG_RUNTIME_DIR=/run/user/{user} XDG_CONFIG_HOME={base}/etc SYSTEMD_UNIT_PATH={base}/own-units
Environment=SYSTEMD_GENERATOR_PATH={base}/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH={base}/none
ExecStart={systemd} --user --log-target=null
'''

pytestmark = pytest.mark.root


@pytest.fixture
def manager(base, state):
    for name in ('bin', 'etc/shieldfs', 'own-units', AUTO):
        (base / name).mkdir(parents=True)
    os.chown(base / 'etc', USER, USER)
    shutil.copy2(harness.SHIELDFS, base / 'bin')
    bundles.put(base / 'etc/shieldfs/web.conf', f'SOURCE="{state}"\n{LEAKS}')
    bundles.put(base / 'etc/shieldfs/bad.conf', f'SOURCE=/\n{LEAKS}')
    bundles.put(base / 'etc/shieldfs.conf', f'TEROK_SHIELD_STATE_DIR={state}\n{LEAKS}')
    bundles.put(base / 'own-units/shieldfs.service', managed.rendered('user', 'shieldfs.service', '/usr/local/bin', base))
    bundles.put(base / 'own-units/default.target', '[Unit]\nWants=shieldfs.service\n')
    for name in ('basic.target', 'shutdown.target', 'exit.target', 'systemd-exit.service'):
        shutil.copy2(f'/usr/lib/systemd/user/{name}', base / 'own-units')
    units = {'shieldfs@.service': managed.rendered('system', 'shieldfs@.service', '/usr/local/bin', base / 'etc'),
             'shieldfs@bad.service.d/soon.conf': '[Service]\nRestartSec=100ms\n',
             'own.service': USER_MANAGER.format(user=USER, base=base, systemd=managed.SYSTEMD)}
    words = 'noauto,user,x-systemd.automount,x-systemd.idle-timeout=0,_netdev,nofail,allow_other'
    with managed.Manager(base, units, f'{state} {base}/{AUTO} fuse.shieldfs {words} 0 0\n') as m:
        yield m


def the_one(m, name):
    """The process called NAME. A new announcer is called as the supervisor is, at first."""
    return wait_for(lambda: len(found := m.pids(name)) == 1 and found[0], f'one {name}')


def is_back(m, unit, place, before, user=None):
    """Was UNIT started again since its main process was BEFORE, and does its view answer?"""
    pid, state = m.show(unit, 'MainPID', 'ActiveState', user=user)
    return state == 'active' and pid not in (before, '0') and (m.path(place) / 'c/effective').read_bytes() == b'1.1.1.1\n'


def test_system_service(manager, mount, state):
    """From before there is a source to a stop with somebody who reads; and whoever is killed, it comes back."""
    m, unit, view = manager, 'shieldfs@web.service', manager.path(PLACE)
    state.rmdir()
    m.systemctl('start', unit)
    assert (view / '.shieldfs/version').read_text().startswith('version: ')  # it answers by now
    assert m.mounted(PLACE) == 1
    wait_for(lambda: m.show(unit, 'StatusText') == 'waiting for a source, 0 containers, 0 problems', 'the status')
    bundles.container(state, 'c', profile=['1.1.1.1'])
    wait_for(lambda: m.show(unit, 'StatusText') == 'complete, 1 container, 0 problems', 'the status')
    confined = [ln for ln in (view / '.shieldfs/status').read_text().splitlines() if ln.startswith('confined: ')]
    assert confined == [f'confined: {ln}' for ln in mount(state, options=['allow_other']).status()['confined']]
    pid = m.show(unit, 'MainPID')
    m.systemctl('reload', unit)
    assert m.show(unit, 'ActiveState', 'MainPID') == ('active', pid)

    for name in ('shieldfs-server', 'shieldfs'):  # each leaves something else to be cleared
        before = m.show(unit, 'MainPID')
        victim = the_one(m, name)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: is_back(m, unit, PLACE, before), 'it to be started again')
        assert m.mounted(PLACE) == 1

    with harness.opened(view / 'c/effective') as fd:
        m.systemctl('stop', unit)
        assert m.mounted(PLACE) == 0 and not m.pids('shieldfs-server')
        with harness.fails(harness.errno.ENOTCONN):
            os.read(fd, 100)
    assert m.show(unit, 'ActiveState', 'Result') == ('inactive', 'success')

    m.systemctl('start', unit)
    m.unmount(PLACE)
    wait_for(lambda: m.show(unit, 'ActiveState') == 'inactive', 'it to end')  # as it was told to: it stays so
    assert m.show(unit, 'Result', 'NRestarts') == ('success', '0')


def test_start_that_fails(manager):
    """The status says why, and there is no endless try."""
    m, unit = manager, 'shieldfs@bad.service'
    assert m.systemctl('start', unit, ok=False).returncode == 1
    wait_for(lambda: m.show(unit, 'ActiveState') == 'failed', 'systemd to give up')
    assert m.show(unit, 'StatusText', 'Result') == ('/: the source contains the mount point', 'exit-code')
    assert m.mounted('/run/shield/bad') == 0


def test_service_of_a_user(manager, state):
    """With the session, that is with his systemd; fusermount3 mounts and unmounts."""
    m, unit = manager, 'shieldfs.service'
    harness.run('chown', '-R', str(USER), bundles.container(state, 'c', profile=['1.1.1.1']))
    m.systemctl('start', 'own.service')
    wait_for(lambda: m.show(unit, 'ActiveState', user=USER) == 'active', 'his service')
    assert m.mounted(OWN) == 1
    assert m.run('cat', f'{OWN}/c/effective', user=USER).stdout == b'1.1.1.1\n'
    wait_for(lambda: m.show(unit, 'StatusText', user=USER) == 'complete, 1 container, 0 problems', 'the status')
    m.systemctl('reload', unit, user=USER)
    before = m.show(unit, 'MainPID', user=USER)
    for name in ('shieldfs-server', 'shieldfs'):
        victim = the_one(m, name)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: m.show(unit, 'ActiveState', user=USER) == 'active' and
                 m.show(unit, 'MainPID', user=USER) not in (before, '0'), 'it to be started again')
        before = m.show(unit, 'MainPID', user=USER)
    assert m.mounted(OWN) == 1
    m.systemctl('stop', 'own.service')  # the session ends
    assert m.mounted(OWN) == 0 and not m.pids('shieldfs')


def test_commands_of_the_manual(manager, base, state):
    """Those of a user, with the session that is there; those of root, whose paths are here instead."""
    m = manager
    bundles.container(state, 'c', profile=['1.1.1.1'])
    own, system = [text for kind, _, text in literal_blocks('shieldfs.1') if kind == 'service']
    (base / 'own-units/default.target').unlink()
    shutil.copy2('/usr/lib/systemd/user/default.target', base / 'own-units')
    m.systemctl('start', 'own.service')
    done = m.run('bash', '-ec', own, user=USER, ok=False)
    assert done.returncode == 0 and done.stdout.endswith(b'\nc\n'), done
    assert m.mounted(OWN) == 1
    for here, there in (('/etc', base / 'etc'), ('/srv/terok/shield', state)):
        system = system.replace(here, os.fspath(there))
    (base / 'etc/shieldfs/web.conf').unlink()
    done = m.run('bash', '-ec', system, ok=False)
    assert (done.returncode, done.stdout) == (0, b'c\n'), done
    assert m.mounted(PLACE) == 0


def test_automount(manager, base, state):
    """Mounted when somebody looks, by whoever; an unmounted one too."""
    m, place = manager, f'{base}/{AUTO}'
    bundles.container(state, 'c', profile=['1.1.1.1'])
    name = m.run('systemd-escape', '--path', '--suffix=automount', place).stdout.decode().strip()
    m.systemctl('start', name)
    for user in (USER, None):
        assert m.mounted(place) == 0
        assert m.run('cat', f'{place}/c/effective', user=user).stdout == b'1.1.1.1\n'
        assert m.mounted(place) == 1
        m.unmount(place)
        wait_for(lambda: not m.pids('shieldfs'), 'the servers to end')
    m.systemctl('stop', name)
