/* SPDX-License-Identifier: Apache-2.0 */
/* open: entering directories and opening files that may be anything; see open.h. */
#include "open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fault.h"

#define BENEATH_TRIES 8

void shield_fd_close(ShieldFd fd)
{
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
}

static int open_one(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOTDIR && shield_stat(dirfd, name, &st) == 0)
        errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR; /* O_DIRECTORY says ENOTDIR for both */
    return fd;
}

/* Do the two, one of them the other's parent, lie on one mount? Where the kernel doesn't number mounts, the
 * device must do. */
static gboolean on_one_mount(int a, int b)
{
    struct statx sa, sb;

    if (statx(a, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &sa) == 0 &&
        statx(b, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &sb) == 0 &&
        (sa.stx_mask & sb.stx_mask & STATX_MNT_ID))
        return sa.stx_mnt_id == sb.stx_mnt_id;

    struct stat of_a, of_b;
    return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev;
}

/* Where openat2 is not to be had. within: as in open_whole. */
static int open_by_name(int dirfd, const char *path, gboolean within)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    g_auto(ShieldFd) at = open_one(dirfd, *path == '/' ? "/" : ".");

    for (char **name = names; *name && at >= 0; name++) {
        if (**name == '\0' || strcmp(*name, ".") == 0)
            continue;

        int next = open_one(at, *name);
        if (next >= 0 && within && !on_one_mount(at, next)) {
            shield_fd_close(next);
            next = -1;
            errno = EXDEV;
        }
        shield_fd_close(at);
        at = next;
    }

    return g_steal_fd(&at);
}

/* within: no mount is entered. The kernel goes the whole way at once; -1 with ENOSYS if it can't. */
static int open_whole(int dirfd, const char *path, gboolean within)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS | (within ? RESOLVE_BENEATH | RESOLVE_NO_XDEV : 0)};
    int fd = -1, tries = 0;

    if (shield_fault(SHIELD_FAULT_OPENAT2))
        errno = ENOSYS;
    else
        do /* the kernel gives up on a path when something was renamed meanwhile, anywhere */
            fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
        while (fd < 0 && (errno == EINTR || (errno == EAGAIN && tries++ < BENEATH_TRIES)));
    /* What an old kernel, and what a seccomp filter says. */
    if (fd < 0 && (errno == EPERM || errno == EAGAIN || errno == EINVAL || errno == E2BIG))
        errno = ENOSYS;
    return fd;
}

static int open_path(int dirfd, const char *path, gboolean within)
{
    int fd = open_whole(dirfd, *path ? path : ".", within);

    return fd < 0 && errno == ENOSYS ? open_by_name(dirfd, path, within) : fd;
}

int shield_open_beneath(int dirfd, const char *path)
{
    return open_path(dirfd, path, FALSE);
}

int shield_open_within(int dirfd, const char *path)
{
    return open_path(dirfd, path, TRUE);
}

const char *shield_fd_path(int fd, char path[SHIELD_FD_PATH_SIZE])
{
    snprintf(path, SHIELD_FD_PATH_SIZE, "/proc/self/fd/%d", fd);
    return path;
}

int shield_open_listing(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC | O_NOATIME);

    if (fd < 0 && errno == EPERM) /* O_NOATIME is for the owner and for CAP_FOWNER only */
        fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    return fd;
}

static int errno_of_type(mode_t mode)
{
    if (S_ISREG(mode))
        return 0;
    return S_ISLNK(mode) ? ELOOP : S_ISDIR(mode) ? EISDIR : EIO;
}

int shield_open_regular(int dirfd, const char *name, struct stat *st)
{
    /* An open of a FIFO or a device has an effect even with O_NONBLOCK, so first a handle that has none. */
    g_auto(ShieldFd) handle = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    memset(st, 0, sizeof *st);
    if (handle < 0 || shield_fstat(handle, st) < 0)
        return -1;
    if (!S_ISREG(st->st_mode)) {
        errno = errno_of_type(st->st_mode);
        return -1;
    }

    char path[SHIELD_FD_PATH_SIZE];
    int fd = open(shield_fd_path(handle, path), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    /* No /proc: the file is there, so it must not look as if it were missing. */
    if (fd < 0 && errno == ENOENT)
        errno = EIO;
    return fd;
}

int shield_stat(int dirfd, const char *name, struct stat *st)
{
    return fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_FORCE_SYNC);
}

int shield_fstat(int fd, struct stat *st)
{
    return fstatat(fd, "", st, AT_EMPTY_PATH | AT_STATX_FORCE_SYNC);
}

/* Where an old kernel or a seccomp filter refuses statx. */
static gboolean identity_without_birth(int fd, ShieldIdentity *identity)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return FALSE;
    *identity = (ShieldIdentity){.dev = st.st_dev, .ino = st.st_ino};
    return TRUE;
}

gboolean shield_identity_of(int fd, ShieldIdentity *identity)
{
    struct statx sx;

    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_INO | STATX_BTIME, &sx) < 0)
        return identity_without_birth(fd, identity);
    *identity = (ShieldIdentity){.dev = makedev(sx.stx_dev_major, sx.stx_dev_minor), .ino = sx.stx_ino};
    if (sx.stx_mask & STATX_BTIME)
        identity->birth = (struct timespec){sx.stx_btime.tv_sec, sx.stx_btime.tv_nsec};
    return TRUE;
}

gboolean shield_time_equal(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

gboolean shield_identity_equal(const ShieldIdentity *a, const ShieldIdentity *b)
{
    return a->dev == b->dev && a->ino == b->ino && shield_time_equal(a->birth, b->birth);
}

gboolean shield_is_on_overlay(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

ShieldStamp shield_stamp(const struct stat *st)
{
    return (ShieldStamp){
        .dev = st->st_dev,
        .ino = st->st_ino,
        .size = st->st_size,
        .mtime = st->st_mtim.tv_sec,
        .ctime = st->st_ctim.tv_sec,
        .mtime_nsec = (guint32)st->st_mtim.tv_nsec,
        .ctime_nsec = (guint32)st->st_ctim.tv_nsec,
        .mode = st->st_mode,
        .nlink = (guint32)MIN(st->st_nlink, G_MAXUINT32),
    };
}

struct timespec shield_stamp_mtime(const ShieldStamp *stamp)
{
    return (struct timespec){stamp->mtime, stamp->mtime_nsec};
}

struct timespec shield_stamp_ctime(const ShieldStamp *stamp)
{
    return (struct timespec){stamp->ctime, stamp->ctime_nsec};
}

gboolean shield_stamp_equal(const ShieldStamp *a, const ShieldStamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mode == b->mode &&
           a->mtime == b->mtime && a->mtime_nsec == b->mtime_nsec && a->ctime == b->ctime &&
           a->ctime_nsec == b->ctime_nsec;
}

gboolean shield_time_before(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

struct timespec shield_time_next(struct timespec t)
{
    return t.tv_nsec < 999999999 ? (struct timespec){t.tv_sec, t.tv_nsec + 1}
                                 : (struct timespec){t.tv_sec + 1, 0};
}
