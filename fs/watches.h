/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watches: which directories are watched, and what an event in each marks. It must not know what is done
 * about a mark.
 *
 * But for draining and asking, all is for one thread, the watcher's. Lock order: the watch's lock, then those
 * here.
 */
#pragma once

#include <glib.h>

#include "marks.h"
#include "view.h"
#include "watch.h"

typedef struct SfsWatches SfsWatches;

/* NULL with errno. */
SfsWatches *sfs_watches_new(SfsView *view, SfsMarks *marks);
void sfs_watches_free(SfsWatches *watches);

/* What to call when a list of a bundle has been written, on the thread that drains; to be set before there is
 * more than one. */
typedef void (*SfsWrittenFunc)(void *data, const SfsContainer *container);
void sfs_watches_set_written(SfsWatches *watches, SfsWrittenFunc func, void *data);

ShieldWatch *sfs_watches_queue(SfsWatches *watches);

/* Marks whatever there is. Any thread. */
void sfs_watches_mark_everything(SfsWatches *watches);

/* The same for a comparison now and then: of what is watched and of what is remote no list is read again for
 * that alone. For the watcher's thread. */
void sfs_watches_mark_unwatched(SfsWatches *watches);

/* A scan of all that bundles are found by: watches what it comes by, and at the end forgets what it did not.
 * scan gets the function to call. */
void sfs_watches_begin_scan(SfsWatches *watches, ShieldScan *scan);
void sfs_watches_end_scan(SfsWatches *watches, const ShieldScan *scan);

/* What has been found to be watched or not is complete: from here on degraded tells of it. */
void sfs_watches_publish(SfsWatches *watches);

/* A descriptor that poll(2) says POLLPRI of when a mount has come or gone (-1: there is none); and what to do
 * then: everything is marked if the mount is on the way to a source, or over something in one. */
int sfs_watches_mounts(const SfsWatches *watches);
void sfs_watches_look_at_mounts(SfsWatches *watches);

/* Watches a bundle and its hooks. TRUE if one of them was not watched before: what is in there may be
 * anything. */
gboolean sfs_watches_add_bundle(SfsWatches *watches, SfsContainer *container);
gboolean sfs_watches_know_bundle(SfsWatches *watches, SfsContainer *container);

/* Forgets every bundle that is none of these nodes' or that is not attached any more. */
void sfs_watches_retain_bundles(SfsWatches *watches, GPtrArray *nodes);

/* Is there a directory that can't be watched? Each has a line in degraded. Any thread. */
gboolean sfs_watches_are_degraded(SfsWatches *watches);
void sfs_watches_degraded(SfsWatches *watches, GPtrArray *lines);
