/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts: taking a mount away, and the lock of a place to mount at. It must not know why.
 */
#pragma once

#include <glib.h>

#include "events/mountinfo.h"

/* Is it a FUSE mount whose server is gone? To be asked only of one whose server answers if it is there. */
gboolean sfs_mounts_is_dead(const char *path);

/* Takes the mount away, lazily: whoever is in it keeps what he has open. Where that needs privilege,
 * fusermount3 has it, which takes what is on top at that path. FALSE with errno. */
gboolean sfs_mounts_detach(const SfsMount *mount);

/* The same for what is on top at path if it is a shieldfs whose server is gone, and never for one that has
 * just been mounted in its stead. FALSE with errno if it is still there. */
gboolean sfs_mounts_detach_dead(const char *path);

/* Takes the lock (flock) of a directory; waits so long if somebody else has it. -1 with errno: EWOULDBLOCK if
 * he still has, else there is none to be had (no permission to read the directory, a filesystem without
 * locks). */
int sfs_mounts_lock(const char *path, gint64 wait_usec);

/* Gives it back, though other processes have copies of the descriptor, and closes it; -1 is fine. */
void sfs_mounts_unlock(int *lock);
