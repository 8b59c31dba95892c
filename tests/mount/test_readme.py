# SPDX-License-Identifier: Apache-2.0
"""The pages are true. The commands of the README, of the manuals and of CONTRIBUTING.md are run in a copy of the
checkout, in their order: what is `sh` is run as it stands, of what is `console` each command is run on a terminal and
its output compared, what is `c` or `script` is saved under its name, what is `endless` must go on until it is ended. (In a manual such a word stands in a comment before the text.)
And links and names are true."""

import os
import pathlib
import pty
import re
import shlex
import shutil
import subprocess

import bundles
import harness
import pytest
from harness import REPO, run

README, CONTRIBUTING = REPO / 'README.md', REPO / '.github/CONTRIBUTING.md'
DOC = REPO / 'fs/doc'
FENCE = re.compile(r'^```(\w+)\n(.*?)^```$', re.M | re.S)
MANUALS = sorted(page.name for page in DOC.glob('*.[1-8]'))
LITERAL = re.compile(r'(?:^\.\\" ([a-z]+)(?: (\S+))?\n)?^\.Bd -literal.*?\n(.*?)^\.Ed$', re.M | re.S)
NOT_RUN_HERE = re.compile(r'^tests/run\.sh', re.M)  # this very test is a part of it, so that it would call itself for ever

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
        shown = re.sub(r'^pid: \d+\r?$', 'pid: 4711', shown, flags=re.M)
        return re.sub(r'^(confined: \w+:).*$', r'\1', shown, flags=re.M)  # as much as this kernel has

    def check_transcript(self, text):
        """Output is compared word by word: ls fills lines as it likes."""
        text = re.sub(r'^(confined: \w+:).*$', r'\1', text, flags=re.M)
        for command, expected in re.findall(r'^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)', text, re.M):
            shown = self.run_on_a_terminal(command).split()
            if command.startswith('cat '):  # the status file says when the announcer is there, a moment after the mount
                harness.wait_for(lambda c=command, e=expected: self.run_on_a_terminal(c).split() == e.split(), shown)
            else:
                assert shown == expected.split(), command

    def follow(self, kind, text, name=None):
        if kind == 'sh' and NOT_RUN_HERE.search(text):
            assert os.access(self.checkout / 'tests/run.sh', os.X_OK)
        elif kind == 'sh':
            return self.run_block(text)
        elif kind == 'console':
            self.check_transcript(text)
        elif kind in ('c', 'script'):
            (self.checkout / name).write_text(text, encoding='utf-8')
        elif kind == 'endless':
            for command in text.splitlines():
                self.check_endless(command)
        else:
            assert kind in ('fstab', 'text', 'service'), f'what is to be done with {kind}?'
        return ''

    def check_endless(self, command):
        """On a terminal of its own, with a view of the samples: it runs until it is ended."""
        self.run_block('mkdir -p ~/shield && shieldfs tests/data/state ~/shield')
        limited = f'timeout --foreground 3 bash -c {shlex.quote(command)}'
        done = subprocess.run(['script', '-qec', limited, '/dev/null'], cwd=self.checkout, env=self.environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=harness.TIMEOUT, check=False)
        self.run_block('fusermount3 -u ~/shield')
        assert done.returncode == 124, (command, done.stdout)

    def leaves_nothing(self):
        left = [p for p in harness.mounts() if p.startswith(os.fspath(self.home.parent))]
        assert not left, 'nothing is left mounted'
        run('diff', '-r', REPO / 'tests/data', self.checkout / 'tests/data')

    def installed(self):
        return {os.fspath(p.relative_to(self.destdir)) for p in self.destdir.rglob('*') if not p.is_dir()}


@pytest.fixture
def reader(base):
    return Reader(base)


def blocks(page):
    """[(kind, text)] of a page in Markdown."""
    return FENCE.findall(page.read_text(encoding='utf-8'))


def literal_blocks(manual):
    """[(kind, name, text)] of a manual."""
    found = LITERAL.findall((DOC / manual).read_text(encoding='utf-8'))
    return [(kind, name, re.sub(r'^\\&', '', text, flags=re.M).replace(r'\e', '\\')) for kind, name, text in found]


def test_every_command_of_the_readme(reader):
    for kind, text in blocks(README):
        output = reader.follow(kind, text)
        if 'meson install' in text:
            check_installed(reader)
        if 'uninstall' in text:
            assert reader.installed() == set(), output
    reader.leaves_nothing()


