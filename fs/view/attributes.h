/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attributes: what stat shows of a node, and its state as announcements compare it. It must not know FUSE,
 * nor what is done with either.
 */
#pragma once

#include "view/sight.h"
#include "view/view.h"

/* Attributes as the view shows them; an errno. */
int sfs_attributes_get(SfsView *view, SfsNode *node, SfsSight *sight);

/* The same, but of what is computed size and time are as they were last: nothing is read or computed. */
int sfs_attributes_at_once(SfsView *view, SfsNode *node, SfsSight *sight);

/* The same if nothing has to be read or computed for it; else FALSE. */
gboolean sfs_attributes_warm(SfsView *view, SfsNode *node, SfsSight *sight, int *errnum);

/* What there is to tell of a node now. */
typedef enum {
    SFS_GONE,
    SFS_UNCLEAR, /* there, but what it is can't be said before something changes */
    SFS_FAILED,  /* it can't be said at this moment, for want of descriptors or the like */
    SFS_COLD,    /* a computed file, or the status file, that never was put together */
    SFS_CLEAR,
} SfsFinding;

/* A computed file, and the status file, is as it was found to be last: nothing is read or computed for this.
 */
SfsFinding sfs_attributes_current_state(SfsView *view, SfsNode *node, SfsState *now);

/* The same of a computed file that was computed just now, of lists that were read whole: their modes are
 * those of then. */
SfsFinding sfs_attributes_just_computed(SfsView *view, SfsNode *node, SfsState *now);

/* Has what is behind a file, which is as it is now, changed since the view was made? Goes by times. */
gboolean sfs_attributes_changed_since_start(SfsView *view, SfsNode *node, const SfsState *now);
