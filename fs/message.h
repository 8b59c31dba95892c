/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: what the supervisor and the server say to each other, over a socket that keeps messages whole. It
 * must not know what either does about it.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef enum {
    SFS_MOUNTED = 1, /* server: the mount is there */
    SFS_FORGOTTEN,   /* server: no request is taken for that announcer's any more */
    SFS_REFRESHED,   /* server: to each SFS_REFRESH */
    SFS_OVERDUE,     /* server: the announcer of that pid does not answer */
    SFS_END,         /* supervisor: end */
    SFS_REFRESH,     /* supervisor: compare everything anew; not before the answer to the last */
    SFS_ANNOUNCER,   /* supervisor: an announcer, its pid and its end of the wire */
    SFS_FORGET,      /* supervisor: the announcer is dead; answer SFS_FORGOTTEN */
} SfsWord;

typedef struct {
    SfsWord word;
    pid_t pid; /* of SFS_ANNOUNCER and SFS_OVERDUE */
} SfsMessage;

/* A connected pair of close-on-exec descriptors; FALSE with errno. */
gboolean sfs_message_pair(int ends[2]);

/* FALSE if the other side is gone. fd: a descriptor to send along, which stays the caller's, or -1. */
gboolean sfs_message_send(int socket, SfsMessage message, int fd);

/* FALSE if the other side is gone. *fd: the caller's, or -1. */
gboolean sfs_message_receive(int socket, SfsMessage *message, int *fd);
