# SPDX-License-Identifier: Apache-2.0
"""Options, commands and words are one set: of the programs, their usage, the manuals, and the completions of bash, zsh
and fish, which are asked as a user asks them. A name, whatever is in it, is never executed by a completion."""

import os
import re
import shlex
import subprocess

import bundles
import harness
import pytest
import shells
from harness import REPO, run

DOC = REPO / 'fs/doc'
SHELLS = [shells.bash, shells.zsh, shells.fish]
HOSTILE = ['$(touch P)', '`touch P`', ';touch P', '&touch P', 'a|touch P', '>P', "a'b", 'a"b', 'c\\d', '*', '{a,b}', '!x',
           '~root', '%s%n', '#c', 'two  words', '\u00e9', '\x1b[2J', '[x]', 'e=f', '\\$(touch P)', "'$(touch P)'",
           '"$(touch P)"', 'new\nline', '\n$(touch P)']


@pytest.fixture
def home(base):
    path = base / 'home'
    path.mkdir()
    return path


def split(line):
    """The words of a command line as the shell reads it: bash, which knows zsh's quotes too."""
    done = subprocess.run(['/bin/bash', '-c', 'eval "set -- $1"; printf "%s\\0" "$@"', 'bash', line],
                          env={'PATH': '/nonexistent', 'LC_ALL': 'C.UTF-8'}, capture_output=True, check=True)
    assert not done.stderr, (line, done.stderr)
    return done.stdout.decode().split('\0')[:-1]


def offers(shell, home, *lines):
    """What is offered for the last word of each of LINES, a set, without what stands there already: a,b= or a:"""
    found = []
    for line, answer in zip(lines, shell(home, lines), strict=True):
        words = shlex.split(f'{line}.')
        done = words[-1][:-1]
        begun = done[:max(done.rfind(c) for c in ',=:') + 1]
        if not isinstance(answer, list):
            answer = split(answer.rstrip())[len(words) - 1:]
        found.append({w.removeprefix(begun).rstrip('/,') for w in answer} - {done})
    return found


def usage_of(program):
    return run(program, '--help').stdout.decode()


def head_words(manual, text):
    """The options that the heads of a manual's list name."""
    listed = (DOC / manual).read_text(encoding='utf-8').split(text)[1].split('.El\n')[0]
    heads = '\n'.join(re.findall(r'^\.It (Fl .*)$', listed, re.M))
    return ({f'{w}{"=" * bool(v)}' for w, v in re.findall(r'Fl o Cm (\w+)( Ns =)?', heads)},
            {f'-{flag}' for flag in re.findall(r'Fl (-?\w+)', heads)})


def test_one_set_of_options(home):
    source = (REPO / 'fs/options.c').read_text(encoding='utf-8')
    table = source[source.index('struct fuse_opt table'):source.index('FUSE_OPT_END')]
    words = set(re.findall(r'\bWORD\("([a-z]\w*=?)', table))
    flags = set(re.findall(r'"(--?\w+)"', table)) | {'-o'}
    assert {'settle=', 'fsname=', 'debug', 'allow_other'} <= words and {'-f', '-V', '--help'} <= flags

    usage = re.findall(r'^  (-.*?)(?:  |$)', usage_of(harness.SHIELDFS), re.M)
    assert set(re.findall(r'-o (\w+=?)', '\n'.join(usage))) == words
    assert set(re.findall(r'(?<!\S)--?\w+', '\n'.join(usage))) == flags
    assert head_words('shieldfs.1', 'The options are:') == (words, flags)
    for shell in SHELLS:
        first, second, third = offers(shell, home, 'shieldfs -o ', 'shieldfs -o debug,', 'shieldfs -')
        assert (first, second | {'debug'}, third) == (words, words, flags), shell


def test_one_set_of_commands_and_words(home):
    source = (REPO / 'core/shield-state.c').read_text(encoding='utf-8')
    known = set(re.findall(r'^    \{"(\S+)", \d', source, re.M))
    commands, flags = {w for w in known if w[0] != '-'}, {w for w in known if w[0] == '-'}
    assert commands == {'version', 'path', 'show', 'init'}
    usage = usage_of(harness.SHIELD_STATE)
    assert commands == set(re.findall(r'^  ([a-z]+)', usage, re.M))
    assert flags == set(re.findall(r'(?<=[ ])--?\w+(?=,|  )', usage))
    manual = (DOC / 'shield-state.1').read_text(encoding='utf-8')
    assert commands == set(re.findall(r'^\.It Cm (\w+)', manual, re.M))
    assert flags == head_words('shield-state.1', '.Sh DESCRIPTION')[1]
    words = set(re.findall(r'^\.Cm (\w+) [,.]?$', manual.split('.It Cm show')[0], re.M)) | {'hook_json'}
    assert len(words) == 21
    for word in words:
        run(harness.SHIELD_STATE, 'path', 'bundle', word, *(['poststop'] if word == 'hook_json' else []))
    shown = {*harness.COMPUTED, 'interactive'}
    for word in shown:
        run(harness.SHIELD_STATE, 'show', home, word)
    assert shown == set(re.findall(r'^\.Cm (\S+)', manual.split('.It Cm show')[1].split('A list that')[0], re.M))
    view = (DOC / 'shieldfs.1').read_text(encoding='utf-8').split('.Ss The view')[1]
    assert [f'.It Pa NAME/{name}\n' in view for name in harness.COMPUTED] == [True] * 4
    lines = ['shield-state ', 'shield-state -', 'shield-state path b ', 'shield-state show b ', 'shield-state show b eff',
             'shield-state path b hook_json ', 'shield-state path b deny ', 'shield-state version ']
    for shell in SHELLS:
        got = offers(shell, home, *lines)
        got[0] -= flags  # zsh and fish offer these when a hyphen stands there
        assert got == [commands, flags, words, shown, {'effective', 'effective.domains'}, {'createRuntime', 'poststop'},
                       set(), set()], shell


