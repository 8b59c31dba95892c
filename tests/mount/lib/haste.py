# SPDX-License-Identifier: Apache-2.0
"""Bundles that are made and removed without a pause, with all that they lie in or a part of it, by somebody who
reads what they are each time."""

import os

import bundles

# What is removed, in the directory that the source `state` lies in.
REMOVED = ('.', 'state', 'state/containers', 'state/containers/c',
           'state/tasks', 'state/tasks/p', 'state/tasks/p/1', 'state/tasks/p/1/shield')


def make(base, removed, i=0):
    """What is shown of it."""
    name, place = ('p.1', 'tasks/p/1/shield') if 'tasks' in removed else ('c', 'containers/c')
    bundles.bundle(base / 'state' / place, live=[f'1.1.1.{i}'])
    return name


def make_and_remove(mount, base, removed, rounds):
    """MOUNT shows BASE/state."""
    for i in range(rounds):
        name = make(base, removed, i)
        assert (mount.mnt / name / 'effective').read_text() == f'1.1.1.{i}\n'
        bundles.remove(base / removed)
        if i % 3 == 0:  # to list is to look for all there is; that must not be what it takes
            assert os.listdir(mount.mnt) == ['.shieldfs']
        elif i % 3 == 1:
            assert not (mount.mnt / name).exists()
