/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attributes: what stat shows of a node, and its state as announcements compare it. It must not know FUSE,
 * nor what is done with either.
 */
#pragma once

#include "view/view.h"

/* Attributes as the view shows them; an errno. */
int sfs_attributes_get(SfsView *view, SfsNode *node, struct stat *st);

/* The same, but of what is computed size and time are as they were last: nothing is read or computed. */
int sfs_attributes_at_once(SfsView *view, SfsNode *node, struct stat *st);

/* The same for a computed file if nothing has to be read or computed for it; else FALSE. */
gboolean sfs_attributes_warm(SfsView *view, SfsNode *node, struct stat *st, int *errnum);

/* What there is to tell of a node now. */
typedef enum {
    SFS_GONE,
    SFS_UNCLEAR, /* there, but what it is can't be said before something changes */
    SFS_FAILED,  /* it can't be said at this moment, for want of descriptors or the like */
    SFS_CLEAR,
} SfsFinding;
SfsFinding sfs_attributes_current_state(SfsView *view, SfsNode *node, SfsState *now);
