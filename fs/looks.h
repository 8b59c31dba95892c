/* SPDX-License-Identifier: Apache-2.0 */
/*
 * looks: the nodes that are to be looked at, in the order in which they are due, and what is to be remembered
 * of each between two looks. It must not know what a look finds. For one thread.
 */
#pragma once

#include <glib.h>

#include "tree.h"

/* A node that is to be looked at, or was. Times are monotonic, in microseconds. */
typedef struct {
    SfsNode *node;         /* a reference */
    GSequenceIter *queued; /* NULL: not in the queue */
    gint64 due;
    gint64 last; /* when an announcement of it was asked for last, or came back */
    gint64 born; /* of a directory: when watchers heard that it came; 0: it was there before them */
    guint retries;
    gint64 pause;           /* until the next try for the CLOSE_WRITE that a lease holds up */
    gboolean written;       /* look at it as changed */
    gboolean touched;       /* that its mtime differs has a reason: it was set */
    gboolean unclosed;      /* MODIFY was announced, CLOSE_WRITE is owed */
    gboolean ghost;         /* is gone, was never announced, but somebody saw it */
    gboolean unclear;       /* what it is could not be said when it was looked at last */
    gboolean being_written; /* so was a list that it is made of, when it was looked at last */
    gboolean failed;        /* the log has been told that watchers will not be told of it */
} SfsLook;

typedef struct SfsLooks SfsLooks;

SfsLooks *sfs_looks_new(void);
void sfs_looks_free(SfsLooks *looks);

/* Of node, made if need be; it stays until it is forgotten. find: NULL if there is none. */
SfsLook *sfs_looks_get(SfsLooks *looks, SfsNode *node);
SfsLook *sfs_looks_find(SfsLooks *looks, const SfsNode *node);
void sfs_looks_forget(SfsLooks *looks, SfsLook *look);
guint sfs_looks_count(const SfsLooks *looks);

/* Queues it for due, or leaves it where it is if that is earlier. */
void sfs_looks_queue(SfsLooks *looks, SfsLook *look, gint64 due);
void sfs_looks_queue_unclear(SfsLooks *looks, gint64 due);

/* The one that is due first, NULL: the queue is empty; and what takes it out. */
SfsLook *sfs_looks_first(const SfsLooks *looks);
void sfs_looks_take(SfsLook *look);
