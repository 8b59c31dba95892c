# SPDX-License-Identifier: Apache-2.0
"""The documentation is true. The README's commands are run in a copy of the checkout, in their order: a ```sh
block is run as it stands, of a ```console block each command is run on a terminal and its output compared, a
```c block is saved under the name that stands before it. And options, words, links and names are those of the
programs."""

import os
import pathlib
import pty
import re
import shutil
import subprocess

import harness
import pytest
from harness import REPO, run

README = REPO / 'README.md'
DATA, DOC = REPO / 'fs/data', REPO / 'fs/doc'
FENCE = re.compile(r'^```(\w+)\n(.*?)^```$', re.M | re.S)
NOT_RUN_HERE = 'tests/run.sh\n'  # this very test is a part of it, so that it would call itself for ever

SUDO = r'''#!/bin/sh
# In the test nobody becomes root: what is installed goes below DESTDIR.
export DESTDIR='{destdir}'
case $1 in
meson | ninja) "$@" || exit ;;
ldconfig) ;;
*) echo "sudo: not foreseen in this test: $*" >&2; exit 1 ;;
esac
find "$DESTDIR" -name '*.pc' -exec sed -i "s|^prefix=.*|prefix=$DESTDIR/usr/local|" {{}} +
'''


FUSERMOUNT3 = r'''#!/bin/sh
# The README: in the moment of an announcement it is busy, try again.
for try in $(seq 100); do
    said=$({fusermount3} "$@" 2>&1) && exit 0
    case $said in *busy*) sleep 0.1 ;; *) break ;; esac
done
echo "$said" >&2
exit 1
'''


class Reader:
    """Somebody who follows the README: a home, a checkout, the programs on PATH, a sudo that is none, and patience."""

    def __init__(self, base):
        self.home, self.checkout, self.destdir = base / 'home', base / 'checkout', base / 'root'
        programs = base / 'bin'
        for path in (self.home, self.destdir, programs, base / 'tmp'):
            path.mkdir()
        unwanted = ('.git', 'build', 'build-*', '__pycache__', '.*cache')
        shutil.copytree(REPO, self.checkout, symlinks=True, ignore=shutil.ignore_patterns(*unwanted))
        (programs / 'shieldfs').symlink_to(harness.SHIELDFS.resolve())
        (programs / 'shield-state').symlink_to(harness.SHIELD_STATE.resolve())
        (programs / 'sudo').write_text(SUDO.format(destdir=self.destdir), encoding='ascii')
        (programs / 'sudo').chmod(0o755)
        (programs / 'fusermount3').write_text(FUSERMOUNT3.format(fusermount3=shutil.which('fusermount3')), encoding='ascii')
        (programs / 'fusermount3').chmod(0o755)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(('TEROK_', 'XDG_'))}
        self.env.update(HOME=os.fspath(self.home), TMPDIR=os.fspath(base / 'tmp'), LC_ALL='C.UTF-8', TZ='UTC',
                        PATH=f'{programs}:{os.environ["PATH"]}')

    def environment(self):
        """What a system where something is installed below /usr/local has besides."""
        libraries = {p.parent for p in self.destdir.rglob('libshieldstate.so')}
        path = ':'.join(map(os.fspath, libraries))
        packages = ':'.join(f'{p}/pkgconfig' for p in libraries)
        return dict(self.env, LD_LIBRARY_PATH=path, PKG_CONFIG_PATH=packages) if libraries else self.env

    def run_block(self, text):
        done = subprocess.run(['bash', '-euo', 'pipefail', '-c', text], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.checkout,
                              env=self.environment(), timeout=4 * harness.TIMEOUT, check=False)
        output = done.stdout.decode('utf-8', 'backslashreplace')
        assert done.returncode == 0, f'{text}\n{output}'
        return output

    def run_on_a_terminal(self, command):
        """What COMMAND shows, whatever its status."""
        leader, follower = pty.openpty()
        with subprocess.Popen(['bash', '-c', command], cwd=self.checkout, env=self.environment(),
                              stdin=subprocess.DEVNULL, stdout=follower, stderr=follower) as process:
            os.close(follower)
            shown = b''
            try:
                while part := os.read(leader, 65536):
                    shown += part
            except OSError:  # nobody has the terminal any more
                pass
            os.close(leader)
            process.wait(harness.TIMEOUT)
        shown = shown.decode('utf-8').replace(os.fspath(self.home), '/home/me')
        return re.sub(r'^pid: \d+\r?$', 'pid: 4711', shown, flags=re.M)

    def check_transcript(self, text):
        """Output is compared word by word: ls fills lines as it likes."""
        for command, expected in re.findall(r'^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)', text, re.M):
            assert self.run_on_a_terminal(command).split() == expected.split(), command

    def installed(self):
        return {os.fspath(p.relative_to(self.destdir)) for p in self.destdir.rglob('*') if not p.is_dir()}


