/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upkeep: sees to it that what is known of a bundle is as it is on disk. A job computes its files anew, takes
 * its names into the tree if that is asked for, and finds what there is to tell of it in the status file.
 * What was done comes back to the thread that announces, which itself reads nothing. It must not know what
 * becomes of it there.
 */
#pragma once

#include "view/jobs.h"
#include "view/view.h"

typedef struct SfsUpkeep SfsUpkeep;

/* What a job has done. */
typedef struct {
    SfsContainer *container; /* a reference; NULL: the status file was put together */
    gint64 took;             /* microseconds: that */
    guint rows;              /* these computed files are as they are by now: a bit each, as in the table */
    gboolean listed;         /* and so are the names in it */
    gboolean missed;         /* not all of them, for want of descriptors or the like */
    gboolean assumed;        /* all in it is as watchers know it */
    gboolean told;           /* there may be something else to tell in the status file */
} SfsUpkept;

/* The jobs of SFS_JOB_UPKEEP and SFS_JOB_LATER are its from now on. */
SfsUpkeep *sfs_upkeep_new(SfsView *view);
void sfs_upkeep_free(SfsUpkeep *upkeep);

/* Before the jobs are started. What to call on their threads: done, when there is something to take; written,
 * when a list of the computed file row was being written and is not any more, though no event may have told
 * of its writer's end. */
typedef struct {
    void (*done)(void *data);
    void (*written)(void *data, SfsContainer *container, const ShieldComputed *row);
    void *data;
} SfsUpkeepCalls;
void sfs_upkeep_set_calls(SfsUpkeep *upkeep, const SfsUpkeepCalls *calls);

/* The rest: any thread. What is asked for is done by a job that begins after that. */

/* Brings these computed files up to date. */
void sfs_upkeep_rows(SfsUpkeep *upkeep, SfsContainer *container, guint rows);
guint sfs_upkeep_row(const ShieldComputed *row); /* its bit */

/* Puts the status file together of what is known; what is not known any more, other jobs look into. */
void sfs_upkeep_status(SfsUpkeep *upkeep);

/* Whatever is in the bundle. later: nobody waits for that. */
void sfs_upkeep_list(SfsUpkeep *upkeep, SfsContainer *container, gboolean later);

/* What has been done since the last call: an array of SfsUpkept that owns them. */
GPtrArray *sfs_upkeep_take(SfsUpkeep *upkeep);

/* So many bundles are to be listed, or are being. */
guint sfs_upkeep_count_lists(SfsUpkeep *upkeep);

/* Has all been listed that was to be, and taken? */
gboolean sfs_upkeep_has_listed_all(SfsUpkeep *upkeep);

/* Is nothing to be done, and nothing to be taken? */
gboolean sfs_upkeep_is_idle(SfsUpkeep *upkeep);
