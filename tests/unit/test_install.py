# SPDX-License-Identifier: Apache-2.0
"""What `meson install` installs, what that gives to other programs, and that uninstalling leaves nothing.

    test_install.py BUILDDIR SANITIZERS PARTS CC...

Installs the build into a temporary directory, and builds and runs a small C program against it, with what
pkg-config says and nothing else. SANITIZERS is the build's b_sanitize: a program that loads a sanitized library
must be built likewise. PARTS are those of the parts man, completions and systemd that the build has, joined by commas.
"""

import json
import os
import pathlib
import re
import sys
import tempfile

from tap import output, run_checks, same

BUILD, SANITIZERS, PARTS, *CC = sys.argv[1:]
SOURCE = pathlib.Path(__file__).parents[2]
SCRATCH = tempfile.TemporaryDirectory(prefix='shield-install-')
ROOT = pathlib.Path(SCRATCH.name).resolve()
DEST = ROOT / 'dest'
# Where it is installed from: what is in BUILD, but a log of its own, by which is uninstalled. BUILD's is that of the
# install which its owner made, and may be root's.
FROM = ROOT / 'from'
BEFORE = ['usr/local/share/man/man1/other.1', 'usr/share/man/man1/other.1', 'etc/other']  # others' files
WARNINGS = ['-std=c11', '-Wall', '-Wextra', '-Wstrict-prototypes', '-Werror']

PROGRAM = r'''
#include <HEADER>
#include <stdio.h>

static int print_list(const char *what, ShieldList *list, GError *error)
{
    if (!list) {
        printf("%s: error %d: %s\n", what, error->domain == SHIELD_ERROR ? error->code : -1, error->message);
        g_error_free(error);
        return 1;
    }
    GBytes *text = shield_list_render(list);
    printf("%s: %zu:", what, (size_t)shield_list_length(list));
    for (gsize i = 0; i < shield_list_length(list); i++)
        printf(" %.*s", (int)shield_list_get(list, i).len, shield_list_get(list, i).data);
    printf(" (%zu bytes)\n", (size_t)g_bytes_get_size(text));
    g_bytes_unref(text);
    shield_list_unref(shield_list_ref(list));
    shield_list_unref(list);
    return 0;
}

#define READ(reader)                                                                                         \
    do {                                                                                                     \
        GError *error = NULL;                                                                                \
        ShieldList *list = reader(argv[1], &error);                                                          \
        print_list(#reader, list, error);                                                                    \
    } while (0)

int main(int argc, char **argv)
{
    char *(*const paths[])(const char *) = {
        shield_hooks_dir, shield_hook_entrypoint, shield_ruleset_path, shield_gateway_path,
        shield_gateway_v6_path, shield_upstream_dns_path, shield_dns_tier_path, shield_profile_allowed_path,
        shield_profile_domains_path, shield_live_allowed_path, shield_live_domains_path, shield_deny_path,
        shield_denied_domains_path, shield_dnsmasq_conf_path, shield_dnsmasq_pid_path, shield_dnsmasq_log_path,
        shield_resolv_conf_path, shield_interactive_path, shield_container_id_path, shield_audit_path};
    if (argc != 2 || !shield_ensure_state_dirs(argv[1], NULL))
        return 1;
    printf("%d\n", SHIELD_BUNDLE_VERSION);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char *path = paths[i]("s/");
        puts(path);
        g_free(path);
    }
    char *json = shield_hook_json_path("s", "poststop");
    puts(json);
    g_free(json);
    READ(shield_read_allowed_ips);
    READ(shield_read_denied_ips);
    READ(shield_read_effective_ips);
    READ(shield_read_effective_domains);
    GBytes *tier = shield_read_interactive_tier(argv[1], NULL);
    printf("tier %.*s\n", (int)g_bytes_get_size(tier), (const char *)g_bytes_get_data(tier, NULL));
    g_bytes_unref(tier);
    return 0;
}
'''

