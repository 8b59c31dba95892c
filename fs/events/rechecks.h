/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rechecks: the nodes that are to be compared with what was told of them, containers in turn, and those of
 * one in the order in which they are due; and what is to be remembered of each between two comparisons.
 * Those that are gone have every second turn at most. It must not know what one finds. For one thread.
 */
#pragma once

#include <glib.h>

#include "view/tree.h"

/* A node that is to be looked at, or was. Times are monotonic, in microseconds. */
typedef struct {
    SfsNode *node;         /* a reference */
    GSequenceIter *queued; /* NULL: not in the queue */
    gint64 due;
    gint64 last; /* when an announcement of it was asked for last, or came back */
    gint64 born; /* of a directory: when watchers heard that it came; 0: it was there before them */
    guint retries;
    gint64 rest;       /* after `last`, before it is announced again; 0: as short as may be */
    gint64 pause;      /* until the next try for what is held up: the CLOSE_WRITE by a lease, the end of a
                          directory by ghosts in it, an arrival by ghosts of its name */
    gboolean written;  /* look at it as changed */
    gboolean touched;  /* that its mtime differs has a reason: it was set */
    gboolean unclosed; /* MODIFY was announced, CLOSE_WRITE is owed */
    gboolean ghost;    /* is gone, was never announced, but somebody saw it; set by set_ghost */
    guint ghosts;      /* of a directory: so many in it are */
    gboolean unclear;  /* what it is could not be said when it was looked at last */
    gboolean stale;    /* what is known of it is from before it was marked */
    gboolean failed;   /* the log has been told that watchers will not be told of it */
    gboolean waits; /* for another that is to be told of before it, and is looked at again when it is due */
    gboolean out;   /* there is a request for it that has not been answered */
    gint64 since;   /* when it came into the queue */
    GList waiting;  /* in the order of that; data NULL: it is not in the queue */
    GList resting;  /* in the queue of those that have been taken; data NULL: it is not there */
} SfsRecheck;

typedef struct SfsRechecks SfsRechecks;

/* tree: of the nodes; outlives it. */
SfsRechecks *sfs_rechecks_new(SfsTree *tree);
void sfs_rechecks_free(SfsRechecks *rechecks);

/* Of node, made if need be; it stays until it is forgotten, or there is nothing to remember. find: NULL if
 * there is none. */
SfsRecheck *sfs_rechecks_get(SfsRechecks *rechecks, SfsNode *node);
SfsRecheck *sfs_rechecks_find(SfsRechecks *rechecks, const SfsNode *node);
void sfs_rechecks_forget(SfsRechecks *rechecks, SfsRecheck *recheck);
guint sfs_rechecks_count(const SfsRechecks *rechecks);

/* It is a ghost, or is none any more; and is there one of node's name in its directory? */
void sfs_rechecks_set_ghost(SfsRechecks *rechecks, SfsRecheck *recheck, gboolean ghost);
gboolean sfs_rechecks_has_ghost(const SfsRechecks *rechecks, SfsNode *node);
guint sfs_rechecks_count_ghosts(const SfsRechecks *rechecks);

/* How many are queued, and since when the oldest is; 0: none is. */
guint sfs_rechecks_waiting(const SfsRechecks *rechecks, gint64 *since);

/* Queues it for due, or leaves it where it is if that is earlier. */
void sfs_rechecks_queue(SfsRechecks *rechecks, SfsRecheck *recheck, gint64 due);

/* The nodes of those that are unclear; an array of SfsNode that owns references. */
GPtrArray *sfs_rechecks_unclear(const SfsRechecks *rechecks);

/* The one that is due first, and when; NULL: the queue is empty. And what takes it out: it is then another
 * container's turn. Whoever takes one has done with those before: what there is nothing to remember of since
 * a second is forgotten. */
SfsRecheck *sfs_rechecks_first(const SfsRechecks *rechecks, gint64 *due);
void sfs_rechecks_take(SfsRechecks *rechecks, SfsRecheck *recheck);
