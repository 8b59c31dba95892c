/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox: brings the tree as announced up to the tree as it is, one operation of the announcer at a time.
 * It keeps a queue of nodes to look at, each at most once, so that it is bounded by the tree; at its head the
 * two states are compared, and if they differ one request goes out. It must not know how changes are found
 * out.
 *
 * All is for one thread, the watcher's; what other threads may do is in announcer_client.h.
 */
#pragma once

#include <glib.h>

#include "events/announcer_client.h"
#include "view/openmetrics.h"
#include "view/view.h"

typedef struct SfsOutbox SfsOutbox;

/* announcer: the session's, which outlives it. mountpoint: for a person to read. */
SfsOutbox *sfs_outbox_new(SfsView *view, SfsAnnouncerClient *announcer, const char *mountpoint);
void sfs_outbox_free(SfsOutbox *outbox);

/* Whom to ask to compute what a computed file, node, holds. When that is done, it is found. */
void sfs_outbox_set_cold(SfsOutbox *outbox, void (*cold)(void *data, SfsNode *node), void *data);

/* To wait on for an answer of the announcer, or -1. */
int sfs_outbox_socket(SfsOutbox *outbox);

/* Whom to tell, on the watcher's thread, of the pid of an announcer that has not answered for some seconds:
 * once for each request. Before the thread is started. */
void sfs_outbox_set_overdue(SfsOutbox *outbox, void (*overdue)(void *data, pid_t pid), void *data);

/* What the status file says, for any thread: "ok", "restarting", "stuck" or "stopped"; and lines on what
 * can't be announced at present (lines may be NULL), with the number of their changes so far. */
const char *sfs_outbox_state(SfsOutbox *outbox);
guint64 sfs_outbox_degraded(SfsOutbox *outbox, GPtrArray *lines);

/* Takes the node as it is for announced: before the mount is there, nobody can have missed anything. */
void sfs_outbox_assume(SfsOutbox *outbox, SfsNode *node);

/* Recheck at the node soon. written: its content was written, whatever its stamp says. */
void sfs_outbox_recheck(SfsOutbox *outbox, SfsNode *node, gboolean written);

/* The same; its times may have been set, which is no change of its content. */
void sfs_outbox_recheck_times(SfsOutbox *outbox, SfsNode *node);

/* A computed file was computed: as it was when that was asked for, or later. */
void sfs_outbox_found(SfsOutbox *outbox, SfsNode *node);

void sfs_outbox_recheck_children(SfsOutbox *outbox, SfsNode *directory, gint64 delay); /* microseconds */
void sfs_outbox_recheck_ghosts(SfsOutbox *outbox);

/* What could not be told from another when it was looked at last may have become clear. */
void sfs_outbox_recheck_unclear(SfsOutbox *outbox);

/* Compares and asks until nothing is due or a request is out, or for long enough. Returns the monotonic time,
 * in microseconds, when there is more to do, or -1: never. */
gint64 sfs_outbox_work(SfsOutbox *outbox);

/* Is there nothing to look at, and no request out? */
gboolean sfs_outbox_is_idle(SfsOutbox *outbox);

/* How many nodes there is something to remember of. */
guint sfs_outbox_count(SfsOutbox *outbox);

/* What was announced, and what is to be. joined: so many changes found before they came here that another had
 * come of which they are a part. Any thread. */
void sfs_outbox_tell(SfsOutbox *outbox, guint64 joined, SfsOpenMetrics *out);

/* There may be an answer, or its announcer may be gone. */
void sfs_outbox_answered(SfsOutbox *outbox);
