/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: what the server asks of the announcer, and how the announcer answers: one request, one answer, over a
 * socket that keeps messages whole. It must not know why something is announced.
 */
#pragma once

#include <glib.h>
#include <limits.h>
#include <sys/types.h>
#include <time.h>

typedef enum {
    SFS_ANNOUNCE_MODIFY = 1, /* open for writing, ftruncate to size, close */
    SFS_ANNOUNCE_CLOSE,      /* open for writing, close: the CLOSE_WRITE that a lease held up */
    SFS_ANNOUNCE_TIME,       /* utimensat: MODIFY alone, where a lease keeps the file from being opened */
    SFS_ANNOUNCE_ATTRIB,     /* chmod to mode */
    SFS_ANNOUNCE_CREATE,     /* open with O_CREAT | O_EXCL, ftruncate to size, close */
    SFS_ANNOUNCE_MKDIR,
    SFS_ANNOUNCE_UNLINK,
    SFS_ANNOUNCE_RMDIR,
} SfsAnnounceOp;

#define SFS_ANNOUNCE_PATH_MAX 1024

typedef struct {
    SfsAnnounceOp op;
    mode_t mode;
    off_t size;
    struct timespec mtime;
    char path[SFS_ANNOUNCE_PATH_MAX]; /* relative to the mount point */
} SfsAnnounceRequest;

typedef struct {
    int errnum; /* 0: done. ESTALE: the mount is not there any more, announcing is over */
} SfsAnnounceAnswer;
