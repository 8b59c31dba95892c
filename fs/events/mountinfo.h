/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountinfo: the mount table, as proc(5) shows it: what is mounted where. It must not know why anybody asks,
 * and asks no filesystem anything.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* What is shown as the device of a shieldfs mount if there is no better word. */
#define SFS_MOUNTINFO_DEVICE "shieldfs"

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

/* What a line of the table says; NULL if it is none. */
SfsMount *sfs_mountinfo_parse(const char *line);

/* The topmost mount exactly at path (absolute, without links); NULL if nothing is mounted there. */
SfsMount *sfs_mountinfo_at(const char *path);

/* The topmost mount that path lies on; NULL if the table can't be read. */
SfsMount *sfs_mountinfo_holding(const char *path);

/* The shieldfs mount whose files have this device, wherever it is by now; NULL if there is none. */
SfsMount *sfs_mountinfo_of(dev_t dev);

/* Does the line of the mount table for a mount of device at path fit into what programs read of one?
 * fusermount3 does not find what is longer, so that a plain user could not unmount it. */
gboolean sfs_mountinfo_fit(const char *device, const char *path);

/* A descriptor that poll(2) says POLLPRI of after each change of the table (of this process's namespace),
 * once for each change or several; -1 with errno. */
int sfs_mountinfo_open(void);

/* The table's text, which asks no filesystem anything; "" if it can't be read. Free it. */
char *sfs_mountinfo_read(void);

/* Of those mounts in the text whose place (absolute, without links) wanted says yes to, what tells each from
 * another: a text that is good for comparing. Free it. */
char *sfs_mountinfo_pick(const char *table, gboolean (*wanted)(const char *path, const void *data),
                         const void *data);
