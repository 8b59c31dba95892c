/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts: the mount table: what is mounted where, and taking a mount away. It must not know why.
 */
#pragma once

#include <glib.h>

/* One mount. The id is its own while it is there; the kernel gives it to another afterwards. */
typedef struct {
    char *path;
    int id;
    gboolean ours; /* a shieldfs, of whomever */
} SfsMount;

void sfs_mount_free(SfsMount *mount);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SfsMount, sfs_mount_free)

/* The topmost mount exactly at path (absolute, without links); NULL if nothing is mounted there. */
SfsMount *sfs_mounts_at(const char *path);

/* The topmost mount that path lies on; NULL if the table can't be read. */
SfsMount *sfs_mounts_holding(const char *path);

/* Takes the topmost mount at path away, lazily: whoever is in it keeps what he has open. Where that needs
 * privilege, fusermount3 has it. */
gboolean sfs_mounts_detach(const char *path);
