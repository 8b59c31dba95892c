/* SPDX-License-Identifier: Apache-2.0 */
/*
 * looks: what a mark leads to: a look at what it names, a watch on what is new, a job for what has to be
 * read, and a place in the outbox for what may have to be announced. It reads no file, and lists no bundle.
 * It must not know when marks are worked off. For one thread, the watcher's.
 */
#pragma once

#include "events/marks.h"
#include "events/outbox.h"
#include "events/upkeep.h"
#include "events/watchlist.h"
#include "view/view.h"

/* What it points to is the caller's, but for unread and looked. */
typedef struct {
    SfsView *view;
    SfsOutbox *outbox;
    SfsMarks *marks;
    SfsWatchlist *watchlist;
    SfsUpkeep *upkeep;
    guint poll_sec;     /* between two comparisons of what makes no events */
    gint64 recheck_due; /* when the next is; monotonic time, 0: nothing is compared now and then */
    GPtrArray *unread;  /* of SfsNode: containers that were there at the start, and are to be watched yet */
    gint64 unread_due;  /* when some of them are at the latest; 0: there are none */
    GHashTable *looked; /* which places were looked at just now: their names in the view, and when */
    gint64 places_due;  /* when those are to be looked at that were marked again since; 0: none was */
    guint64 own;        /* so many marks the index has from here, since the others were taken */
    /* Since all bundles were looked for: */
    gboolean missed;   /* something could not be, for want of descriptors */
    gboolean complete; /* everything could be looked into */
} SfsLooks;

/* Finds the bundles before there is a mount: of what is there watchers know. As many as can be in a moment
 * are watched and listed; what is in them is not read. */
void sfs_looks_start(SfsLooks *looks);
void sfs_looks_clear(SfsLooks *looks);

/* Is something still to be found out of what was there at the start? */
gboolean sfs_looks_is_starting(const SfsLooks *looks);

/* Works off the marks that there are. Of a bundle with very many it leaves some for the next time, so that it
 * is in nobody's way; then *more is set. TRUE: there were any. */
gboolean sfs_looks_work_off(SfsLooks *looks, gboolean *more);

/* Queues what jobs have found out. TRUE: there may be something else to tell in the status file. If it was
 * put together anew, *status_took is set to the microseconds that took. */
gboolean sfs_looks_take_done(SfsLooks *looks, gint64 *status_took);
