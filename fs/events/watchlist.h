/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watchlist: which directories are watched, and what an event in each marks. It must not know what is done
 * about a mark.
 *
 * But for draining and asking, all is for one thread, the watcher's. Lock order: the watch's lock, then those
 * here.
 */
#pragma once

#include <glib.h>

#include "dirwatch.h"
#include "events/marking.h"
#include "view/openmetrics.h"
#include "view/view.h"

typedef struct SfsWatchlist SfsWatchlist;

/* NULL with errno. */
SfsWatchlist *sfs_watchlist_new(SfsView *view, SfsMarks *marks, guint poll_sec);
void sfs_watchlist_free(SfsWatchlist *list);

/* To be set before there is more than one thread. */
void sfs_watchlist_set_written(SfsWatchlist *list, SfsWrittenFunc func, void *data);

ShieldDirwatch *sfs_watchlist_queue(SfsWatchlist *list);

/* Marks whatever there is. Any thread. */
void sfs_watchlist_mark_everything(SfsWatchlist *list);

/* The same for a comparison now and then: of what is watched and of what is remote no list is read again for
 * that alone. For the watcher's thread. */
void sfs_watchlist_mark_unwatched(SfsWatchlist *list);

/* A scan of all that bundles are found by: watches what it comes by, and at the end forgets what it did not.
 * scan gets the function to call. */
void sfs_watchlist_begin_scan(SfsWatchlist *list, ShieldScan *scan);
void sfs_watchlist_end_scan(SfsWatchlist *list, const ShieldScan *scan);

/* A look at one place, as in a mark: watches, or forgets, the directory that bundles are found by there, if
 * it is one. */
void sfs_watchlist_visit_place(SfsWatchlist *list, guint source, const char *below);

/* Has one been watched, since this was asked last, that was not before? */
gboolean sfs_watchlist_take_placed(SfsWatchlist *list);

/* Is every directory watched that bundles are found by, and every way there? */
gboolean sfs_watchlist_is_exact(SfsWatchlist *list);

/* A descriptor that poll(2) says POLLPRI of when a mount has come or gone (-1: there is none); and what to do
 * then: everything is marked if the mount is on the way to a source, or over something in one. */
int sfs_watchlist_mounts(const SfsWatchlist *list);
void sfs_watchlist_look_at_mounts(SfsWatchlist *list);

/* Watches a bundle and its hooks. TRUE if one of them was not watched before: what is in there may be
 * anything. */
gboolean sfs_watchlist_add_bundle(SfsWatchlist *list, SfsContainer *container);
gboolean sfs_watchlist_know_bundle(SfsWatchlist *list, const SfsContainer *container);

/* Forgets the bundle called name unless it is container's; NULL: there is none of that name. */
void sfs_watchlist_retain_bundle(SfsWatchlist *list, const char *name, const SfsContainer *container);

/* Forgets every bundle that is none of these nodes' or that is not attached any more. */
void sfs_watchlist_retain_bundles(SfsWatchlist *list, GPtrArray *nodes);

/* Is there a directory that can't be watched? Each has a line in degraded. Any thread. */
gboolean sfs_watchlist_are_degraded(SfsWatchlist *list);
void sfs_watchlist_degraded(SfsWatchlist *list, GPtrArray *lines);

/* How many directories are watched, and how many can't be. Any thread. */
void sfs_watchlist_tell(SfsWatchlist *list, SfsOpenMetrics *out);
