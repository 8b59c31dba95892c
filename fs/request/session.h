/* SPDX-License-Identifier: Apache-2.0 */
/* session: what the handlers work on. It is the user data of libfuse's session. */
#pragma once

#include "events/outbox.h"
#include "events/watcher.h"
#include "request/counts.h"
#include "request/handle.h"
#include "view/view.h"

typedef struct SfsDeferred SfsDeferred;
typedef struct SfsPollers SfsPollers;

typedef struct {
    ShieldBudget *budget;
    SfsView *view;
    SfsStatus *status;
    SfsMetrics *metrics;
    SfsAnnouncerClient *announcer;
    struct fuse_session *fuse; /* NULL before it mounts */
    SfsOutbox *outbox;
    SfsWatcher *watcher;
    SfsDeferred *deferred;
    SfsHandles *handles;
    SfsQuota *raw_files; /* that are open */
    SfsQuota *listings;  /* bytes of those that open directories have */
    SfsQuota *texts;     /* bytes of open computed files */
    SfsQuota *polled;    /* open files, by others than who mounts: each is woken by each change */
    SfsPollers *pollers;
    SfsCounts counts; /* of requests */
} SfsSession;
