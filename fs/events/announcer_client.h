/* SPDX-License-Identifier: Apache-2.0 */
/*
 * announcer_client: the server's end of the socket to the announcer: who it is, what it was asked, and
 * whether it answers. It must not know why something is announced.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "events/announcer_protocol.h"
#include "view/tree.h"

/* The server's end. One request is out at a time, and only the watcher's thread asks and takes answers; the
 * rest is for any thread. */
typedef struct SfsAnnouncerClient SfsAnnouncerClient;

SfsAnnouncerClient *sfs_announcer_client_new(void);
void sfs_announcer_client_free(SfsAnnouncerClient *client);

/* The server's end of a new announcer's socket, and its pid; -1 and 0: it is gone, and nobody is to be taken
 * for it. socket is closed when it is replaced. When it returns, no request of the old announcer counts. */
void sfs_announcer_client_connect(SfsAnnouncerClient *client, int socket, pid_t pid);

/* To wait on for an answer, or -1. */
int sfs_announcer_client_socket(SfsAnnouncerClient *client);

/* "ok", "restarting", "stuck" or "stopped". */
const char *sfs_announcer_client_state(SfsAnnouncerClient *client);

/* How many have come after the first. */
guint sfs_announcer_client_restarts(SfsAnnouncerClient *client);

/* What the announcer has given up, as it said itself; 0: there is none, or it has yet to speak. */
guint32 sfs_announcer_client_confined(SfsAnnouncerClient *client);

/* The pid of an announcer that has not answered for some seconds, once for each request; else 0. */
pid_t sfs_announcer_client_overdue(SfsAnnouncerClient *client);

/* When a request that is out leads to another state or becomes overdue (monotonic time, microseconds); -1:
 * never, but for its answer. */
gint64 sfs_announcer_client_patience(SfsAnnouncerClient *client);

/* When it is worth asking again (monotonic time, microseconds): the mount could not be acted on. 0: now. */
gint64 sfs_announcer_client_covered_until(SfsAnnouncerClient *client);

gboolean sfs_announcer_client_is_announcer(SfsAnnouncerClient *client, pid_t pid);

/* The node that the announcer is just creating as name in parent (a new reference); NULL: none. */
SfsNode *sfs_announcer_client_creating(SfsAnnouncerClient *client, guint64 parent, const char *name);

/* The node's path relative to the mount point; free it. */
char *sfs_announcer_client_path(const SfsNode *node);

/* Asks for one operation on node, after which now is true of it. FALSE: the announcer is gone. */
gboolean sfs_announcer_client_ask(SfsAnnouncerClient *client, SfsNode *node, SfsAnnouncerOp op,
                                  const SfsState *now);
gboolean sfs_announcer_client_is_out(SfsAnnouncerClient *client);

/* Has the request that was out come back? With *errnum: ECONNRESET if the announcer died with it. */
gboolean sfs_announcer_client_answer(SfsAnnouncerClient *client, int *errnum);
