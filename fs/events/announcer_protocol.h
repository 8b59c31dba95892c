/* SPDX-License-Identifier: Apache-2.0 */
/*
 * announcer_protocol: what the server asks of the announcer, and how the announcer answers: one request, one
 * answer, and a word before the first, over a socket that keeps messages whole. All that the announcer knows
 * of the rest stands here; it must not know more.
 */
#pragma once

#include <sys/types.h>
#include <time.h>

typedef enum {
    SFS_ANNOUNCER_MODIFY = 1, /* open for writing, ftruncate to size, close */
    SFS_ANNOUNCER_CLOSE,      /* open for writing, close: the CLOSE_WRITE that a lease held up */
    SFS_ANNOUNCER_TIME,       /* utimensat: MODIFY alone, where a lease keeps the file from being opened */
    SFS_ANNOUNCER_ATTRIB,     /* chmod to mode */
    SFS_ANNOUNCER_CREATE,     /* open with O_CREAT | O_EXCL, ftruncate to size, close */
    SFS_ANNOUNCER_MKDIR,
    SFS_ANNOUNCER_UNLINK,
    SFS_ANNOUNCER_RMDIR,
} SfsAnnouncerOp;

#define SFS_N_ANNOUNCER_OPS (SFS_ANNOUNCER_RMDIR + 1)

#define SFS_ANNOUNCER_PATH_MAX 1024

typedef struct {
    SfsAnnouncerOp op;
    mode_t mode;
    off_t size;
    struct timespec mtime;
    char path[SFS_ANNOUNCER_PATH_MAX]; /* relative to the mount point */
} SfsAnnouncerRequest;

typedef struct {
    int errnum;        /* 0: done. ESTALE: the mount is not there, or is covered by another */
    unsigned confined; /* in the first message, which answers nothing: what the announcer has given up, in a
                        * number that is the supervisor's business; else 0 */
} SfsAnnouncerAnswer;