@pytest.fixture
def reader(base):
    return Reader(base)


def blocks():
    """[(kind, text, what stands before it)] of the README."""
    text = README.read_text(encoding='utf-8')
    return [(m[1], m[2], text[:m.start()]) for m in FENCE.finditer(text)]


def test_every_command(reader):
    kinds = set()
    for kind, text, before in blocks():
        kinds.add(kind)
        if text == NOT_RUN_HERE:
            assert os.access(reader.checkout / 'tests/run.sh', os.X_OK)
        elif kind == 'sh':
            output = reader.run_block(text)
            if 'meson install' in text:
                check_installed(reader)
            if 'uninstall' in text:
                assert reader.installed() == set(), output
        elif kind == 'console':
            reader.check_transcript(text)
        elif kind == 'c':
            name = re.findall(r'`(\w+\.c)`', before)[-1]
            (reader.checkout / name).write_text(text, encoding='utf-8')
        else:
            assert kind == 'fstab', f'what is to be done with a block of {kind}?'
    assert kinds == {'sh', 'console', 'c', 'fstab'}
    left = [p for p in harness.mounts() if p.startswith(os.fspath(reader.home.parent))]
    assert not left, 'the README leaves nothing mounted'
    run('diff', '-r', REPO / 'tests/data', reader.checkout / 'tests/data')


def check_installed(reader):
    names = {os.path.basename(p) for p in reader.installed()}
    wanted = {'shieldfs', 'shield-state', 'shieldfs.1', 'shield-state.1', 'shieldstate.h',
              'libshieldstate.so', 'libshieldstate.pc'}
    assert wanted <= names, wanted - names
    for name in ('shieldfs', 'shield-state'):
        path = f'usr/local/share/bash-completion/completions/{name}'
        assert path in reader.installed(), path


def test_the_example_in_c(reader):
    """It compiles without a warning. (That it links and runs is one of the README's commands.)"""
    flags = run('pkg-config', '--cflags', '--libs', 'glib-2.0').stdout.decode().split()
    source = next(text for kind, text, _ in blocks() if kind == 'c')
    (reader.checkout / 'effective.c').write_text(source, encoding='utf-8')
    run('cc', '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-Icore', 'effective.c', *flags,
        cwd=reader.checkout)


def rows(text, heading):
    """The first cells of the tables below HEADING."""
    section = re.search(rf'^##+ {re.escape(heading)}\n(.*?)(?=^## |\Z)', text, re.M | re.S)[1]
    return [ln.split('|')[1].strip() for ln in section.split('\n') if ln.startswith('| `')]


def mount_options(text):
    """The NAME of every `-o NAME` in a text."""
    return set(re.findall(r'-o (\w+)', text))


def completions(name, *words):
    """What bash offers for the last of WORDS."""
    script = (f'compopt() {{ :; }}; . {DATA}/completions/{name}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
              f'_{name.replace("-", "_")}; printf "%s\\n" "${{COMPREPLY[@]}}"')
    return set(run('bash', '-uc', script, 'bash', name, *words).stdout.decode().split())


