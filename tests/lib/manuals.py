# SPDX-License-Identifier: Apache-2.0
"""The manual pages, fs/doc/*.[1-8], as their formatters see them: neither groff nor mandoc's lint has a complaint, and
each page leads to every other one, to sections that there are, and from the README."""

import os
import pathlib
import re
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted((REPO / 'fs/doc').glob('*.[1-8]'))
# Which pages of others are installed, and in whose index, is no matter of ours; to our own ones see below.
NOT_OURS = re.compile(r'STYLE: referenced manual not found|outdated mandoc\.db lacks')


def said(*command):
    done = subprocess.run(command, cwd=REPO, env=dict(os.environ, LC_ALL='C.UTF-8', MANWIDTH='80'), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return [line for line in done.stdout.splitlines() if not NOT_OURS.search(line)], done.returncode


def complaints(page):
    """Of the formatters. (man shows the page itself on standard output, and that there is one.)"""
    place = os.fspath(page.relative_to(REPO))
    yield from said('mandoc', '-T', 'lint', place)[0]
    lines, status = said('sh', '-c', 'exec man --warnings -P cat "$1" 2>&1 >/dev/null', 'sh', f'./{place}')
    yield from lines
    if status:
        yield f'{place}: man can not show it'


def wrong_references(page):
    text = page.read_text(encoding='utf-8')
    ours = {p.name.rpartition('.')[::2] for p in PAGES}
    named = set(re.findall(r'\bXr (\S+) (\d)', text))
    for name, section in sorted(named):
        if name in dict(ours) and (name, section) not in ours:
            yield f'{page.name}: refers to {name}({section}), which is no page'
    also = set(re.findall(r'^\.Xr (\S+) (\d)', text.partition('.Sh SEE ALSO\n')[2].partition('.Sh ')[0], re.M))
    for name, section in sorted(ours - also - {page.name.rpartition('.')[::2]}):
        yield f'{page.name}: SEE ALSO has no {name}({section})'
    headings = {h.strip('"') for h in re.findall(r'^\.S[hs] (.*)$', text, re.M)}
    for section in sorted(set(re.findall(r'\bSx ([^.,;:()\n]*[^.,;:()\s])', text)) - headings):
        yield f'{page.name}: refers to its section {section}, which is none'
    if f'(fs/doc/{page.name})' not in (REPO / 'README.md').read_text(encoding='utf-8'):
        yield f'{page.name}: the README does not lead to it'


wrong = [line for page in PAGES for line in (*complaints(page), *wrong_references(page))]
print(*wrong, f'{len(PAGES)} manual pages', sep='\n')
sys.exit(bool(wrong) or not PAGES)
