# SPDX-License-Identifier: Apache-2.0
"""What every test on a real mount needs: start the server and wait until it answers, end it and check how it
ended (exit status, mountpoint, log, lookup counts), run tools with a time limit, and run a function as
another user or in a mount namespace of its own."""

import contextlib
import ctypes
import errno
import os
import pathlib
import re
import select
import signal
import stat
import subprocess
import time
import traceback

REPO = pathlib.Path(__file__).resolve().parents[3]
SLOW = os.environ.get('SHIELD_SLOW') == '1'
TIMEOUT = 300 if SLOW else 120
COMPUTED = ('effective', 'allowed', 'denied', 'effective.domains')
UNMOUNTED = 'fuse: reading device: Software caused connection abort'  # libfuse's, of a request that goes with the mount
SUSPECT = re.compile(r'AddressSanitizer|LeakSanitizer|runtime error|CRITICAL|WARNING|shieldfs: error: |==\d+==')
END = re.compile(r'shieldfs: debug: end: \d+ inodes still looked up')
# Not of the mount.
ABSENT = re.compile(r'shieldfs: /.*: (no such directory: the view is empty until there is one'
                    r'|no such directory: nothing of it is shown while that is so)')
RIGHT = ': right again'
FORGOTTEN = re.compile(r'^shieldfs: debug: FORGET \d+: \d+ times, 0 inodes still looked up$', re.MULTILINE)
SOCKET_KEEPS = int(pathlib.Path('/proc/sys/net/unix/max_dgram_qlen').read_text(encoding='ascii'))  # datagrams
NOBODY, STRANGER = 65534, 65533
libc = ctypes.CDLL(None, use_errno=True)


def program(variable, place):
    """Path of one of our programs: from the environment, else from build/ in the repository."""
    return pathlib.Path(os.environ.get(variable) or REPO / 'build' / place)


SHIELDFS = program('SHIELDFS', 'fs/shieldfs')
SHIELD_STATE = program('SHIELD_STATE', 'core/shield-state')


