/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packed: what the view shows of a stat, in a third of its size, for what is kept of every node. It must not
 * know what it is of.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

typedef struct {
    guint32 mode, uid, gid, nlink;
    gint64 size, mtime, ctime;
    guint32 mtime_nsec, ctime_nsec;
} SfsPacked;

SfsPacked sfs_pack(const struct stat *st);

/* atime is mtime, and the blocks are those that the size takes; device and number are not kept. */
struct stat sfs_unpack(const SfsPacked *packed);
