/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backlog: the nodes whose changes can't be announced at present, why, and when to try one again. It must not
 * know how anything is announced.
 *
 * The watcher's thread alone changes it; what it says for the status file is for any thread. Its lock is a
 * leaf.
 */
#pragma once

#include <glib.h>

#include "view/tree.h"

typedef struct SfsBacklog SfsBacklog;

/* mountpoint: for a person to read; copied. */
SfsBacklog *sfs_backlog_new(const char *mountpoint);
void sfs_backlog_free(SfsBacklog *backlog);

/* Announcing node has failed with errnum (for the first time: TRUE). */
gboolean sfs_backlog_add(SfsBacklog *backlog, SfsNode *node, int errnum);

/* There is nothing left to announce of node. */
void sfs_backlog_remove(SfsBacklog *backlog, SfsNode *node);

gboolean sfs_backlog_holds(SfsBacklog *backlog, SfsNode *node);

/* Something was announced. TRUE if nothing could be before: then all that is in here is worth another try. */
gboolean sfs_backlog_works(SfsBacklog *backlog);

/* When the next try is due (monotonic time, microseconds), 0: there is nothing to try. */
gint64 sfs_backlog_due(SfsBacklog *backlog);

/* The node to try now: each in its turn, after growing pauses; a new reference. Only if one is due. */
SfsNode *sfs_backlog_next(SfsBacklog *backlog);

/* All nodes: an array that owns references. */
GPtrArray *sfs_backlog_nodes(SfsBacklog *backlog);

/* Has nothing been announced since the first of these failed? */
gboolean sfs_backlog_is_stuck(SfsBacklog *backlog);

/* Counts the changes of what sfs_backlog_lines says. */
guint64 sfs_backlog_serial(SfsBacklog *backlog);

/* What errnum says of an announcement, in words; not to be freed. */
const char *sfs_backlog_reason(int errnum);

/* Appends a line for the mount, if nothing can be announced, else one for each node. */
void sfs_backlog_lines(SfsBacklog *backlog, GPtrArray *lines);
