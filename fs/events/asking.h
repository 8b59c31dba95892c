/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asking: what the outbox and its outcome share: the queue of rechecks, and the one request to the announcer
 * that is out. It must not know why something is asked for, nor what follows from the answer. For one thread,
 * the watcher's.
 */
#pragma once

#include "counter.h"
#include "events/announcer_client.h"
#include "events/backlog.h"
#include "events/rechecks.h"
#include "view/view.h"

typedef struct SfsOutbox SfsOutbox;

#define SFS_NEW_DIRECTORY_USEC (50 * 1000) /* between a directory's and its files': time to add a watch */
#define SFS_RETRY_USEC (50 * 1000)

typedef SfsRecheck Recheck;

struct SfsOutbox {
    SfsView *view;
    SfsAnnouncerClient *client;
    SfsRechecks *rechecks;
    Recheck *out;      /* what the request that is out is about; NULL: none is */
    SfsAnnouncerOp op; /* what it asks for */
    SfsState telling;  /* what is true of the node once it is done */
    SfsBacklog *backlog;
    void (*overdue)(void *data, pid_t pid);
    void *overdue_data;
    void (*cold)(void *data, SfsNode *node); /* NULL: there is nobody to ask */
    void *cold_data;
    gboolean crowded; /* since the queue was empty, ghosts were left out */
    /* For any thread. */
    ShieldCounter announced[SFS_N_ANNOUNCER_OPS], failed, joined, untold;
    ShieldCounter length,
        oldest; /* of the queue, with what is out; since when the oldest is in it; 0: none */
};

static inline Recheck *recheck_of(SfsOutbox *outbox, SfsNode *node)
{
    return sfs_rechecks_get(outbox->rechecks, node);
}

static inline void queue(SfsOutbox *outbox, Recheck *recheck, gint64 due)
{
    sfs_rechecks_queue(outbox->rechecks, recheck, due);
}

/* Nothing is to be remembered of the node any more. */
static inline void forget_recheck(SfsOutbox *outbox, Recheck *recheck)
{
    sfs_backlog_remove(outbox->backlog, recheck->node);
    sfs_rechecks_forget(outbox->rechecks, recheck);
}

/* Asks the announcer for one operation on recheck's node; what is true of the node afterwards is now. */
void sfs_asking_ask(SfsOutbox *outbox, Recheck *recheck, SfsAnnouncerOp op, const SfsState *now);

/* Queues what is in the directory, for delay microseconds from now. */
void sfs_asking_recheck_children(SfsOutbox *outbox, SfsNode *directory, gint64 delay);
