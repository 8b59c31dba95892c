# SPDX-License-Identifier: Apache-2.0
"""The little that the scripts among the unit tests share: checks that are reported as TAP, and commands."""

import subprocess
import sys
import traceback


def run_checks(checks):
    """Calls each of the functions; one that raises has failed. Ends the program."""
    print(f'1..{len(checks)}')
    failed = 0
    for number, check in enumerate(checks, 1):
        try:
            check()
        except Exception:  # whatever it is, it is this check that has failed
            failed += 1
            for line in traceback.format_exc().splitlines():
                print(f'# {line}')
            print('not ', end='')
        print(f'ok {number} {check.__name__}', flush=True)
    sys.exit(failed > 0)


def output(command, **how):
    """The standard output of a command that must succeed and say nothing on standard error."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **how)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f'{command}: status {done.returncode}\n{done.stdout}{done.stderr}')
    return done.stdout


def same(got, expected):
    if got != expected:
        raise AssertionError(f'got      {got!r}\nexpected {expected!r}')
