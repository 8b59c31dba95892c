/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ours: which mount of all is our own, and how it is taken away. It must not know when.
 */
#pragma once

#include <sys/types.h>

#include "events/mountinfo.h"

typedef struct {
    const char *mountpoint; /* the caller's */
    int before;             /* the id of what was mounted there before us; -1: nothing */
    dev_t dev;              /* of our mount, for as long as the server has it; 0: not seen yet */
    char *device;           /* as the mount table shows it; NULL: likewise */
} SfsOurs;

/* To be called before ours is there. */
SfsOurs sfs_ours_begin(const char *mountpoint);

/* Our mount, by its device, wherever it was moved to; NULL: it isn't there. Before its device is known, a
 * mount that has come to our place since the start counts as ours. */
SfsMount *sfs_ours_find(const SfsOurs *ours);

/* It is there: by what it is known from now on. */
void sfs_ours_note(SfsOurs *ours);

/* Takes our mount away if it is there. One that somebody has put over it is not ours to take. What can't be
 * done is said when it is the last time that it is tried. */
void sfs_ours_unmount(const SfsOurs *ours, gboolean last);

/* The same when the server is gone. If our mount had been taken away before, the kernel may have given its
 * number and device to somebody else's. That one has another source or is alive, so only a dead mount of ours
 * is taken away. It is not known any more then. */
void sfs_ours_clear(SfsOurs *ours);