EXPECTED = '''4
s/hooks
s/terok-shield-hook
s/ruleset.nft
s/gateway
s/gateway_v6
s/upstream.dns
s/dns.tier
s/profile.allowed
s/profile.domains
s/live.allowed
s/live.domains
s/deny.list
s/denied.domains
s/dnsmasq.conf
s/dnsmasq.pid
s/dnsmasq.log
s/resolv.conf
s/interactive
s/container.id
s/audit.jsonl
s/hooks/terok-shield-poststop.json
shield_read_allowed_ips: 2: 1.1.1.1 8.8.8.8 (16 bytes)
shield_read_denied_ips: 1: 8.8.8.8 (8 bytes)
shield_read_effective_ips: 1: 1.1.1.1 (8 bytes)
shield_read_effective_domains: error 84: STATE/live.domains: line 1: not UTF-8 at byte 1
tier nflog
'''


def find(name):
    """The one installed file of this name."""
    found = sorted(path for path in DEST.rglob(name) if path.is_file() and 'bash-completion' not in path.parts)
    same(len(found), 1)
    return found[0]


def pkg_config(*options):
    """What pkg-config says of the installed library, its own directories being where they are now."""
    env = dict(os.environ, PKG_CONFIG_PATH=str(find('libshieldstate.pc').parent),
               PKG_CONFIG_ALLOW_SYSTEM_CFLAGS='1', PKG_CONFIG_ALLOW_SYSTEM_LIBS='1')
    words = output(['pkg-config', *options, 'libshieldstate'], env=env).split()
    for i, word in enumerate(words):
        here = DEST / word[2:].lstrip('/')
        if word[:2] in ('-I', '-L') and here.is_dir():
            words[i] = word[:2] + str(here)
    return words


def sanitizer_flags():
    return [] if SANITIZERS == 'none' else [f'-fsanitize={SANITIZERS}']


def compile_only(text, flags):
    source = ROOT / 'only.c'
    source.write_text(text)
    return output([*CC, *WARNINGS, *flags, '-fsyntax-only', str(source)])


def include_directories():
    """The directories of ours that a program searches for headers."""
    return [pathlib.Path(word[2:]) for word in pkg_config('--cflags') if word.startswith(f'-I{DEST}')]


def headers():
    """The installed headers, as a program includes them."""
    found = {str(path.relative_to(top)) for top in include_directories() for path in top.rglob('*.h')}
    return sorted(found)


def main_header():
    top = min(include_directories())
    return str(find('shieldstate.h').relative_to(top))


def promised():
    """The functions that the contract's header declares, and those of lists and errors that go with them."""
    text = re.sub(r'/\*.*?\*/', '', find('shieldstate.h').read_text(), flags=re.DOTALL)
    functions = set(re.findall(r'\b(shield_\w+)\(', text))
    helpers = {f'shield_list_{verb}' for verb in ('length', 'get', 'render', 'ref', 'unref')} | {'shield_error_quark'}
    return functions - helpers, helpers


def tree():
    """All that is in DEST, directories too."""
    return sorted(str(path.relative_to(DEST)) for path in DEST.rglob('*'))


def parts(folder, part):
    """The files of a folder of the source tree, if the build has this part. A template has the name of what it makes."""
    if part not in PARTS.split(','):
        return []
    return [path.with_name(path.name.removesuffix('.in')) for path in (SOURCE / folder).rglob('*')
            if path.is_file() and path.name != 'meson.build']


def install():
    for name in BEFORE:
        (DEST / name).parent.mkdir(parents=True, exist_ok=True)
        (DEST / name).touch()
    BEFORE[:] = tree()
    private = FROM / 'meson-private'
    private.mkdir(parents=True)
    (private / 'install.dat').write_bytes((pathlib.Path(BUILD) / 'meson-private/install.dat').read_bytes())
    (FROM / 'meson-logs').mkdir()
    for name in ('core', 'fs'):
        (FROM / name).symlink_to(pathlib.Path(BUILD) / name)
    output(['meson', 'install', '-C', str(FROM), '--no-rebuild', '--quiet', '--destdir', str(DEST)], umask=0o077)


