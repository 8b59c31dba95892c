/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: what the supervisor and the server say to each other, over a socket that keeps messages whole. It
 * must not know what either does about it.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "view/status.h"

typedef enum {
    SFS_CONTROL_MOUNTED = 1, /* server: the mount is there */
    SFS_CONTROL_FORGOTTEN,   /* server: no request is taken for that announcer's any more */
    SFS_CONTROL_REFRESHED,   /* server: to each SFS_CONTROL_REFRESH */
    SFS_CONTROL_SUMMARY,     /* server: once to each SFS_CONTROL_TELL */
    SFS_CONTROL_OVERDUE,     /* server: the announcer of that pid does not answer */
    SFS_CONTROL_CONFINED,    /* supervisor: what it has given up itself; the first word of all */
    SFS_CONTROL_END,         /* supervisor: end */
    SFS_CONTROL_REFRESH,     /* supervisor: compare everything anew; not before the answer to the last */
    SFS_CONTROL_TELL,      /* supervisor: say what the status file says, as soon as that is something else */
    SFS_CONTROL_ANNOUNCER, /* supervisor: an announcer, its pid and its end of the wire */
    SFS_CONTROL_FORGET,    /* supervisor: the announcer is dead; answer SFS_CONTROL_FORGOTTEN */
} SfsControlWord;

typedef struct {
    SfsControlWord word;
    pid_t pid;          /* of SFS_CONTROL_ANNOUNCER and SFS_CONTROL_OVERDUE */
    guint32 confined;   /* of SFS_CONTROL_CONFINED: see confine.h */
    SfsSummary summary; /* of SFS_CONTROL_SUMMARY */
} SfsControlMessage;

/* A connected pair of close-on-exec descriptors; FALSE with errno. */
gboolean sfs_control_pair(int ends[2]);

/* FALSE if the other side is gone. fd: a descriptor to send along, which stays the caller's, or -1. */
gboolean sfs_control_send(int socket, SfsControlMessage message, int fd);

/* FALSE if the other side is gone, or sends what is no message. *fd: the caller's, or -1. */
gboolean sfs_control_receive(int socket, SfsControlMessage *message, int *fd);
