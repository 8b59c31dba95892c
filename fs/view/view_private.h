/* SPDX-License-Identifier: Apache-2.0 */
/* view_private: what a view consists of, for view's own files alone. */
#pragma once

#include "view/view.h"

#define SFS_META_NAME ".shieldfs"

struct SfsView {
    ShieldPolicy policy;
    gboolean allow_other;
    ShieldCatalog *catalog;
    SfsTree *tree;
    SfsStatus *status;       /* the session's */
    struct timespec started; /* the time of what has none of its own */
    SfsIndex *index;
    GMutex lock;        /* protects the next two; held while the tree is asked */
    GPtrArray *listing; /* of the root, of SfsEntry; NULL: none was asked for */
    guint64 listed;     /* the tree's count of changes when it was taken */
    SfsVouchFunc vouch; /* NULL: nobody knows */
    void *vouch_data;
    void (*kept)(void *data); /* NULL: nobody is told */
    void *kept_data;
};
