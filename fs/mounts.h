/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts: the mount table: what is mounted where, and taking a mount away. It must not know why.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* One mount. The id is its own while it is there; the kernel gives it to another afterwards. */
typedef struct {
    char *path;
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

/* Is it a FUSE mount whose server is gone? To be asked only of one whose server answers if it is there. */
gboolean sfs_mounts_is_dead(const char *path);

/* Takes the topmost mount at path away, lazily: whoever is in it keeps what he has open. Where that needs
 * privilege, fusermount3 has it. */
gboolean sfs_mounts_detach(const char *path);