def wait_for(predicate, what, timeout=TIMEOUT):
    """Poll until PREDICATE gives something true, and return that. The only place that sleeps."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'waited {timeout} s in vain for {what}')
        time.sleep(0.005)


def holds_for(predicate, seconds, what):
    """Assert that PREDICATE stays true for a while (to show that something does not happen)."""
    end = time.monotonic() + seconds
    wait_for(lambda: not predicate() or time.monotonic() > end, what)
    assert predicate(), what


def run(*argv, ok=True, **kw):
    """Run a tool to its end; with OK its status must be 0 and it must not complain."""
    kw.setdefault('stdin', subprocess.DEVNULL)
    kw.setdefault('timeout', TIMEOUT)
    kw['env'] = dict(os.environ, LC_ALL='C.UTF-8', TZ='UTC', **kw.get('env', {}))
    done = subprocess.run([os.fspath(a) for a in argv], capture_output=True, check=False, **kw)
    if ok:
        assert done.returncode == 0, (argv, done.returncode, done.stderr)
        assert done.stderr == b'', (argv, done.stderr)
    return done


def unmount(mnt, *command):
    """Unmount as a user does. While the announcer is at work, the mount is busy for a moment."""
    def unmounted():
        done = run(*(command or ['fusermount3', '-u']), mnt, ok=False)
        assert done.returncode == 0 or b'busy' in done.stderr, done.stderr
        return done.returncode == 0
    wait_for(unmounted, f'{mnt} to be free of users')


@contextlib.contextmanager
def fails(*codes):
    """The body must fail with one of the errnos CODES."""
    try:
        yield
    except OSError as error:
        names = [errno.errorcode[c] for c in codes]
        assert error.errno in codes, f'{errno.errorcode.get(error.errno)} instead of {names}: {error}'
    else:
        raise AssertionError(f'succeeded instead of {[errno.errorcode[c] for c in codes]}')


@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def read_fd(fd, chunk=65536):
    """All that FD still gives."""
    parts = []
    while part := os.read(fd, chunk):
        parts.append(part)
    return b''.join(parts)


def getdents(path, size=32768, between=None):
    """[(inode, type, name)] of a directory as the kernel gives it; BETWEEN is called after one chunk."""
    entries = []
    with opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        buffer = ctypes.create_string_buffer(size)
        while (got := libc.getdents64(fd, buffer, size)) > 0:
            at = 0
            while at < got:
                ino = int.from_bytes(buffer.raw[at:at + 8], 'little')
                length = int.from_bytes(buffer.raw[at + 16:at + 18], 'little')
                name = buffer.raw[at + 19:at + length].split(b'\0', 1)[0]
                entries.append((ino, buffer.raw[at + 18], name))
                at += length
            if between:
                between()
                between = None
        assert got == 0, os.strerror(ctypes.get_errno())
    return entries


def unescape(word):
    """A word of mountinfo, in which blanks and the like are written in octal."""
    return re.sub(r'\\([0-7]{3})', lambda m: chr(int(m[1], 8)), word)


def mounts():
    """{mountpoint: (options, type, source)} of this mount namespace."""
    found = {}
    for line in os.fsdecode(pathlib.Path('/proc/self/mountinfo').read_bytes()).split('\n'):
        if line:
            left, right = line.split(' - ', 1)
            kind, source = right.split(' ')[:2]
            place, options = left.split(' ')[4:6]
            found[unescape(place)] = (options.split(','), kind, unescape(source))
    return found


def servers(mnt):
    """The pids of the shieldfs processes started for MNT."""
    pids = []
    for proc in pathlib.Path('/proc').iterdir():
        with contextlib.suppress(OSError):
            words = (proc / 'cmdline').read_bytes().split(b'\0') if proc.name.isdigit() else []
            if os.fsencode(mnt) in words and os.path.basename(words[0]) == b'shieldfs':
                pids.append(int(proc.name))
    return pids


def has_ended(pid):
    """Is there no process PID, or only what its parent has not waited for yet?"""
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_bytes().rpartition(b') ')[2][:1] in b'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return True


def has_stopped(pid):
    """All its threads."""
    with contextlib.suppress(OSError):
        states = [stat.read_text(encoding='latin-1').rpartition(')')[2].split()[0]
                  for stat in pathlib.Path(f'/proc/{pid}/task').glob('*/stat')]
        return states and set(states) == {'T'}
    return False


def stop(pid):
    """What it is about to do is done when this returns."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: has_stopped(pid) or has_ended(pid), 'it to stop')


def escape(source):
    """A directory as one word of a SOURCE."""
    return os.fspath(source).replace(':', '\\:')


