#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark: run.sh builds what it needs and starts it; README.md says what it measures."""

import argparse
import contextlib
import datetime
import os
import pathlib
import platform
import shlex
import signal
import subprocess
import sys
import traceback

from stage import Stage, scratch
import figures_events
import figures_requests
import figures_size
import harness
import report
from chart import chart

HERE = os.path.dirname(os.path.abspath(__file__))

# name: title, function, whether for each number of containers (else once, with the fewest)
FIGURES = {
    'warm-read': ('A warm read', figures_requests.warm_read, True),
    'readers': ('Eight readers at once', figures_requests.readers, True),
    'listing': ('Listing and reading all', figures_requests.listing, True),
    'system-calls': ('What a warm cat costs the server', figures_requests.system_calls, False),
    'status': ('The status file', figures_requests.status, True),
    'events': ('How soon a change is announced', figures_events.events, True),
    'new-container': ('How soon a new container is announced', figures_events.new_container, True),
    'changes': ('What changes cost', figures_events.changes, True),
    'busy-file': ('A file that keeps changing', figures_events.busy_file, False),
    'start': ('The start', figures_size.start, True),
    'memory': ('Memory', figures_size.memory, True),
    'computing': ('Very long lists', figures_size.computing, False),
}


class Bench:
    """What the figures share."""

    def __init__(self, quick):
        self.quick, self.batches, self.first = quick, 3 if quick else 7, {}
        self.rows, self.failures = {name: [] for name in FIGURES}, []

    def smallest(self, key, count, value):
        """(COUNT, VALUE) of the first call with KEY, which is the one with the fewest containers."""
        return self.first.setdefault(key, (count, value))

    def run(self, name, stage):
        for row in FIGURES[name][1](self, stage):
            self.rows[name].append(row)

    def failed(self, name, count, error):
        at = [f for f in traceback.extract_tb(error.__traceback__) if os.path.abspath(f.filename).startswith(HERE)][-1]
        self.failures.append(f'{name}, {count} containers: {str(error) or type(error).__name__} '
                             f'({os.path.basename(at.filename)}:{at.lineno})')
        print(f'bench: {self.failures[-1]}', file=sys.stderr)

    def run_all(self, base, build, counts, names):
        for i, count in enumerate(counts):
            stage = None
            with contextlib.ExitStack() as up:
                for name in (n for n in names if FIGURES[n][2] or i == 0):
                    print(f'bench: {count} containers: {name}', file=sys.stderr)
                    try:
                        if stage is None:
                            stage = Stage(base / f'{count}-{name}', build, count)
                            up.callback(stage.close)
                        self.run(name, stage)
                    except Exception as error:  # that one can't be measured is no reason to miss the others
                        self.failed(name, count, error)
                        up.close()  # what it has left behind is not trusted
                        stage = None


def arguments():
    parser = argparse.ArgumentParser(prog='bench.py')
    parser.add_argument('--builddir', type=pathlib.Path, required=True)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--containers')
    parser.add_argument('--only', action='append', choices=[*FIGURES, 'help'])
    parser.add_argument('--output', type=pathlib.Path)
    args = parser.parse_args()
    if args.only and 'help' in args.only:
        for name, (title, *_) in FIGURES.items():
            print(f'{name:<15}{title}')
        sys.exit(0)
    try:
        words = args.containers.split(',') if args.containers else ['10', '100'] + ['1000', '10000'] * (not args.quick)
        args.counts = sorted({int(word) for word in words})
    except ValueError:
        parser.error('--containers takes numbers with commas between them')
    if args.counts[0] < 8:
        parser.error('--containers: 8 at least, one for each reader')
    return args


def header(args, build):
    versions = subprocess.run([build / 'fs/shieldfs', '-V'], capture_output=True, text=True, check=True).stdout
    load = os.getloadavg()[0]
    again = ['tests/bench/run.sh', *(['--quick'] if args.quick else []),
             *(['--containers', args.containers] if args.containers else []),
             *(word for name in args.only or [] for word in ('--only', name))]
    return [('date', datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC')),
            ('machine', f'{len(os.sched_getaffinity(0))} processors, {platform.machine()}, '
                        f'Linux {platform.release()}, load at the start {load:.2f}'),
            ('versions', ', '.join(versions.split('\n')).strip(', ')),
            ('state', 'in memory' if os.access('/dev/shm', os.W_OK) else 'on disk'),
            ('repeat', shlex.join(again))]


def main():
    args = arguments()
    build = args.builddir.resolve()
    output = (args.output or build).resolve()
    output.mkdir(parents=True, exist_ok=True)
    facts = header(args, build)
    print(*(f'{word}: {text}' for word, text in facts), sep='\n', flush=True)
    if os.geteuid() == 0:
        harness.private_namespace()
    names = [name for name in FIGURES if not args.only or name in args.only]
    bench = Bench(args.quick)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with scratch() as base:
            bench.run_all(base, build, args.counts, names)
    except KeyboardInterrupt:
        bench.failures.append('the rest: interrupted')

    sections = [(name, FIGURES[name][0], bench.rows[name]) for name in names if bench.rows[name]]
    for name, title, rows in sections:
        print(f'\n{title} ({name})\n{report.table(rows)}')
    (output / 'bench.md').write_text(report.markdown(facts, sections, bench.failures), encoding='utf-8')
    (output / 'bench.svg').write_text(chart([row for *_, rows in sections for row in rows]), encoding='utf-8')
    print(f'\nwritten: {output / "bench.md"} and bench.svg')
    for failure in bench.failures:
        print(f'bench: not measured: {failure}', file=sys.stderr)
    return 1 if bench.failures or not sections else 0


if __name__ == '__main__':
    sys.exit(main())
