/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs: the threads that read and compute. They work for one bundle at a time, bundles in turn: however long
 * one takes, the others wait for a few jobs at most; and nothing is done twice at once for one bundle. What
 * there is to do for it comes in kinds, each of which belongs to a part above. It must not know what any of
 * them does.
 */
#pragma once

#include <glib.h>

#include "view/openmetrics.h"
#include "view/view.h"

/* In the order in which they are done when all are due. */
typedef enum {
    SFS_JOB_REQUESTS, /* answers those who wait for the bundle */
    SFS_JOB_UPKEEP,   /* brings what is kept of it up to date */
    SFS_JOB_LATER,    /* the same, but what nobody waits for: mostly when there is nothing else to do */
    SFS_N_JOBS
} SfsJobKind;

/* container: NULL for what concerns the whole view. */
typedef void (*SfsJobFunc)(void *data, SfsContainer *container);

SfsJobs *sfs_jobs_new(void);
void sfs_jobs_free(SfsJobs *jobs); /* after sfs_jobs_stop, if it was started */

/* Who does the jobs of this kind; before the start. */
void sfs_jobs_set(SfsJobs *jobs, SfsJobKind kind, SfsJobFunc func, void *data);

/* FALSE with error: there is no thread to be had; those that are there end with sfs_jobs_stop. */
gboolean sfs_jobs_start(SfsJobs *jobs, GError **error);

/* Waits for the jobs that go on; no other is begun any more. */
void sfs_jobs_stop(SfsJobs *jobs);

/* One job of this kind for the container, at due (monotonic time, microseconds) or before, if one is queued
 * already. While one goes on: another one after it. Any thread; its lock is a leaf. */
void sfs_jobs_queue(SfsJobs *jobs, SfsContainer *container, SfsJobKind kind, gint64 due);

/* What there is to do, and how long what was done took. Any thread. */
void sfs_jobs_tell(SfsJobs *jobs, SfsOpenMetrics *out);