class Mount:
    """One server in the foreground with -d, and its mountpoint."""

    running = []

    def __init__(self, base, sources, options=(), args=(), name='mnt', env=None, exe=SHIELDFS):
        self.mnt, self.log_path = pathlib.Path(base) / name, pathlib.Path(base) / f'{name}.log'
        self.options, self.patterns, self.taken = tuple(options), {}, 0
        words = [':'.join(escape(s) for s in sources)] if sources else []
        dash_o = ['-o', ','.join(options)] if options else []
        self.argv = [os.fspath(w) for w in [exe, '-d', *args, *dash_o, *words, self.mnt]]
        self.env = dict(os.environ, G_DEBUG='fatal-criticals', **(env or {}))
        self.process, self.status_code = None, None

    def begin(self):
        with contextlib.suppress(FileExistsError):  # exist_ok would ask whether it is a dead mount
            self.mnt.mkdir()
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={k: v for k, v in self.env.items() if v is not None})
        Mount.running.append(self)

    def start(self):
        self.begin()
        wait_for(self.answers, f'{self.mnt} to answer')
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f'shieldfs ended with {self.process.returncode}: {self.log_lines()}')
        with contextlib.suppress(OSError):
            status = (self.mnt / '.shieldfs' / 'status').read_bytes()
            # it stays incomplete where something can't be looked into; then the log says when the start is over
            over = b'complete: yes\n' in status or b': all is announced, ' in self.log_path.read_bytes()
            unread = 'unread' in (self.env.get('SHIELD_FAULTS') or '')
            return b'announcer: ok\n' in status and (over or unread)
        return False

    def expect_log(self, pattern):
        """Log lines that match PATTERN (after `shieldfs: `) are allowed, and one must come."""
        self.patterns[pattern] = 0

    def log_lines(self):
        """The log without the request lines and what is right again; every line must be printable text from us."""
        text = self.log_path.read_bytes().decode('utf-8')
        # who is killed may leave a line unfinished, after which the supervisor tells of his end
        lines = re.split(r'\n|(?<=.)(?=shieldfs: error: )', text)
        return [ln for ln in lines if ln not in ('', UNMOUNTED) and not ln.startswith('shieldfs: debug: ')
                and not ln.endswith(RIGHT) and not ABSENT.fullmatch(ln)]

    def take_log(self):
        """The log lines since the last call; the caller judges them, so that nobody else need expect them."""
        new = self.log_lines()[self.taken:]
        self.taken += len(new)
        return [ln.removeprefix('shieldfs: ') for ln in new]

    def status_text(self):
        """With all that has changed by now: after a second an open gives what was known before, so it is tried again."""
        for _ in range(5):
            start = time.monotonic()
            text = (self.mnt / '.shieldfs' / 'status').read_bytes().decode('utf-8')
            if time.monotonic() - start < 1:
                break
        return text

    def status(self):
        """.shieldfs/status as {word: [rest of line, …]}; its grammar and order are checked."""
        text = self.status_text()
        assert text.endswith('\n') and text[:-1].replace('\n', '').isprintable(), text
        words = {w: [] for w in ('source', 'complete', 'announcer', 'pid', 'confined', 'degraded', 'problem')}
        lines = [ln.split(': ', 1) for ln in text[:-1].split('\n')]
        for word, rest in lines:
            words[word].append(rest)
        assert [w for w, _ in lines] == [w for w in words for _ in words[w]], text
        assert words['complete'] in (['yes'], ['no']), text
        assert words['announcer'] in (['ok'], ['restarting'], ['stuck'], ['stopped']), text
        assert words['pid'] == [str(self.process.pid)], text
        who = [c.split(':')[0] for c in words['confined']]  # the announcer's is missing while there is none
        assert who in (['supervisor', 'server', 'announcer'], ['supervisor', 'server']), text
        problems = [p.encode() for p in words['problem']]
        assert problems == sorted(problems), text
        return words

    def drop_caches(self):
        """Make the kernel forget every inode of the mount, and wait until the server was told."""
        quiet = 0
        for _ in range(50):
            before = self.log_path.stat().st_size
            pathlib.Path('/proc/sys/vm/drop_caches').write_text('2\n', encoding='ascii')
            seen = [before, 0]

            def steady(seen=seen):
                size = self.log_path.stat().st_size
                seen[:] = [size, seen[1] + 1 if size == seen[0] else 0]
                return seen[1] >= 5
            wait_for(steady, 'the server to be done with forgetting')
            quiet = quiet + 1 if seen[0] == before else 0
            if quiet == 3:
                return
        raise AssertionError('the server does not come to rest')

    def open_here(self):
        """What this process itself still has open on the mount."""
        links = []
        for fd in os.listdir('/proc/self/fd'):
            with contextlib.suppress(OSError):
                links.append(os.readlink(f'/proc/self/fd/{fd}'))
        return [ln for ln in links if ln.startswith(f'{self.mnt}/') or ln == os.fspath(self.mnt)]

    def stop(self, how=None):
        """Unmount (or send the signal HOW) and check everything that must be so at the end."""
        if self.process is None or self not in Mount.running:
            return
        try:
            assert self.open_here() == []
            if os.geteuid() == 0:
                wait_for(self.all_forgotten, 'lookup counts to return to zero')
            if how is None:
                unmount(self.mnt)
            else:
                self.process.send_signal(how)
            assert self.process.wait(TIMEOUT) == 0, self.log_lines()
            assert os.fspath(self.mnt) not in mounts()
            assert os.listdir(self.mnt) == []
            self.check_log()
        finally:
            self.kill()

    def all_forgotten(self):
        """Has the kernel, when it was made to, given back every inode? The announcer may look some up again later."""
        start = self.log_path.stat().st_size
        os.stat(self.mnt / '.shieldfs' / 'version')  # so that there is something to give back
        self.drop_caches()
        with open(self.log_path, 'rb') as log:
            log.seek(start)
            return FORGOTTEN.search(log.read().decode('utf-8'))

    def check_log(self):
        text = self.log_path.read_bytes().decode('utf-8')
        assert text.endswith('\n'), 'the log ends in the middle of a line'
        lines = [line for line in text[:-1].split('\n') if line != UNMOUNTED]
        for line in lines:
            assert not SUSPECT.search(line), line
            assert line.startswith('shieldfs: ') and line.isprintable(), line
        for line in self.log_lines()[self.taken:]:
            hits = [p for p in self.patterns if re.fullmatch(p, line.removeprefix('shieldfs: '))]
            assert hits, f'unexpected in the log: {line}'
            for pattern in hits:
                self.patterns[pattern] += 1
        missing = [p for p, count in self.patterns.items() if not count]
        assert not missing, f'never seen in the log: {missing}'
        assert END.fullmatch(lines[-1]), f'the last log line is: {lines[-1]}'

    def kill(self):
        """Whatever happened: leave neither a process nor a mount behind."""
        if self in Mount.running:
            Mount.running.remove(self)
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        release(self.mnt)


