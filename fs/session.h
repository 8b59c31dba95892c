/* SPDX-License-Identifier: Apache-2.0 */
/* session: what the handlers work on. It is the user data of libfuse's session. */
#pragma once

#include "handle.h"
#include "outbox.h"
#include "view.h"
#include "watcher.h"

typedef struct SfsDeferred SfsDeferred;
typedef struct SfsPollers SfsPollers;

typedef struct {
    SfsView *view;
    SfsOutbox *outbox;
    SfsWatcher *watcher;
    SfsDeferred *deferred;
    SfsHandles *handles;
    SfsPollers *pollers;
} SfsSession;
