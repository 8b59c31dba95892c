/* SPDX-License-Identifier: Apache-2.0 */
/* session: what the handlers work on. It is the user data of libfuse's session. */
#pragma once

#include "announce.h"
#include "handle.h"
#include "view.h"
#include "watcher.h"

typedef struct SfsDeferred SfsDeferred;
typedef struct SfsPolls SfsPolls;

typedef struct {
    SfsView *view;
    SfsAnnounce *announce;
    SfsWatcher *watcher;
    SfsDeferred *deferred;
    SfsHandles *handles;
    SfsPolls *polls;
} SfsSession;
