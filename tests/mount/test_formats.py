# SPDX-License-Identifier: Apache-2.0
"""shieldfs.status(5) is true: the lines of status, version, computed files and the log are of the forms that it tells,
whatever a source holds, and its words are those of the program."""

import errno
import os
import re

import bundles
import pytest
from harness import REPO, fails, wait_for

PAGE = (REPO / 'fs/doc/shieldfs.status.5').read_text(encoding='utf-8')
KEYS = ['source', 'complete', 'announcer', 'pid', 'confined', 'degraded', 'problem']
NAME = r'[A-Za-z0-9_][A-Za-z0-9_.-]*'
TEXT = r'(?:[^\\\x00-\x1f\x7f]|\\\\|\\x[0-9a-f]{2})+'
SUBJECT = rf'(?:{NAME}(?:/(?:hooks/)?{TEXT})?|/{TEXT}|settle=0)'
STATES = ['ok', 'restarting', 'stuck', 'stopped']
LINE = re.compile(
    rf'source: (?:ok|waiting|refused|E[A-Z]+) /{TEXT}|complete: (?:yes|no)|announcer: (?:{"|".join(STATES)})|pid: [0-9]+|'
    rf'confined: (?:supervisor|server|announcer):(?: [a-z0-9:-]+)*|(?:degraded|problem): {SUBJECT}: {TEXT}')
DOMAIN = re.compile(r'(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}')
ODD = ['a: b', 'a\nproblem: forged', 'back\\slash', '\x1b[2J', '\u2028', '\u00e9', '-x', ' ', 'deny.list: x']


@pytest.fixture
def odd(base, state):
    """A bit of everything that is wrong, under odd names."""
    behind = bundles.container(state, 'c', profile=['1.1.1.1', '# a note', '1.1.1.1'], live=['x\0y  z', '\u00e9'], files={
        'profile.domains': 'Example.COM\n*.A-1.org\nno domain\nexample.com\n', 'hooks/h.json': '{}', 'deny.list': b'\xff\n'})
    for name in ODD:
        os.mkfifo(behind / name)
        (behind / 'hooks' / name).symlink_to('nowhere')
        (state / 'containers' / name).mkdir(exist_ok=True)
    os.mkfifo(os.fsencode(behind) + b'/\xff\xfe')
    (behind / 'live.domains').symlink_to('profile.domains')
    (state / 'containers/link').symlink_to('c')
    bundles.task(state, 'c', '1')
    bundles.container(state, 'c.1')
    (base / 'a: b\n').mkdir()
    return [state, base / 'a: b\n', base / 'later: \\']


def lines_of(data):
    text = data.decode('utf-8')
    assert text.endswith('\n')
    return text.split('\n')[:-1]


@pytest.mark.parametrize('options', [[], ['settle=0']], ids=['', 'settle=0'])
def test_status_and_version(mount, odd, options):
    m = mount(*odd, options=options)
    wait_for(lambda: m.status()['complete'] == ['yes'] and m.status()['announcer'] == ['ok'], 'all to be known')
    lines = lines_of((m.mnt / '.shieldfs/status').read_bytes())
    for line in lines:
        assert LINE.fullmatch(line), line
    keys = [line.split(':')[0] for line in lines]
    assert keys == sorted(keys, key=KEYS.index)
    assert [keys.count(key) for key in KEYS[:4]] == [3, 1, 1, 1]
    assert [line.split(':')[1] for line in lines if line.startswith('confined')] == [' supervisor', ' server', ' announcer']
    assert [line.split()[1] for line in lines[:3]] == ['ok', 'ok', 'waiting']
    for key in ('degraded', 'problem'):
        found = [line for line in lines if line.startswith(f'{key}: ')]
        assert found == sorted(set(found), key=os.fsencode), key
    problems = [line for line in lines if line.startswith('problem: ')]
    assert len(problems) > 3 * len(ODD) and len([line for line in problems if re.match(rf'problem: {NAME}[/:]', line)]) > 2 * len(ODD)
    assert ('degraded: settle=0: ' in '\n'.join(lines)) == bool(options)
    version = lines_of((m.mnt / '.shieldfs/version').read_bytes())
    assert len(version) == 2 and re.fullmatch(r'version: \d+\.\d+\.\d+', version[0]) and version[1] == 'bundle: 4'


def test_computed_files_and_log(mount, odd):
    m = mount(*odd)
    assert (m.mnt / 'c/allowed').read_bytes() == '1.1.1.1\n# a note\nx\0y  z\n\u00e9\n'.encode()
    assert (m.mnt / 'c.1/effective').read_bytes() == b''
    for name, code in (('effective', errno.EILSEQ), ('denied', errno.EILSEQ), ('effective.domains', errno.ELOOP)):
        with fails(code):
            (m.mnt / 'c' / name).read_bytes()
        st = (m.mnt / 'c' / name).stat()
        assert (st.st_size, st.st_mode & 0o777) == (0, 0o440)
    for name in ODD:
        with fails(errno.EIO):
            os.close(os.open(m.mnt / 'c' / name, os.O_RDONLY))
    said = m.take_log()
    assert len(said) >= len(ODD) + 2 and {'c/deny.list', 'c/live.domains', 'c/-x'} <= {line.split(': ')[0] for line in said}
    for line in said:
        assert re.fullmatch(rf'{SUBJECT}: {TEXT}', line), line
    os.unlink(odd[0] / 'containers/c/live.domains')
    domains = lines_of((m.mnt / 'c/effective.domains').read_bytes())
    assert domains == ['example.com', '*.a-1.org'] and all(map(DOMAIN.fullmatch, domains))
    assert all(re.fullmatch(rf'{SUBJECT}: {TEXT}', line) for line in m.take_log())


def test_words_of_the_page():
    """The keys in their order, the states, and the regular expression of a domain."""
    source = (REPO / 'fs/view/status.c').read_text(encoding='utf-8')
    body = PAGE.split('.Ss The status file')[1].split('.El\n')[0]
    assert re.findall(r'^\.It Cm (\w+) :', body, re.M) == KEYS
    printed = set(re.findall(r'"(\w+): %', source)) | set(re.findall(r'add_lines\(out, "(\w+)"', source))
    assert set(KEYS) <= printed, 'each key is one of the program'
    assert printed <= {*KEYS, 'version'}, 'and the other way round'
    assert all(f'.Cm {word}' in body for word in [*STATES, 'waiting', 'refused'])
    client = (REPO / 'fs/events/announcer_client.c').read_text(encoding='utf-8') + (REPO / 'fs/events/outbox.c').read_text(encoding='utf-8')
    assert set(re.findall(r'"(ok|restarting|stuck|stopped)"', client + source)) == set(STATES)
    assert DOMAIN.pattern == re.search(r'^\.Ql (\(.*) \.$', PAGE, re.M)[1].replace('\\e', '\\')