def each_thing_is_in_its_place():
    """Where Debian would put it, below whatever prefix; and there is nothing else."""
    options = json.loads(output(['meson', 'introspect', '--buildoptions', BUILD]))
    places = {option['name']: option['value'] for option in options}
    version = pkg_config('--modversion')[0]
    expected = {'{bindir}/shieldfs', '{bindir}/shield-state', '{includedir}/shieldstate.h',
                '{libdir}/libshieldstate.so', '{libdir}/libshieldstate.so.0', '{libdir}/libshieldstate.so.' + version,
                '{libdir}/pkgconfig/libshieldstate.pc',
                '{datadir}/doc/shieldfs/LICENSE', '{datadir}/doc/shieldfs/README.md', '{datadir}/doc/shieldfs/NEWS.md'}
    expected |= {f'{{mandir}}/man{page.suffix[1:]}/{page.name}' for page in parts('fs/doc', 'man')
                 if re.fullmatch(r'\.[1-9]', page.suffix)}
    completions = {page.name for page in parts('fs/data/completions', 'completions')}
    expected |= {'{datadir}/bash-completion/completions/' + name for name in completions & {'shieldfs', 'shield-state'}}
    expected = {os.path.join(places['prefix'], name.format(**places)).lstrip('/') for name in expected}
    got = {name for name in tree() if not (DEST / name).is_dir()} - set(BEFORE)
    same(sorted(expected - got), [])
    # Other shells' completions, and the units, are where these programs say, so go by their names alone.
    others = (completions - {'shieldfs', 'shield-state'}) | {unit.name for unit in parts('fs/data/systemd', 'systemd')}
    same(sorted(os.path.basename(name) for name in got - expected), sorted(others))


def each_has_the_right_mode():
    """Whatever the umask of who installs."""
    for name in set(tree()) - set(BEFORE):
        path = DEST / name
        if not path.is_symlink():
            program = path.is_dir() or path.parent.name == 'bin' or '.so' in path.suffixes
            same((name, oct(path.stat().st_mode & 0o7777)), (name, oct(0o755 if program else 0o644)))


def uninstall():
    """What `ninja uninstall` runs."""
    output(['meson', '--internal', 'uninstall'], cwd=FROM)
    same(tree(), BEFORE)


def pkg_config_file_is_right():
    same(pkg_config('--modversion'), [output([str(find('shieldfs')), '--version']).split()[1]])
    same(len(include_directories()), 1)
    same([word for word in pkg_config('--libs') if 'shield' in word and word.startswith('-l')], ['-lshieldstate'])
    same('fuse' in ' '.join(pkg_config('--cflags', '--libs', '--static')), False)


def headers_are_self_contained():
    for header in headers():
        compile_only(f'#include <{header}>\nint dummy;\n', pkg_config('--cflags'))
        compile_only(f'#include <{header}>\n#include <{header}>\nint dummy;\n', pkg_config('--cflags'))


def headers_hide_no_others():
    """A program that asks for a header of the system must not get one of ours."""
    for header in headers():
        probe = ROOT / 'probe.c'
        probe.write_text(f'#if __has_include(<{header}>)\nhides {header}\n#endif\n')
        same([line for line in output([*CC, '-E', '-P', str(probe)]).splitlines() if line], [])


def contract_has_26_functions():
    functions, _ = promised()
    functions -= {'shield_read_effective_domains'}  # ours, not the contract's
    same(len(functions), 26)


def only_what_is_promised_is_exported():
    symbols = output(['nm', '-D', '--defined-only', str(find('libshieldstate.so').resolve())]).splitlines()
    exported = {line.split()[-1].split('@')[0] for line in symbols if line.split()[-2] != 'A'}
    functions, helpers = promised()
    same(sorted(exported - functions - helpers), [])
    same(sorted((functions | helpers) - exported), [])


