# SPDX-License-Identifier: Apache-2.0
"""The reference reader: what the contract's Python readers give, written from its rules and not from our C.
What the view adds is here too: a link is an error, and errors have names."""

import errno
import re

DOMAIN = re.compile(r'(\*\.)?([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\.)+[a-zA-Z]{2,}')
SOURCES = {
    'effective': ('profile.allowed', 'live.allowed', 'deny.list'),
    'allowed': ('profile.allowed', 'live.allowed'),
    'denied': ('deny.list',),
    'effective.domains': ('profile.domains', 'live.domains', 'denied.domains'),
}


class Refused(Exception):
    """A source that can't be read: the errno, and the text that the log must give."""

    def __init__(self, code, text):
        super().__init__(errno.errorcode[code], text)
        self.code, self.text = code, text


def read_text(path):
    """The text of a file; None if it counts as missing."""
    if path.is_symlink():
        raise Refused(errno.ELOOP, r'.+')
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        data = path.read_bytes()
        line = data[:error.start].count(b'\n') + 1
        raise Refused(errno.EILSEQ, f'line {line}: not UTF-8 at byte {error.start + 1}') from None
    except PermissionError:
        raise Refused(errno.EACCES, r'.+') from None


def read_lines(path):
    return [line.strip() for line in (read_text(path) or '').splitlines() if line.strip()]


def unique(entries):
    seen = set()
    return [e for e in entries if not (e in seen or seen.add(e))]


def read_domains(path):
    lowered = (line.lower() for line in read_lines(path))
    return [name for name in lowered if DOMAIN.fullmatch(name)]


def allowed(bundle):
    return unique(read_lines(bundle / 'profile.allowed') + read_lines(bundle / 'live.allowed'))


def denied(bundle):
    return unique(read_lines(bundle / 'deny.list'))


def effective(bundle):
    gone = set(denied(bundle))
    return [ip for ip in allowed(bundle) if ip not in gone]


def effective_domains(bundle):
    names = read_domains(bundle / 'profile.domains') + read_domains(bundle / 'live.domains')
    gone = set(read_domains(bundle / 'denied.domains'))
    return [name for name in unique(names) if name not in gone]


def interactive(bundle):
    """The tier, or None."""
    text = read_text(bundle / 'interactive')
    return (text or '').strip() or None


READERS = {'effective': effective, 'allowed': allowed, 'denied': denied,
           'effective.domains': effective_domains}


def troubles(bundle, name):
    """{file: Refused} of the sources of the computed file NAME that can't be read."""
    found = {}
    for source in SOURCES[name]:
        try:
            read_text(bundle / source)
        except Refused as refused:
            found[source] = refused
    return found


def render(bundle, name):
    """The bytes of a computed file; raises Refused."""
    return ''.join(f'{entry}\n' for entry in READERS[name](bundle)).encode()


def expected(bundle, name):
    """The bytes of a computed file, or the set of errnos of which an open must give one."""
    bad = troubles(bundle, name)
    return {r.code for r in bad.values()} if bad else render(bundle, name)
