/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open: how a hostile directory is entered. Every open is one name below a directory descriptor, follows no
 * link, and finds out what stands there (O_PATH) before anything that could block or have an effect is done
 * to it. It must not know bundles or lists. Every descriptor is O_CLOEXEC and belongs to the caller.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

/* GLib 2.74 has no g_autofd. */
typedef int ShieldFd;
void shield_fd_close(ShieldFd fd); /* keeps errno; -1 is fine */
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(ShieldFd, shield_fd_close, -1)

/* The path under which proc(5) shows a descriptor of ours, for what takes no descriptor; path. */
#define SHIELD_FD_PATH_SIZE (sizeof "/proc/self/fd/" + 3 * sizeof(int))
const char *shield_fd_path(int fd, char path[SHIELD_FD_PATH_SIZE]);

/* Enters the directories of path, which has no "..": from dirfd, or from "/" if it begins there. Returns an
 * O_PATH descriptor, or -1 with errno: ELOOP if one of them is a symbolic link. "." gives the directory
 * itself. */
int shield_open_beneath(int dirfd, const char *path);

/* The same for a relative path, on dirfd's mount alone: EXDEV if something is mounted over one of them, and
 * what is said of that then. */
#define SHIELD_COVERED "something is mounted over it: not entered"
int shield_open_within(int dirfd, const char *path);

/* Opens a directory that shield_open_beneath found (an O_PATH descriptor) for listing; -1 with errno. */
int shield_open_listing(int dirfd);

/* Opens the regular file name in dirfd for reading, its access time left alone where the kernel allows it,
 * and fills st. -1 with errno: ENOENT, EACCES, ELOOP (symbolic link), EISDIR, EIO (FIFO, socket, device), ….
 * When it fails because of what stands there, st->st_mode says what that is; else st->st_mode is 0. */
int shield_open_regular(int dirfd, const char *name, struct stat *st);

/* stat of one name, no link followed; -1 with errno. A filesystem that is changed from elsewhere is asked
 * itself, rather than what is remembered of it. */
int shield_stat(int dirfd, const char *name, struct stat *st);
int shield_fstat(int fd, struct stat *st); /* likewise */

/* Identity of a directory: what tells one from another that took its place under the same name and, as ext4
 * does it, with the same inode number. */
typedef struct {
    dev_t dev;
    ino_t ino;
    struct timespec birth; /* 0 where the filesystem has none */
} ShieldIdentity;

gboolean shield_identity_of(int fd, ShieldIdentity *identity);
gboolean shield_identity_equal(const ShieldIdentity *a, const ShieldIdentity *b);

/* Does fd lie on an overlayfs? There the first write may give a file another number, as it gives a directory
 * another time of birth. */
gboolean shield_is_on_overlay(int fd);

/* What tells one state of a file from another, in less than half of a stat's size; with the number of its
 * names. */
typedef struct {
    guint64 dev, ino;
    gint64 size, mtime, ctime;
    guint32 mtime_nsec, ctime_nsec;
    guint32 mode, nlink; /* mode 0: nothing there */
} ShieldStamp;

ShieldStamp shield_stamp(const struct stat *st);
struct timespec shield_stamp_mtime(const ShieldStamp *stamp);
struct timespec shield_stamp_ctime(const ShieldStamp *stamp);

/* Are they the same, but for the number of names? */
gboolean shield_stamp_equal(const ShieldStamp *a, const ShieldStamp *b);

gboolean shield_time_equal(struct timespec a, struct timespec b);
gboolean shield_time_before(struct timespec a, struct timespec b);
struct timespec shield_time_next(struct timespec t); /* a nanosecond later */
