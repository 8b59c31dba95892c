# SPDX-License-Identifier: Apache-2.0
"""Builders of bundles: one as the writer makes it, and random ones made of entries and of hostile bytes."""

import os
import shutil
import stat

LISTS = ('profile.allowed', 'live.allowed', 'deny.list')
DOMAIN_LISTS = ('profile.domains', 'live.domains', 'denied.domains')


def put(path, content):
    """Write CONTENT (str or bytes) in place, as the writer does."""
    with open(path, 'wb') as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def append(path, text):
    """Add TEXT to a file, as the writer does with a log or a list."""
    with open(path, 'a', encoding='utf-8') as file:
        file.write(text)


def bundle(path, files=None, **lists):
    """A bundle at PATH with FILES {name: content}; keywords: profile, live, deny (lists of entries)."""
    path.mkdir(parents=True, exist_ok=True)
    names = {'profile': 'profile.allowed', 'live': 'live.allowed', 'deny': 'deny.list'}
    for key, entries in lists.items():
        put(path / names[key], ''.join(f'{e}\n' for e in entries))
    for name, content in (files or {}).items():
        (path / name).parent.mkdir(exist_ok=True)
        put(path / name, content)
    return path


def container(state, name, files=None, **lists):
    return bundle(state / 'containers' / name, files, **lists)


def task(state, project, name, files=None, **lists):
    place = bundle(state / 'tasks' / project / name / 'shield', files, **lists)
    put(place.parent / 'shield_desired_state', 'up\n')
    return place


def full(path, tier='dnsmasq'):
    """A bundle with every file that the writer makes."""
    stages = ('createRuntime', 'poststop')
    bundle(path, {
        **{f'hooks/terok-shield-{s}.json': '{"version":"1.0.0","hook":{"path":"/x"}}' for s in stages},
        'terok-shield-hook': '#!/usr/bin/python3\n_BUNDLE_VERSION = 4\n',
        'ruleset.nft': 'table inet terok_shield {\n}\n',
        'gateway': '10.0.2.2\n', 'gateway_v6': 'fe80::2\n', 'upstream.dns': '169.254.1.1\n',
        'dns.tier': f'{tier}\n',
        'profile.allowed': ''.join(f'192.0.2.{i}\n' for i in range(1, 60)) + '2001:0db8:0000::53\n',
        'profile.domains': 'Example.COM\n*.github.com\npypi.org\n',
        'live.allowed': '198.51.100.7\n192.0.2.3\n2001:db8::1\n', 'live.domains': 'debian.org\n',
        'deny.list': '192.0.2.9\n198.51.100.7\n192.0.2.9\n', 'denied.domains': 'pypi.org\n',
        'dnsmasq.conf': 'no-resolv\n', 'dnsmasq.pid': '4242\n',
        'dnsmasq.log': 'Nov 23 18:27:06 dnsmasq[11399]: query[A] github.com from 127.0.0.1\n' * 40,
        'resolv.conf': 'nameserver 127.0.0.1\noptions ndots:0\n', 'interactive': 'nflog\n',
        'container.id': '0123456789ab\n',
        'audit.jsonl': '{"ts":"2026-03-07T12:00:00+00:00","container":"web-1","action":"setup"}\n' * 20,
    })
    (path / 'terok-shield-hook').chmod(0o755)
    return path


def later(path, tier='dnsmasq'):
    """The same at version 12 of the bundle."""
    full(path, tier)
    for name in ('interactive', 'gateway', 'gateway_v6'):
        (path / name).unlink()
    script = '#!/usr/bin/env python3\n_BUNDLE_VERSION = 12\n'
    bundle(path, {
        **{f'hooks/terok-shield-bridge-{s}.json': '{"version":"1.0.0","hook":{"path":"/x"}}'
           for s in ('createRuntime', 'poststop')},
        '_oci_state.py': script, 'terok-shield-hook': script, 'terok-shield-bridge-hook': script,
        'reader.pid': '4242\n', 'reader.log': '', 'meta_path': '/home/user/.local/share/terok/tasks/k3f9p.json\n',
    })
    with open(path / 'audit.jsonl', 'a', encoding='ascii') as audit:
        audit.write('{"ts":"2026-11-25T08:43:42+00:00","container":"web-1","action":"blocked","dest":"203.0.113.9"}\n')
    (path / 'hooks').chmod(0o700)
    path.chmod(0o700)
    return path


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