def test_options():
    usage = '\n'.join(re.findall(r'^  (-.*?)  ', run(harness.SHIELDFS, '--help').stdout.decode(), re.M))
    known, short = mount_options(usage), set(re.findall(r'(?<!\S)--?\w+', usage)) - {'-o'}
    table = '\n'.join(rows(README.read_text(encoding='utf-8'), 'Options'))
    manual = (DOC / 'shieldfs.1').read_text(encoding='utf-8')
    assert mount_options(table) == known
    assert set(re.findall(r'`(--?\w+)', table)) - {'-o'} == short
    assert set(re.findall(r'Fl o Cm (\w+)', manual.split('.Ss The view')[0])) == known
    assert completions('shieldfs', '-o', '') == known
    assert completions('shieldfs', '-') - {'-o'} == short


def test_words_of_shield_state():
    readme = README.read_text(encoding='utf-8')
    told = re.search(r'WHAT\s+is\s+one\s+of\s+((?:`\w+`[,\s]*)+)', readme)[1]
    words = re.findall(r'`(\w+)`', told)
    manual = (DOC / 'shield-state.1').read_text(encoding='utf-8')
    in_manual = re.findall(r'^\.Cm (\w+) [,.]?$', manual.split('.It Cm show')[0], re.M) + ['hook_json']
    assert len(words) == 21
    for word in words:
        run(harness.SHIELD_STATE, 'path', 'bundle', word, *(['poststop'] if word == 'hook_json' else []))
    assert completions('shield-state', 'path', 'bundle', '') == set(words) == set(in_manual)
    assert {'effective', 'allowed', 'denied', 'effective.domains'} == set(harness.COMPUTED)
    assert completions('shield-state', 'show', 'bundle', '') == {*harness.COMPUTED, 'interactive'}
    assert [f'`{name}`' in rows(readme, 'What each file means') for name in harness.COMPUTED] == [True] * 4
    usage = run(harness.SHIELD_STATE, '--help').stdout.decode()
    commands = {c.split()[1] for c in re.findall(r'`(shield-state \w+)', '\n'.join(rows(
        readme, 'shield-state, for scripts')))}
    assert commands == set(re.findall(r'^  ([a-z]+)', usage, re.M))
    assert commands == {w for w in completions('shield-state', '') if not w.startswith('-')}


def anchors(path):
    """As GitHub and others make them from headings."""
    headings = re.findall(r'^#+ (.*)$', FENCE.sub('', path.read_text(encoding='utf-8')), re.M)
    return {re.sub(r'[^\w\- ]', '', h.lower()).replace(' ', '-') for h in headings}


@pytest.mark.parametrize('page', ['README.md', 'fs/doc/inside.md'])
def test_links(page):
    text = FENCE.sub('', (REPO / page).read_text(encoding='utf-8'))
    links = re.findall(r'\]\(([^)\s]+)\)', text)
    assert links
    for link in links:
        name, _, anchor = link.partition('#')
        target = pathlib.Path(os.path.normpath((REPO / page).parent / name)) if name else REPO / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_files_that_are_named():
    """Whatever looks like a path of this tree is one."""
    named = re.findall(r'(?<![\w/.$~])(?:\.ci|core|fs|tests)/[\w./-]*\w', README.read_text(encoding='utf-8'))
    assert named
    for name in named:
        assert (REPO / os.path.normpath(name)).exists(), name


def test_parts_in_the_picture():
    """The page on the inside names every part."""
    picture = FENCE.search((DOC / 'inside.md').read_text(encoding='utf-8'))[2]
    words = set(re.findall(r'[a-z_-]+', picture))
    parts = {p.stem for p in (*REPO.glob('core/*.c'), *REPO.glob('fs/**/*.c'))}
    assert parts <= words, parts - words
