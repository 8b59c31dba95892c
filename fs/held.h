/* SPDX-License-Identifier: Apache-2.0 */
/*
 * held: one request that is held, and the ways to answer it. It must not know who holds it, nor until when.
 */
#pragma once

#include "contents.h"
#include "reply.h"

typedef enum { SFS_HELD_OPEN, SFS_HELD_READ, SFS_HELD_GETATTR } SfsHeldKind;

typedef struct {
    GList link; /* in the queue that holds it */
    SfsHeldKind kind;
    SfsRequest r;
    SfsNode *node;            /* a reference */
    struct fuse_file_info fi; /* of an OPEN */
    SfsFileHandle *handle;    /* of a READ from the start */
    gsize size;               /* of the READ */
    ShieldRetry retry;
    gboolean pinned; /* by a fault: not answered before its time is up */
    gboolean tried;  /* the try that goes on began after he came */
} SfsHeld;

/* What a try has found for a node. */
typedef struct {
    SfsNode *node;
    SfsContent content;
    GError *error;
    int errnum; /* of the attributes */
    struct stat st;
} SfsFound;

/* Takes the reference to the node that is in init. */
SfsHeld *sfs_held_new(SfsHeld init);

/* Each answers held and frees it. */
void sfs_held_answer(SfsHeld *held, SfsContent content); /* takes the text */
void sfs_held_answer_error(SfsHeld *held, const GError *error, guint64 serial);
void sfs_held_answer_attributes(SfsHeld *held, int errnum, const struct stat *st);
void sfs_held_answer_found(SfsHeld *held, const SfsFound *found);
void sfs_held_interrupt(SfsHeld *held); /* with EINTR */