# Every code point that the readers' rules name, and some that look like them.
BOUNDARIES = '\n\n\n\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029'
STRIPPED = '\t\x0b\x0c\x1c\x1d\x1e\x1f \x85\xa0\u1680\u202f\u205f\u3000'
STRIPPED += ''.join(map(chr, range(0x2000, 0x200b)))
KEPT = '\0\u200b\ufeff\u180e\u212a\u0130\x7f\x80\xe9\u0301\ud7ff\ue000\ufffd\ufffe\uffff\U0001f600\U0010ffff#'
BAD = (b'\x80', b'\xbf', b'\xfe', b'\xff', b'\xc0\x80', b'\xc0\xaf', b'\xc1\xbf', b'\xe0\x80\x80',
       b'\xe0\x9f\xbf', b'\xf0\x80\x80\x80', b'\xf0\x8f\xbf\xbf', b'\xed\xa0\x80', b'\xed\xbf\xbf',
       b'\xed\xa0\xbd\xed\xb8\x80', b'\xf4\x90\x80\x80', b'\xf5\x80\x80\x80', b'\xf8\x88\x80\x80\x80',
       b'\xc3', b'\xe2\x82', b'\xf0\x9f\x98', b'\xf0\x9f', b'\xe2\x28\xa1', b'\xc3\xc3\xa9',
       b'\xe2\x82\xe2\x82\xac')
NAMES = ('example.com', 'EXAMPLE.com', '*.example.com', 'a..b', '-a.com', 'a-.com', 'a-b.com', 'x.c', 'x.co',
         'x.c0', 'xn--bcher-kva.example', '\u212aelvin.com', 'kelvin.com', 'ex_ample.com', '*.*.com', '*.com',
         'com', 'a.com.', '.a.com', '1.2.3.4', '\u0130stanbul.com', 'caf\xe9.fr', 'a\0.com', 'a.b.c.d.e.org',
         '*a.com', '# x.com', 'a b.com', 'GITHUB.\u212aom', 'A.' * 40 + 'net', 'x' * 64 + '.dev', '0.io',
         'a--b.io', '*.A-1.Ab')


def random_entries(rng):
    """The entries that the three lists of one bundle draw from, so that they meet."""
    def one():
        kind = rng.randrange(8)
        if kind < 3:
            return '.'.join(str(rng.randrange(256)) for _ in range(4))
        if kind == 3:
            return f'10.{rng.randrange(256)}.0.0/{rng.choice((8, 16, 24, 32))}'
        if kind == 4:
            return rng.choice(('2001:db8::', '2001:0db8:0::', 'fe80::')) + f'{rng.randrange(65536):x}'
        if kind == 5:
            return rng.choice(('# note', 'all', 'any host', '0.0.0.0/0', '::/0', f'#{rng.random()}'))
        body = ''.join(rng.choice(KEPT + STRIPPED + 'abc01') for _ in range(rng.randrange(1, 9)))
        return body if kind == 6 else rng.choice(KEPT) + '1.1.1.' + str(rng.randrange(9))
    return [one() for _ in range(rng.choice((1, 3, 10, 30, 300)))]


def random_text(rng, pool):
    count = rng.choices((0, rng.randrange(1, 10), rng.randrange(10, 100), rng.randrange(100, 2001)),
                        (8, 72, 17, 3))[0]
    wild = rng.random() < 0.6
    parts = ['\ufeff'] if rng.random() < 0.04 else []
    for _ in range(count):
        line = rng.choice(pool)
        if wild and rng.random() < 0.3:
            line = rng.choice(STRIPPED) * rng.randrange(3) + line + rng.choice(STRIPPED) * rng.randrange(3)
        if wild and rng.random() < 0.05:
            line = rng.choice(('', rng.choice(STRIPPED), rng.choice(KEPT)))
        parts += [line, rng.choice(BOUNDARIES) if wild and rng.random() < 0.3 else '\n']
        if wild and rng.random() < 0.1:
            parts[-1] = rng.choice(('\r\n', '\r', '\r\r\n', '\n\r', '\n\n'))
    if parts and rng.random() < 0.2:
        parts.pop()
    return ''.join(parts)


def random_content(rng, pool):
    """The bytes of a list; one in about twelve can't be decoded."""
    data = random_text(rng, pool).encode()
    dice = rng.random()
    if dice < 0.04:
        data += rng.choice(BAD)
    elif dice < 0.08:
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.choice(BAD) + data[at:]
    elif dice < 0.09:
        data = data[:rng.randrange(len(data) + 1)]
    elif dice < 0.10:
        data = bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
    return data


def random_file(rng, path, pool, write=put):
    """Something at PATH: mostly a list, sometimes nothing or what no list may be."""
    dice = rng.random()
    if dice < 0.12:
        return
    if dice < 0.14:
        path.mkdir()
    elif dice < 0.16:
        os.mkfifo(path)
    elif dice < 0.165:
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif dice < 0.18:
        path.symlink_to(rng.choice(('deny.list', 'nowhere', '.', '/etc/hostname')))
    elif dice < 0.23:
        write(path, b'')
    else:
        write(path, random_content(rng, pool))


def random_pools(rng):
    """{file: what its lines are drawn from} for one bundle."""
    entries = random_entries(rng)
    names = rng.sample(NAMES, rng.randrange(1, len(NAMES))) + entries[:3]
    return {**dict.fromkeys(LISTS, entries), **dict.fromkeys(DOMAIN_LISTS, names)}


def random_bundle(rng, path):
    path.mkdir(parents=True)
    pools = random_pools(rng)
    for name, pool in pools.items():
        random_file(rng, path / name, pool)
    return pools
