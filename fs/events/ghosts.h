/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ghosts: names that somebody was shown and that are gone, though watchers were never told of them: which of
 * them have to be told of, and how many wait at most. It must not know how that is done. For one thread, the
 * watcher's.
 */
#pragma once

#include "events/asking.h"

/* Forgets recheck if nobody can be waiting to hear of the end of its node. TRUE: it did. */
gboolean sfs_ghosts_forget(SfsOutbox *outbox, Recheck *recheck);
