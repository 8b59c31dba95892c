# SPDX-License-Identifier: Apache-2.0
"""What a mount counts, in .shieldfs/metrics; and what waits by that count while the announcer stands still."""

import contextlib
import functools
import os
import signal

import bundles
import harness
import watching
from harness import wait_for
from prometheus_client.openmetrics.parser import text_string_to_metric_families


def text_of(m):
    return (m.mnt / '.shieldfs/metrics').read_text(encoding='ascii')


def parse(text):
    """{(sample, {label: value} as a sorted tuple): number}, by Prometheus' own parser of the format, which is strict."""
    samples = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith('shieldfs_') and family.documentation.endswith('.'), family
        for sample in family.samples:
            key = (sample.name.removeprefix('shieldfs_'), *sorted(sample.labels.items()))
            assert key not in samples
            samples[key] = sample.value
    return samples


class Counted:
    """The samples of a mount, as they are when they are asked for."""

    def __init__(self, m):
        self.m = m

    def __call__(self, name, **labels):
        return parse(text_of(self.m))[(name, *sorted(labels.items()))]

    def requests(self, kind):
        return self('request_duration_seconds_count', request=kind)


@contextlib.contextmanager
def busy_announcer(m, file):
    """It is stopped, and there is a request that it does not answer, as FILE has grown."""
    counted = Counted(m)
    pid = watching.announcer(m)
    harness.stop(pid)
    try:
        bundles.append(file, '{}\n')
        wait_for(lambda: counted('queue_length') > 0, 'a request that is not answered')
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def undisturbed(test):
    """TEST stops the announcer for a shorter time than one has to answer; if another came meanwhile, it is run again."""
    @functools.wraps(test)
    def run(m, **others):
        for _ in range(20):
            pid = watching.announcer(m)
            try:
                test(m, **others)
            except AssertionError:
                if watching.announcer(m) == pid:
                    raise
            if watching.announcer(m) == pid:
                return
            m.patterns[r'.*/mnt: the announcer .*'] = 0
            wait_for(lambda: Counted(m)('queue_length') == 0, 'all to be announced')
        raise AssertionError('too slow a machine')
    return run