def release(mnt):
    """End every server of MNT by force and free the mountpoint."""
    for pid in servers(mnt):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while os.fspath(mnt) in mounts():
        run('fusermount3', '-uz', mnt)


def in_child(function, prepare, timeout=TIMEOUT):
    """Run FUNCTION in a forked child after PREPARE; its failure becomes ours."""
    reader, writer = os.pipe()
    known, know = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            os.close(know)
            Mount.running.clear()
            prepare()
            os.write(writer, os.readlink('/proc/self/ns/mnt').encode() + b'\n')
            os.read(known, 1)
            function()
            code = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode('utf-8', 'backslashreplace'))
        finally:
            os._exit(code)
    os.close(writer)
    os.close(known)
    told, deadline = b'', time.monotonic() + timeout
    held = contextlib.ExitStack()
    while select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
        part = os.read(reader, 65536)
        if not part:
            break
        if not told:
            with contextlib.suppress(OSError):  # what did not get so far is gone
                held.enter_context(open(f'/proc/{pid}/ns/mnt', 'rb'))  # so its number can't be another's meanwhile
            os.close(know)
        told += part
    else:
        os.kill(pid, signal.SIGKILL)
        told += b'\ntimed out'
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    space, _, said = told.decode('utf-8', 'replace').partition('\n')
    with held:
        left = [] if space == os.readlink('/proc/self/ns/mnt') else end_namespace(space)
    if status != 0:
        raise AssertionError(f'in the child (status {status}):\n{said or space}')
    assert not left, f'left running in the namespace: {left}'


def running_in(space):
    """{pid: command} of the processes in the mount namespace SPACE. One that is about to end has no command."""
    found = {}
    for proc in pathlib.Path('/proc').iterdir():
        with contextlib.suppress(OSError):
            if proc.name.isdigit() and os.readlink(proc / 'ns/mnt') == space:
                found[int(proc.name)] = (proc / 'cmdline').read_bytes()
    return {pid: command for pid, command in found.items() if command}


