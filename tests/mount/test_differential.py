# SPDX-License-Identifier: Apache-2.0
"""Random bundles against the reference reader, byte for byte: through the mount and, for some, through
shield-state; sizes, errnos and log lines too; and again after rewriting them in every way while mounted."""

import contextlib
import errno
import os
import random
import re

import bundles
import harness
import pytest
import reference

ROUNDS = int(os.environ.get('SHIELD_ROUNDS') or 2000)
SEED = int(os.environ.get('SHIELD_SEED') or random.SystemRandom().randrange(2**32))
BATCH = 250
LINE = re.compile(r'([^/]+)/([^/:]+): (.*)')


@contextlib.contextmanager
def seeded(what):
    try:
        yield random.Random(f'{SEED}/{what}')
    except BaseException as error:
        raise AssertionError(f'SHIELD_SEED={SEED} (in {what}): {error}') from error


def view(path):
    """(content, size by stat); the content is the errno if opening failed."""
    size = os.stat(path).st_size
    try:
        with harness.opened(path) as fd:
            return harness.read_fd(fd), size
    except OSError as error:
        return error.errno, size


def explain(bundle, name, got, want):
    files = {f: (bundle / f).read_bytes()[:3000] for f in reference.SOURCES[name] if (bundle / f).is_file()}
    return f'{bundle.name}/{name}:\n got {got!r:.2000}\nwant {want!r:.2000}\nfrom {files}'


def check_view(m, bundle):
    """Compare the four computed files of a bundle; returns their contents."""
    contents = {}
    for name in harness.COMPUTED:
        want = reference.expected(bundle, name)
        got, size = view(m.mnt / bundle.name / name)
        if isinstance(want, set):
            assert got in want and size == 0, explain(bundle, name, (got, size), want)
        else:
            assert got == want and size == len(want), explain(bundle, name, (got, size), want)
        contents[name] = got
    return contents


def check_log(m, state):
    """Every line names a broken list and the place in it; every bundle with one has been named."""
    named = set()
    for line in m.take_log():
        match = LINE.fullmatch(line)
        assert match, line
        bundle, file, text = match.groups()
        bad = {f: r for n in harness.COMPUTED for f, r in
               reference.troubles(state / 'containers' / bundle, n).items()}
        assert file in bad, f'{line}: nothing is wrong with it'
        assert re.fullmatch(bad[file].text, text), f'{line}: should be: {bad[file].text}'
        named.add(bundle)
    return named


def check_command(bundle):
    """shield-state show says the same."""
    for name in harness.COMPUTED:
        done = harness.run(harness.SHIELD_STATE, 'show', bundle, name, ok=False)
        bad = reference.troubles(bundle, name)
        if not bad:
            assert (done.returncode, done.stderr) == (0, b''), explain(bundle, name, done, 'success')
            want = reference.render(bundle, name)
            assert done.stdout == want, explain(bundle, name, done.stdout, want)
        else:
            assert (done.returncode, done.stdout) == (1, b''), explain(bundle, name, done, 'failure')
            texts = [f'shield-state: (.*/)?{re.escape(f)}: {r.text}' for f, r in bad.items()]
            said = done.stderr.decode()
            assert any(re.fullmatch(f'{t}\n', said) for t in texts), explain(bundle, name, said, texts)


