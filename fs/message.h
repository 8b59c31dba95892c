/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: what the supervisor and the server say to each other, over a socket that keeps messages whole. It
 * must not know what either does about it.
 */
#pragma once

#include <glib.h>

typedef enum {
    SFS_MOUNTED = 1, /* server: the mount is there */
    SFS_END,         /* supervisor: end */
    SFS_REFRESH,     /* supervisor: compare everything anew */
} SfsMessage;

/* A connected pair of close-on-exec descriptors; FALSE with errno. */
gboolean sfs_message_pair(int ends[2]);

/* FALSE if the other side is gone. */
gboolean sfs_message_send(int socket, SfsMessage message);
gboolean sfs_message_receive(int socket, SfsMessage *message);