def versions_agree():
    """The header's macros, the library's symbols, and the package."""
    version = pkg_config('--modversion')[0]
    major, minor, micro = version.split('.')
    compile_only('#include <shieldstate.h>\n'
                 f'#if SHIELDSTATE_MAJOR_VERSION != {major} || SHIELDSTATE_MINOR_VERSION != {minor} || '
                 f'SHIELDSTATE_MICRO_VERSION != {micro} || !SHIELDSTATE_CHECK_VERSION({major}, {minor}, {micro}) || '
                 f'SHIELDSTATE_CHECK_VERSION({major}, {minor}, {int(micro) + 1})\n#error "another"\n#endif\nint dummy;\n',
                 pkg_config('--cflags'))
    symbols = output(['nm', '-D', '--defined-only', str(find('libshieldstate.so').resolve())]).splitlines()
    nodes = {line.split('@')[-1] for line in symbols if '@' in line}
    same(nodes, {'SHIELDSTATE_0.1'})


def soname():
    dynamic = output(['readelf', '-d', str(find('libshieldstate.so').resolve())])
    same(re.findall(r'SONAME.*\[(.*)\]', dynamic), ['libshieldstate.so.0'])
    same([name for name in re.findall(r'NEEDED.*\[(.*)\]', dynamic) if 'fuse' in name], [])


def program_builds_and_runs():
    state = ROOT / 'state'
    state.mkdir()
    (state / 'profile.allowed').write_text('1.1.1.1\n8.8.8.8\n')
    (state / 'deny.list').write_text('8.8.8.8\n8.8.8.8\n')
    (state / 'interactive').write_text('nflog\n')
    (state / 'live.domains').write_bytes(b'\xff\n')
    source, program = ROOT / 'program.c', ROOT / 'program'
    source.write_text(PROGRAM.replace('HEADER', main_header()))
    output([*CC, *WARNINGS, *sanitizer_flags(), '-o', str(program), str(source), *pkg_config('--cflags', '--libs')])
    env = dict(os.environ, LD_LIBRARY_PATH=str(find('libshieldstate.so').parent))
    same(output([str(program), str(state)], env=env), EXPECTED.replace('STATE', str(state)))
    same((state / 'hooks').is_dir(), True)


def library_is_where_the_loader_looks():
    """Debian's loader and pkg-config look in lib/MULTIARCH, never in lib64."""
    name = output(['dpkg-architecture', '-qDEB_HOST_MULTIARCH']).strip()
    same(str(find('libshieldstate.so').parent).endswith(f'/lib/{name}'), True)
    same(str(find('libshieldstate.pc').parent).endswith(f'/lib/{name}/pkgconfig'), True)


def example_of_the_manual_runs():
    """Built with the library by its pkg-config file, from where it is installed."""
    text = (SOURCE / 'fs/doc/libshieldstate.3').read_text()
    source, program = ROOT / 'effective.c', ROOT / 'effective'
    example = re.search(r'^\.\\" c .*?\n\.Bd .*?\n(.*?)^\.Ed$', text, re.MULTILINE | re.DOTALL)[1]
    source.write_text(example.replace(r'\e', '\\'))
    output([*CC, *WARNINGS, *sanitizer_flags(), '-o', str(program), str(source), *pkg_config('--cflags', '--libs')])
    env = dict(os.environ, LD_LIBRARY_PATH=str(find('libshieldstate.so').parent))
    bundle = ROOT / 'bundle'
    bundle.mkdir()
    (bundle / 'live.allowed').write_text('1.1.1.1\n8.8.8.8\n')
    (bundle / 'deny.list').write_text('8.8.8.8\n')
    same(output([str(program), str(bundle)], env=env), '1.1.1.1\n')


run_checks([install, each_thing_is_in_its_place, each_has_the_right_mode, pkg_config_file_is_right, headers_are_self_contained, headers_hide_no_others,
            contract_has_26_functions, only_what_is_promised_is_exported, versions_agree, soname, program_builds_and_runs,
            library_is_where_the_loader_looks, example_of_the_manual_runs, uninstall])