@pytest.mark.parametrize('batch', range((ROUNDS + BATCH - 1) // BATCH))
def test_random_bundles(mount, state, batch):
    with seeded(f'batch {batch}') as rng:
        made = [state / 'containers' / f'b{i:04}' for i in range(min(BATCH, ROUNDS - batch * BATCH))]
        for bundle in made:
            bundles.random_bundle(rng, bundle)
        m = mount(state)
        broken = set()
        for bundle in made:
            contents = check_view(m, bundle)
            if any(isinstance(c, int) for c in contents.values()):
                broken.add(bundle.name)
        assert broken <= check_log(m, state)
        for bundle in rng.sample(made, (len(made) + 24) // 25):
            check_command(bundle)
        problems = {p.split('/', 1)[0] for p in m.status()['problem']}
        assert broken <= problems
        m.take_log()


def rewrite(rng, path, pool):
    """Change the file at PATH in one of the ways in which files change."""
    way = rng.randrange(7)
    if way == 0 or not path.is_file() or path.is_symlink():
        bundles.remove(path)
        bundles.random_file(rng, path, pool)
    elif way == 1:
        bundles.put(path, bundles.random_content(rng, pool))
    elif way == 2:
        with open(path, 'ab') as file:
            file.write(bundles.random_content(rng, pool))
    elif way == 3:
        os.truncate(path, rng.randrange(path.stat().st_size + 1))
    elif way == 4:
        fresh = bundles.put(path.parent / 'fresh', bundles.random_content(rng, pool))
        fresh.rename(path)
    elif way == 5:
        size = path.stat().st_size
        times = path.stat()
        with open(path, 'r+b') as file:
            file.write(bytes(rng.choice(b'0123456789.:/#\n') for _ in range(size)))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        path.unlink()


def test_rewriting(mount, state):
    """Every open after a change sees it; the mtime moves with the content, and only forward."""
    with seeded('rewriting') as rng:
        made = [state / 'containers' / f'b{i:04}' for i in range(max(20, min(100, ROUNDS // 20)))]
        pools = {bundle: bundles.random_bundle(rng, bundle) for bundle in made}
        m = mount(state)
        seen = {}
        for _ in range(5):
            for bundle in made:
                for name in rng.sample(bundles.LISTS + bundles.DOMAIN_LISTS, rng.randrange(4)):
                    rewrite(rng, bundle / name, pools[bundle][name])
                contents = check_view(m, bundle)
                for name, content in contents.items():
                    mtime = os.stat(m.mnt / bundle.name / name).st_mtime_ns
                    before = seen.get((bundle, name), (content, 0))
                    if isinstance(content, bytes):
                        moved = mtime > before[1] or content == before[0]
                        assert moved, f'{bundle.name}/{name}: the content changed, the mtime did not'
                        seen[bundle, name] = content, mtime
            m.take_log()


def test_every_bad_sequence(mount, state):
    """Each invalid sequence at the start, in the middle and at the end; the log names the place exactly."""
    places = {'start': (b'', b'\n1.1.1.1\n'), 'middle': (b'1.1.1.1\r\n\n2.2', b'2.2\n'),
              'end': (b'1.1.1.1\n', b'')}
    for i, bad in enumerate(bundles.BAD):
        for place, (before, after) in places.items():
            bundles.container(state, f'{place}-{i}', {'deny.list': before + bad + after}, profile=['1.1.1.1'])
    m = mount(state)
    for bundle in (state / 'containers').iterdir():
        contents = check_view(m, bundle)
        assert contents['effective'] == contents['denied'] == errno.EILSEQ
        assert contents['allowed'] == b'1.1.1.1\n'
    assert check_log(m, state) == {b.name for b in (state / 'containers').iterdir()}


def test_every_code_point(mount, state):
    """Each code point up to U+3100 and some beyond, around an entry and inside it."""
    points = [chr(c) for c in [*range(0x3100), 0xd7ff, 0xe000, 0xfeff, 0xfffd, 0xfffe, 0xffff, 0x10000,
                               0x10ffff]]
    for at in range(0, len(points), 500):
        some = points[at:at + 500]
        bundles.container(state, f'p{at}', {
            'profile.allowed': ''.join(f'{c}a{c}b{ord(c):x}{c}\n' for c in some),
            'live.allowed': ''.join(f'{c}\n' for c in some),
            'deny.list': ''.join(f'b{ord(c):x}\n' for c in some[::3]),
            'profile.domains': ''.join(f'{c}A{ord(c):x}.com{c}\n' for c in some),
            'live.domains': ''.join(f'x{c}{ord(c):x}.com\n' for c in some)})
    m = mount(state)
    for bundle in (state / 'containers').iterdir():
        assert all(isinstance(c, bytes) for c in check_view(m, bundle).values())
