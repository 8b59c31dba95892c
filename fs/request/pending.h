/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pending: one request that is pending, and the ways to answer it. It must not know whose turn it
 * is, nor until when it may wait.
 */
#pragma once

#include "request/reply.h"
#include "view/attributes.h"
#include "view/contents.h"

typedef enum {
    SFS_PENDING_OPEN,
    SFS_PENDING_READ,
    SFS_PENDING_GETATTR,
    SFS_PENDING_POLL,
    SFS_N_PENDING
} SfsPendingKind;

typedef struct {
    GList link; /* in the queue that holds it */
    SfsPendingKind kind;
    SfsRequest r;
    SfsNode *node;            /* a reference */
    struct fuse_file_info fi; /* of an OPEN */
    SfsFileHandle *handle;    /* of a READ from the start, which may renew what it has, or a POLL */
    gsize size;               /* of the READ */
    ShieldRetry retry;
    guint64 asked;   /* of the status file: what it waits for, see findings.h */
    gboolean ready;  /* and that was there when it was tried */
    gboolean pinned; /* by a fault: not answered before its time is up */
    gboolean tried;  /* the try that goes on began after he came */
} SfsPending;

/* What a try has found for a node. */
typedef struct {
    SfsNode *node;
    SfsContent content;
    GError *error;
    guint64 serial; /* of what was complete last; 0: nothing was */
    int errnum;     /* of the attributes */
    SfsSight sight;
} SfsFound;

void sfs_found_clear(SfsFound *found);

/* Takes the reference to the node that is in init. */
SfsPending *sfs_pending_new(SfsPending init);

/* Is what the handle of a READ or a POLL has another than the one with this serial? */
gboolean sfs_pending_is_old(const SfsPending *pending, guint64 serial);

/* Each answers pending and frees it. */
void sfs_pending_answer_found(SfsPending *pending, const SfsFound *found);
void sfs_pending_interrupt(SfsPending *pending); /* with EINTR */
