/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counts: how many requests of each kind have been answered, and how long each took. It must not know what
 * any of them is about.
 */
#pragma once

#include "view/openmetrics.h"

/* The kinds that are told apart. */
typedef enum {
    SFS_OP_LOOKUP,
    SFS_OP_FORGET,
    SFS_OP_GETATTR,
    SFS_OP_ACCESS,
    SFS_OP_OPEN,
    SFS_OP_READ,
    SFS_OP_POLL,
    SFS_OP_RELEASE,
    SFS_OP_OPENDIR,
    SFS_OP_READDIR,
    SFS_OP_RELEASEDIR,
    SFS_OP_STATFS,
    SFS_OP_CHANGE, /* all that would change something: the announcer's, and what is refused */
    SFS_N_OPS
} SfsOp;

typedef struct {
    SfsHistogram times[SFS_N_OPS];
} SfsCounts;

/* Answered after so many microseconds. Any thread. */
void sfs_counts_add(SfsCounts *counts, SfsOp op, gint64 usec);

void sfs_counts_tell(SfsCounts *counts, SfsOpenMetrics *out);