def test_every_command_of_the_manuals(reader):
    """By somebody who has installed it as the README says."""
    reader.run_block(next(text for kind, text in blocks(README) if 'meson install' in text))
    kinds = set()
    for manual in MANUALS:
        for kind, name, text in literal_blocks(manual):
            kinds.add(kind)
            reader.follow(kind, text, name)
    # what is text is run by the test of what it is about: test_metrics.py
    assert kinds == {'sh', 'console', 'c', 'script', 'fstab', 'endless', 'service', 'text'}, 'each literal text says what it is'
    reader.leaves_nothing()


def test_every_command_for_contributors(reader):
    reader.run_block('meson setup build && ninja -C build')
    ran = [reader.follow(kind, text) for kind, text in blocks(CONTRIBUTING)]
    assert 'event web-1/effective: ' in ran[-1]
    reader.leaves_nothing()


@pytest.mark.parametrize('manual', MANUALS)
def test_manual_can_be_read(manual):
    """From a checkout, and without a complaint of the formatter's."""
    done = run('man', '--warnings', '-P', 'cat', f'./fs/doc/{manual}', cwd=REPO)
    assert done.stdout.decode().split()[0].lower().startswith(manual.split('.')[0])


def test_bundle_versions(base):
    """The tables of README and manual have the same versions, with what is new in a bundle of the last one."""
    rows = re.findall(r'^\| ([\d, ]+) \| (.*) \|$', README.read_text(encoding='utf-8'), re.M)
    told = [version for versions, _ in rows for version in versions.split(', ')]
    manual = (DOC / 'shieldfs.1').read_text(encoding='utf-8').split('.Ss The view')[1].split('.Ss ')[0]
    assert told == ['4', *re.findall(r'^\.It Sy (\d+)$', manual, re.M)]
    first, last = ({p.name for p in write(base / write.__name__).rglob('*')} for write in (bundles.full, bundles.later))
    for text in (' '.join(new for _, new in rows), manual):
        unknown = [name for name in first ^ last if name not in text and not name.startswith('terok-shield-bridge-')]
        assert not unknown and 'terok-shield-bridge-' in text and 'blocked' in text


def test_readme_is_short():
    assert README.read_text(encoding='utf-8').count('\n') <= 250


def check_installed(reader):
    names = {os.path.basename(p) for p in reader.installed()}
    wanted = {'shieldfs', 'shield-state', *MANUALS, 'shieldstate.h', 'libshieldstate.so', 'libshieldstate.pc'}
    assert wanted <= names, wanted - names
    for name in ('shieldfs', 'shield-state'):
        for path in (f'bash-completion/completions/{name}', f'zsh/site-functions/_{name}',
                     f'fish/vendor_completions.d/{name}.fish'):
            assert f'usr/local/share/{path}' in reader.installed(), path


def test_the_example_in_c(reader):
    """It compiles without a warning. (That it links and runs is one of the manual's commands.)"""
    flags = run('pkg-config', '--cflags', '--libs', 'glib-2.0').stdout.decode().split()
    source = next(text for kind, _, text in literal_blocks('libshieldstate.3') if kind == 'c')
    (reader.checkout / 'effective.c').write_text(source, encoding='utf-8')
    run('cc', '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-Icore', 'effective.c', *flags,
        cwd=reader.checkout)


def anchors(path):
    """As GitHub and others make them from headings."""
    headings = re.findall(r'^#+ (.*)$', FENCE.sub('', path.read_text(encoding='utf-8')), re.M)
    return {re.sub(r'[^\w\- ]', '', h.lower()).replace(' ', '-') for h in headings}


@pytest.mark.parametrize('page', ['README.md', 'fs/doc/inside.md', 'tests/README.md', '.github/CONTRIBUTING.md'])
def test_links(page):
    text = FENCE.sub('', (REPO / page).read_text(encoding='utf-8'))
    links = re.findall(r'\]\(([^)\s]+)\)', text)
    assert links
    for link in links:
        name, _, anchor = link.partition('#')
        target = pathlib.Path(os.path.normpath((REPO / page).parent / name)) if name else REPO / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize('page', ['README.md', '.github/CONTRIBUTING.md', 'tests/README.md'])
def test_files_that_are_named(page):
    """Whatever looks like a path of this tree is one."""
    text = (REPO / page).read_text(encoding='utf-8')
    named = re.findall(r'(?<![\w/.$~-])(?:\.ci|core|fs|tests)/[\w./-]*\w', text)
    assert named
    for name in named:
        assert (REPO / os.path.normpath(name)).exists(), name


def test_parts_in_the_picture():
    """The page on the inside names every part."""
    picture = FENCE.search((DOC / 'inside.md').read_text(encoding='utf-8'))[2]
    words = set(re.findall(r'[a-z_-]+', picture))
    parts = {p.stem for p in (*REPO.glob('core/*.c'), *REPO.glob('fs/**/*.c'))}
    assert parts <= words, parts - words
