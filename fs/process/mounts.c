/* SPDX-License-Identifier: Apache-2.0 */
/* mounts: unmounting, and the lock of a place; see mounts.h. */
#include "process/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "catalog.h"
#include "fault.h"
#include "open.h"

/* How often to look whether a lock is free. */
#define LOCK_PAUSE_USEC 5000
/* How long to wait for those who clear a place next to ours: longer than fusermount3 takes. */
#define CLEAR_USEC G_USEC_PER_SEC

gboolean sfs_mounts_is_dead(const char *path)
{
    struct stat st;

    return stat(path, &st) < 0 && errno == ENOTCONN;
}

int sfs_mounts_lock(const char *path, gint64 wait_usec)
{
    g_auto(ShieldFd) fd = open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    gint64 end = g_get_monotonic_time() + wait_usec;

    if (fd < 0)
        return -1;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || g_get_monotonic_time() > end)
            return -1;
        g_usleep(LOCK_PAUSE_USEC);
    }
    return g_steal_fd(&fd);
}

void sfs_mounts_unlock(int *lock)
{
    if (*lock >= 0)
        (void)flock(*lock, LOCK_UN);
    shield_fd_close(*lock);
    *lock = -1;
}

/* The mount is held by a descriptor, so that what is looked at is what is taken away: by the time of an
 * unmount by path something else may be there. */
static gboolean detach_pinned(const SfsMount *mount, gboolean dead)
{
    g_auto(ShieldFd) fd = open(mount->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char path[SHIELD_FD_PATH_SIZE];
    const char *place = shield_fd_path(fd, path);
    struct statx statx_of;
    struct stat st;

    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &statx_of) < 0)
        return FALSE;
    if ((statx_of.stx_mask & STATX_MNT_ID) && statx_of.stx_mnt_id != (guint64)mount->id) {
        errno = ESTALE;
        return FALSE;
    }
    if (dead && (fstat(fd, &st) == 0 || errno != ENOTCONN)) {
        errno = EBUSY;
        return FALSE;
    }
    shield_fault_stop(SHIELD_FAULT_STOP_DETACH);
    return umount2(place, MNT_DETACH) == 0;
}

static gboolean detach_by_helper(const SfsMount *mount)
{
    const char *argv[] = {"fusermount3", "-u", "-z", "--", mount->path, NULL};
    int status;

    if (g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                     NULL, NULL, &status, NULL) &&
        g_spawn_check_wait_status(status, NULL))
        return TRUE;
    errno = EPERM;
    return FALSE;
}

gboolean sfs_mounts_detach(const SfsMount *mount)
{
    return geteuid() == 0 ? detach_pinned(mount, FALSE) : detach_by_helper(mount);
}

/* fusermount3 unmounts by path. Whoever clears a place holds the lock of the directory above it, so that
 * nobody mounts there in the meantime. Where that lock can't be had, the last check must do. */
gboolean sfs_mounts_detach_dead(const char *path)
{
    gboolean root = geteuid() == 0, gone = TRUE;
    int failed;
    g_autofree char *parent = g_path_get_dirname(path);
    int lock = root ? -1 : sfs_mounts_lock(parent, CLEAR_USEC); /* root pins the mount */
    g_autoptr(SfsMount) mount = sfs_mountinfo_at(path);

    if (mount && mount->ours && sfs_mounts_is_dead(path))
        gone = root ? detach_pinned(mount, TRUE) : detach_by_helper(mount);
    failed = errno;
    gone = gone || !sfs_mounts_is_dead(path); /* somebody else was quicker */
    sfs_mounts_unlock(&lock);
    errno = failed;
    return gone;
}
