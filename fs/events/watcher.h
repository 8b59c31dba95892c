/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watcher: finds out what changes below, and sees to it that it is announced. Its thread is the only one that
 * scans, adds watches and announces; other threads set marks and wake it. It must not know FUSE.
 *
 * Lock order: a bundle's lock, then the watch's, then the watchlist's, then the marks' or that of deferred.
 * The tree's is taken alone.
 */
#pragma once

#include <glib.h>

#include "events/outbox.h"
#include "events/watchlist.h"
#include "view/view.h"

typedef struct SfsWatcher SfsWatcher;

/* Watches everything and takes what is there for announced. poll_sec: seconds between two comparisons of what
 * makes no events. To be called before the mount. NULL if there is no inotify; said in the log. */
SfsWatcher *sfs_watcher_new(SfsView *view, SfsOutbox *outbox, guint poll_sec);
void sfs_watcher_free(SfsWatcher *watcher);

/* What to call, on the watcher's thread, when something may have changed. Before the thread is started. */
void sfs_watcher_set_wake(SfsWatcher *watcher, void (*wake)(void *data), void *data);

/* What to call, on any thread and under the watch's lock, when a list of a bundle has been written. Before
 * the thread is started. */
void sfs_watcher_set_written(SfsWatcher *watcher, SfsWrittenFunc func, void *data);

/* What to call, on any thread, when a job has found what there is to tell of a bundle. Before the thread is
 * started. */
void sfs_watcher_set_told(SfsWatcher *watcher, void (*told)(void *data), void *data);

/* Starts and ends the thread; FALSE with error: there is none to be had. */
gboolean sfs_watcher_start(SfsWatcher *watcher, GError **error);
void sfs_watcher_stop(SfsWatcher *watcher);

/* The rest may be called from any thread. */

/* Applies the events that are in the queue: what changed before this call is marked when it returns. A
 * ShieldPolicy's drain; data is the watcher. */
void sfs_watcher_drain(void *data);

/* Is the directory that is watched for the container still there, in whatever place? A watch ends with its
 * directory, and while it lasts no other can have the same inode number. FALSE too if that isn't known. */
gboolean sfs_watcher_vouch(SfsWatcher *watcher, const SfsContainer *container);

/* Compares everything anew. */
void sfs_watcher_refresh(SfsWatcher *watcher);

/* A request has found that watchers may not have been told of the node as it is. */
void sfs_watcher_recheck(SfsWatcher *watcher, SfsNode *node);

/* There is something new to wait for. */
void sfs_watcher_wake(SfsWatcher *watcher);

/* Appends a line for each directory whose changes make no event. */
void sfs_watcher_degraded(SfsWatcher *watcher, GPtrArray *lines);

/* What is watched, and what was and is to be announced. */
void sfs_watcher_tell(SfsWatcher *watcher, SfsOpenMetrics *out);
