/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome: what became of a request to the announcer, and what follows. It is the outbox's other half, and
 * shares its struct, which is declared here for the two alone. It must not know how a request is made.
 */
#pragma once

#include "events/backlog.h"
#include "events/outbox.h"
#include "events/rechecks.h"

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
    void (*written)(void *data, SfsNode *node); /* NULL: nobody is to be told */
    void *written_data;
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

/* Sends one request about recheck; what is true of the node afterwards is now. */
void sfs_outbox_ask(SfsOutbox *outbox, Recheck *recheck, SfsAnnouncerOp op, const SfsState *now);

/* The request that was out has come back. */
void sfs_outcome_finish(SfsOutbox *outbox, int errnum);

/* Looks at the node now: what could not be told of it may be possible by now. */
void sfs_outcome_try_again(SfsOutbox *outbox, SfsNode *node);