def end_namespace(space):
    """Kill what still runs in the mount namespace SPACE (ours alone), and doesn't end by itself; returns what that
    was."""
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not running_in(space), 'its processes to end')
    left = running_in(space)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [*left.values()]


def is_dead(mnt):
    """The kernel has seen that nobody serves MNT any more."""
    try:
        os.listdir(mnt)
    except OSError as error:  # ECONNABORTED: at the moment of its end
        assert error.errno in (errno.ENOTCONN, errno.ECONNABORTED), error
        return error.errno == errno.ENOTCONN
    return False


def exchange(a, b):
    """Each of the two gets the other's name, at once."""
    if libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), 2) != 0:
        raise OSError(ctypes.get_errno(), 'renameat2')


def become(uid, groups=()):
    """Give up every privilege and be UID, in no other GROUPS than these."""
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def as_user(uid, function, groups=()):
    in_child(function, lambda: become(uid, groups))


def errno_of_read(path):
    """0, or what opening and reading fails with."""
    try:
        path.read_bytes()
    except OSError as error:
        return error.errno
    return 0


def system_mount(source, target, kind, flags, data=None):
    words = [w if w is None else os.fsencode(w) for w in (source, target, kind)]
    if libc.mount(*words, flags, data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fspath(target))


def private_namespace():
    """A mount namespace of our own from which nothing gets out."""
    if libc.unshare(0x20000) != 0:
        raise OSError(ctypes.get_errno(), 'unshare')
    system_mount(None, '/', None, 0x4000 | 0x40000)


def hide(directory, nodes=()):
    """Cover DIRECTORY with an empty one that holds only the character devices NODES: (name, major, minor)."""
    system_mount('tmpfs', directory, 'tmpfs', 0)
    for name, major, minor in nodes:
        place = pathlib.Path(directory) / name
        os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        place.chmod(0o666)


def in_namespace(function, uid=0, fuse_mode=0o666, prepare=lambda: None):
    """Run FUNCTION as UID in a mount namespace whose /dev/fuse has the mode FUSE_MODE (None: it has none)."""
    def enter():
        private_namespace()
        fuse = [('fuse', 10, 229)] if fuse_mode is not None else []
        hide('/dev', [('null', 1, 3), ('zero', 1, 5), ('urandom', 1, 9), *fuse])
        if fuse:
            os.chmod('/dev/fuse', fuse_mode)
        prepare()
        if uid:
            become(uid)
    in_child(function, enter)


def for_others_too(base, sources, exe, function):
    """Run FUNCTION(m) with a mount that a plain user, NOBODY, has made for others too (allow_other), which fuse.conf
    lets him; it ends as it should."""
    conf, own = base / 'fuse.conf', base / 'own'
    conf.write_text('user_allow_other\n', encoding='ascii')
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)

    def body():
        m = Mount(own, sources, exe=exe, options=['allow_other'])
        try:
            function(m.start())
            m.stop()
        finally:
            m.kill()
    in_namespace(body, uid=NOBODY, prepare=lambda: system_mount(conf, '/etc/fuse.conf', None, 0x1000))


def in_user_namespace(function):
    """Run FUNCTION as root of a user and a mount namespace of its own: limits in /proc/sys/user end with them."""
    def enter():
        reader, writer = os.pipe()
        pid, helper = os.getpid(), os.fork()
        if helper == 0:  # only who stays outside may map more than one user
            os.read(reader, 1)
            for name in ('uid_map', 'gid_map'):
                pathlib.Path(f'/proc/{pid}/{name}').write_text('0 0 65536\n', encoding='ascii')
            os._exit(0)
        if libc.unshare(0x10000000) != 0:
            raise OSError(ctypes.get_errno(), 'unshare')
        os.write(writer, b'.')
        assert os.waitpid(helper, 0)[1] == 0
        private_namespace()
    in_child(function, enter)
