# SPDX-License-Identifier: Apache-2.0
"""What bash, zsh and fish offer for a command line, by our completions: bash and zsh are asked on a terminal, by their
own keys, and insert all that they have into the line; fish has a command that tells."""

import os
import pty
import subprocess
import tempfile

import harness

COMPLETIONS = harness.REPO / 'fs/data/completions'
DUMP = tempfile.TemporaryDirectory(prefix='shieldfs.')  # zsh looks for all there is once, which takes it seconds

BASH = r'''
bind 'set enable-bracketed-paste off'
said() { printf '%s\0' "$READLINE_LINE" >>"$SAID"; READLINE_LINE= READLINE_POINT=0; }
bind -x '"\C-xp": said'
bind '"\C-xa": insert-completions'
. "$COMPLETIONS/shieldfs"
. "$COMPLETIONS/shield-state"
'''
ZSH = r'''
fpath=("$COMPLETIONS" $fpath)
autoload -U compinit
compinit -u -d "$DUMP"
zle -C all complete-word _generic
zstyle ':completion:all:*' completer _all_matches _complete
zstyle ':completion:all:*' insert true
bindkey '^Xa' all
bindkey '^Xt' complete-word
said() { printf '%s\0' "$BUFFER" >>"$SAID"; BUFFER= }
zle -N said
bindkey '^Xp' said
'''


def environment(home, **more):
    """A home, and nothing of who runs the tests; the programs are on PATH (fish completes only what there is)."""
    programs = f'{harness.SHIELDFS.resolve().parent}:{harness.SHIELD_STATE.resolve().parent}'
    return {'HOME': os.fspath(home), 'PATH': f'{programs}:{os.environ["PATH"]}', 'LC_ALL': 'C.UTF-8', 'TERM': 'dumb',
            'INPUTRC': '/dev/null', 'HISTFILE': '/dev/null', 'COMPLETIONS': os.fspath(COMPLETIONS),
            'DUMP': f'{DUMP.name}/zcompdump', **more}


ALL, TAB = b'\x18a', b'\x18t'


def on_a_terminal(argv, setup, home, lines, key=ALL):
    """The lines after all completions were inserted, or what KEY does, each by a shell that has read SETUP."""
    said, script = home / 'said', home / 'setup'
    said.write_bytes(b'')
    script.write_text(setup, encoding='ascii')
    leader, follower = pty.openpty()
    with subprocess.Popen(argv, cwd=home, env=environment(home, SAID=os.fspath(said)), start_new_session=True,
                          stdin=follower, stdout=follower, stderr=follower) as shell:
        os.close(follower)
        os.set_blocking(leader, False)
        shown = bytearray()

        def answers(count):
            try:
                shown.extend(os.read(leader, 65536))
            except OSError:  # there is nothing, or nobody any more
                pass
            return said.read_bytes().count(b'\0') >= count or shell.poll() is not None

        os.write(leader, f'. {script}\n'.encode())
        harness.wait_for(lambda: (home / 'ready').exists() or answers(1 << 30), 'the shell to be ready')
        for number, line in enumerate(lines, 1):
            os.write(leader, line.encode() + key + b'\x18p')
            harness.wait_for(lambda n=number: answers(n), f'completions of {line!r}: {bytes(shown)!r}')
        os.write(leader, b'exit\n')
        harness.wait_for(lambda: answers(1 << 30), 'the shell to end')
        os.close(leader)
    (home / 'ready').unlink()
    return said.read_bytes().decode().split('\0')[:-1]


def bash(home, lines):
    return on_a_terminal(['bash', '--norc', '--noprofile', '-i'], f'{BASH}\n: >ready\n', home, lines)


def zsh(home, lines, key=ALL):
    return on_a_terminal(['zsh', '-f', '-i'], f'{ZSH}\n: >ready\n', home, lines, key)


def fish(home, lines):
    """A list for each line: what it offers, without descriptions."""
    script = 'for line in $argv; complete --do-complete $line; printf "\\0"; end'
    done = subprocess.run(
        ['fish', '--no-config', '-C', f'set fish_complete_path {COMPLETIONS}', '-c', script, '--', *lines],
        cwd=home, env=environment(home), stdin=subprocess.DEVNULL, capture_output=True, timeout=harness.TIMEOUT, check=False)
    assert (done.returncode, done.stderr) == (0, b''), done
    return [[offer.split('\t')[0] for offer in said.split('\n') if offer] for said in done.stdout.decode().split('\0')[:-1]]
