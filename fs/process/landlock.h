/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock: which files a process may still open, by Landlock. It must not know which process it is.
 */
#pragma once

#include <glib.h>

typedef enum {
    SFS_LANDLOCK_READ,  /* read what is beneath, and list it */
    SFS_LANDLOCK_WRITE, /* write files, make and remove files and directories beneath; and read nothing */
} SfsLandlockRights;

/* From now on this thread, and what it starts, may do that beneath the directory fd and nothing else: nothing
 * is executed or opened in another way, no TCP, and no signal and no abstract socket leads out of the
 * process. What is open stays as it is; looking at files (stat, O_PATH), watching them, and sockets with a
 * path are not Landlock's business. The version of Landlock's interface that was used; 0 if there is none.
 * no_new_privs must be set. */
guint sfs_landlock(int fd, SfsLandlockRights rights);