def test_words_of_options(base, home):
    """Each value that is offered is one that the program takes: it ends for another reason."""
    names = ['settle', 'poll', 'max_size', 'cache']
    lines = [f'shieldfs -o debug,{name}=' for name in names] + ['shieldfs -o settle=2', 'shieldfs -o fsname=x,max']
    offered = [offers(shell, home, *lines) for shell in SHELLS]
    assert offered[0] == offered[1] == offered[2]
    assert offered[0][-2:] == [{'250'}, {'max_size='}]
    for name, values in zip(names, offered[0], strict=False):
        assert len(values) >= 3
        for value in values:
            done = run(harness.SHIELDFS, '-o', f'{name}={value}', base, base / 'missing', ok=False)
            assert done.returncode == 1 and str(base / 'missing').encode() in done.stderr, done
    assert offers(shells.fish, home, 'shieldfs -osettle=2', 'shieldfs -focache=1G,set') == [{'250'}, {'settle='}]


@pytest.mark.parametrize('shell', SHELLS, ids=['bash', 'zsh', 'fish'])
def test_directories_of_any_name(base, home, shell):
    """They are offered, after a colon too; nothing in a name is executed, now or when the line is."""
    for name in HOSTILE:
        (home / name).mkdir()
    (home / 'file').touch()
    lines = ['shieldfs ', 'shieldfs src:', 'shieldfs src mn', 'shield-state show ', 'shield-state init ', "shieldfs \\$", 'shieldfs "$']
    (home / 'mnt').mkdir()
    # shield-state is offered what is in views, too: those of a plain user's tests are there for all.
    got = [{w for w in offered if not re.match(r'/.*/shieldfs\.\w+/', w)} for offered in offers(shell, home, *lines[:5])]
    whole = {name for name in (*HOSTILE, 'mnt') if '\n' not in name or shell is not shells.fish}
    for offered in (got[0], got[1], got[3], got[4]):
        if shell is shells.fish:  # it takes a name with a newline for two
            offered = {w for w in offered if not any(w in name.split('\n') for name in HOSTILE if '\n' in name)}
            assert offered == whole - {'$(touch P)'}, offered ^ whole
        else:
            assert offered == whole, offered ^ whole
    assert got[2] == {'mnt'}
    shell(home, lines[5:])
    assert not list(base.rglob('P')), 'executed'


def test_container_in_quotes(mount, home, state):
    """zsh completes a word with an open quote, too."""
    for name in ('web-1', 'dns-1'):
        bundles.container(state, name, profile=['1.1.1.1'])
    mnt = mount(state).mnt
    lines = [f'shield-state show "{mnt}/we', f"shield-state show '{mnt}/we", f'shield-state show {mnt}/we']
    assert [line.rstrip('\'" ') for line in shells.zsh(home, lines, shells.TAB)] == [f'{line}b-1' for line in lines]


@pytest.mark.parametrize('shell', SHELLS, ids=['bash', 'zsh', 'fish'])
def test_containers_of_a_view(base, home, state, shell):
    """shield-state reads a container of a view like a bundle; what is called otherwise is not in the view."""
    for name in ('web-1', 'all', '_x', '0.5', *(n for n in HOSTILE if '/' not in n)):
        bundles.container(state, name, profile=['1.1.1.1'])
    m = harness.Mount(base, [state], name="m 1 $(touch P);\\'\"*")
    m.start()
    try:
        views = {os.fspath(m.mnt / name) for name in ('web-1', 'all', '_x', '0.5')}
        quoted = re.sub(r'([^\w/.])', r'\\\1', os.fspath(m.mnt))
        shown, path, made = offers(shell, home, 'shield-state show ', 'shield-state path ', 'shield-state init ')
        assert views <= shown and views <= path and not views & made, shown
        assert offers(shell, home, f'shield-state show {quoted}/we') == [{os.fspath(m.mnt / 'web-1')}]
    finally:
        m.stop()
        m.kill()
    assert not list(base.rglob('P')), 'executed'
