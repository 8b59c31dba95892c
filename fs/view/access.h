/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access: the mode that a node shows. Without allow_other only the mounting user gets in, and the mode says
 * what the backing file lets its owner do. With it the kernel checks modes (default_permissions), so the mode
 * must never let anyone read through the view what he could not read behind it: whenever the classes of the
 * backing file and of those who must search the directories on the way to it can't be compared, access is
 * denied. Denying too much is right, allowing too much is a bug.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

/* For every check of one node: who is shown as its owner and group, and what is left of 0777 so far. */
typedef struct {
    uid_t uid;
    gid_t gid;
    mode_t left;
} SfsAccess;

SfsAccess sfs_access_start(uid_t uid, gid_t gid);

/* Takes from access what the file or directory behind fd (O_PATH will do), whose stat is st, denies. A class
 * loses all its bits if it may not search a directory on the way. */
void sfs_access_on_the_way(SfsAccess *access, int fd, const struct stat *st);
void sfs_access_at_the_end(SfsAccess *access, int fd, const struct stat *st);

/* Checks each directory from "/" down to the one that the absolute path names, that one included. */
void sfs_access_walk(SfsAccess *access, const char *path);
