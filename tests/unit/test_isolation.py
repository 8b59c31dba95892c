# SPDX-License-Identifier: Apache-2.0
"""The dependencies point one way: core knows neither FUSE nor fs, and a wing of fs only what is below it; their flags
don't let them.

    test_isolation.py BUILDDIR SOURCEDIR

Takes the compiler's command lines from compile_commands.json.
"""

import json
import os
import pathlib
import re
import shlex
import sys
import tempfile

from tap import output, run_checks, same

BUILD, SOURCE = (pathlib.Path(path).resolve() for path in sys.argv[1:])
COMMANDS = json.loads((BUILD / 'compile_commands.json').read_text())


def below(entry, folder):
    return (BUILD / entry['file']).resolve().is_relative_to(SOURCE / folder)


def flags(entry):
    """The command without its input, its output and the dependency file."""
    words = shlex.split(entry['command'])
    kept = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ('-o', '-c', '-MF', '-MQ', '-MT'):
            skip = True
        elif word != '-MD':
            kept.append(word)
    return kept


def core():
    found = [entry for entry in COMMANDS if below(entry, 'core')]
    same(len(found) >= len(list((SOURCE / 'core').glob('*.c'))), True)
    return found


def compiles(entry, text):
    with tempfile.NamedTemporaryFile('w', suffix='.c') as source:
        source.write(text)
        source.flush()
        try:
            output([*flags(entry), '-w', '-fsyntax-only', source.name], cwd=BUILD)
        except AssertionError:
            return False
        return True


def core_flags_name_no_fuse():
    for entry in core():
        same([word for word in flags(entry) if 'fuse' in word.replace('shieldfs', '').lower()], [])


def core_cannot_include_fuse():
    for entry in core():
        same(compiles(entry, 'int dummy;\n'), True)  # the flags are good as such
        for header in ('fuse.h', 'fuse_lowlevel.h', 'fuse_opt.h'):
            same(compiles(entry, f'#include <{header}>\nint dummy;\n'), False)


def fs_can_include_fuse():
    """Else the check above would show nothing."""
    ops = [entry for entry in COMMANDS if below(entry, 'fs/request')]
    same(compiles(ops[0], '#define FUSE_USE_VERSION 314\n#include <fuse_lowlevel.h>\nint dummy;\n'), True)


OPTIONAL = {'filter.c'}  # where there is no libseccomp, or with a sanitizer
WINGS = ['view', 'events', 'request', 'process']  # bottom up


def a_wing_can_include_what_is_below_it_and_nothing_else():
    headers = {wing: f'{wing}/{next((SOURCE / "fs" / wing).glob("*.h")).name}' for wing in WINGS}
    for level, wing in enumerate(WINGS):
        entries = [entry for entry in COMMANDS if below(entry, f'fs/{wing}')]
        left_out = {path.name for path in (SOURCE / 'fs' / wing).glob('*.c')} - {pathlib.Path(e['file']).name for e in entries}
        same(left_out <= OPTIONAL, True)
        for other, header in headers.items():
            same((wing, other, compiles(entries[0], f'#include "{header}"\nint dummy;\n')),
                 (wing, other, WINGS.index(other) <= level))
        same(compiles(entries[0], '#define FUSE_USE_VERSION 314\n#include <fuse_lowlevel.h>\n'), level >= 2)


def what_is_included_says_where_it_is():
    """No way round by ../, and each wing's header by its whole name."""
    for path in (SOURCE / 'fs').rglob('*.[ch]'):
        for header in re.findall(r'^#include "(.*)"', path.read_text(), re.M):
            same((str(path), header, '..' in header), (str(path), header, False))
            known = (SOURCE / 'fs' / header).is_file() or (SOURCE / 'core' / header).is_file()
            same((str(path), header, known or header == 'config.h'), (str(path), header, True))


def core_includes_only_core_and_the_system():
    for entry in core():
        rule = output([*flags(entry), '-M', entry['file']], cwd=BUILD)
        files = [(BUILD / name).resolve() for name in rule.replace('\\\n', ' ').split()[1:]]
        same([str(f) for f in files if 'fuse' in f.name or 'fuse' in f.parent.name], [])
        ours = [f for f in files if f.is_relative_to(SOURCE) and not f.is_relative_to(BUILD)]
        same([str(f) for f in ours if not f.is_relative_to(SOURCE / 'core')], [])


def core_calls_nothing_above_it():
    archive = BUILD / 'core' / 'libshieldcore.a'
    undefined = {line.split()[-1] for line in output(['nm', '--undefined-only', str(archive)]).splitlines()
                 if line.startswith(' ')}
    same('g_free' in undefined, True)
    same(sorted(name for name in undefined if name.startswith(('fuse_', 'sfs_'))), [])


def names_are_hashed_with_a_key():
    """Names come from a disk: none may be hashed by what their owner can foresee."""
    archives = [BUILD / 'core/libshieldcore.a', *(BUILD / 'fs').glob('libshieldfs*.a')]
    same(len(archives), 2 + len(WINGS))
    for archive in archives:
        symbols = output(['nm', '--undefined-only', str(archive)]).split()
        same((archive.name, [name for name in symbols if name == 'g_str_hash']), (archive.name, []))


os.environ['LC_ALL'] = 'C'
run_checks([core_flags_name_no_fuse, core_cannot_include_fuse, fs_can_include_fuse,
            a_wing_can_include_what_is_below_it_and_nothing_else, what_is_included_says_where_it_is,
            core_includes_only_core_and_the_system, core_calls_nothing_above_it, names_are_hashed_with_a_key])
