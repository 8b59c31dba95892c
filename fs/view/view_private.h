/* SPDX-License-Identifier: Apache-2.0 */
/* view_private: what a view consists of, for view's own files alone. */
#pragma once

#include "view/view.h"

struct SfsView {
    ShieldPolicy policy;
    gboolean allow_other;
    ShieldCatalog *catalog;
    SfsTree *tree;
    SfsStatus *status;       /* the session's */
    struct timespec started; /* the time of what has none of its own */
    SfsVouchFunc vouch;      /* NULL: nobody knows */
    void *vouch_data;
};
