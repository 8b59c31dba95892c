/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts: the mount table: what is mounted where, and taking a mount away. It must not know why.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* What is shown as the device of a shieldfs mount if there is no better word. */
#define SFS_MOUNTS_DEVICE "shieldfs"

/* One mount. The id is its own while it is there; the kernel gives it to another afterwards. */
typedef struct {
    char *path;
    char *type, *device; /* as the table shows them */
    int id;
    dev_t dev;     /* that of the files on it; likewise */
    gboolean ours; /* a shieldfs, of whomever */
} SfsMount;

void sfs_mount_free(SfsMount *mount);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SfsMount, sfs_mount_free)

/* The topmost mount exactly at path (absolute, without links); NULL if nothing is mounted there. */
SfsMount *sfs_mounts_at(const char *path);

/* The topmost mount that path lies on; NULL if the table can't be read. */
SfsMount *sfs_mounts_holding(const char *path);

/* The shieldfs mount whose files have this device, wherever it is by now; NULL if there is none. */
SfsMount *sfs_mounts_of(dev_t dev);

/* Does the line of the mount table for a mount of device at path fit into what programs read of one?
 * fusermount3 does not find what is longer, so that a plain user could not unmount it. */
gboolean sfs_mounts_fit(const char *device, const char *path);

/* Is it a FUSE mount whose server is gone? To be asked only of one whose server answers if it is there. */
gboolean sfs_mounts_is_dead(const char *path);

/* A descriptor that poll(2) says POLLPRI of after each change of the table (of this process's namespace),
 * once for each change or several; -1 with errno. */
int sfs_mounts_open(void);

/* The table's text, which asks no filesystem anything; "" if it can't be read. Free it. */
char *sfs_mounts_read(void);

/* Of those mounts in the text whose place (absolute, without links) wanted says yes to, what tells each from
 * another: a text that is good for comparing. Free it. */
char *sfs_mounts_pick(const char *table, gboolean (*wanted)(const char *path, const void *data),
                      const void *data);

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
