/* SPDX-License-Identifier: Apache-2.0 */
/* announcer: operations on the mount; see announcer.h. */
#include "announcer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fault.h"
#include "open.h"
#include "wire.h"

/* Beneath the mount point, on the mount, over no link. */
static int open_beneath(int mount, const char *path, int flags, mode_t mode)
{
    struct open_how how = {.flags = (guint64)(guint)flags | O_CLOEXEC | O_NOFOLLOW,
                           .mode = mode,
                           .resolve = RESOLVE_NO_XDEV | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};

    return (int)syscall(SYS_openat2, mount, path, &how, sizeof how);
}

/* The device of what fd is on, without a request to the server, which may be gone. */
static gboolean device_of(int fd, dev_t *dev)
{
    struct statx sx;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &sx) < 0)
        return FALSE;
    *dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
    return TRUE;
}

/* A file is opened with O_NONBLOCK: a reader who holds a lease on it would block us for as long as he likes.
 * ftruncate and not O_TRUNC: that would take the pages away from whoever has the file mapped. */
static int write_event(int mount, const SfsAnnounceRequest *request, int flags)
{
    g_auto(ShieldFd) fd = open_beneath(mount, request->path, O_WRONLY | O_NONBLOCK | flags, flags ? 0444 : 0);

    if (fd < 0 || (request->op != SFS_ANNOUNCE_CLOSE && ftruncate(fd, request->size) < 0))
        return errno;
    return 0;
}

/* By descriptor, for by name it would be done to what somebody has mounted there. */
static int set_attributes(int mount, const SfsAnnounceRequest *request)
{
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, request->mtime};
    g_auto(ShieldFd) fd = open_beneath(mount, request->path, O_PATH, 0);
    char path[sizeof "/proc/self/fd/" + 3 * sizeof(int)];

    if (fd < 0)
        return errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);

    int result = request->op == SFS_ANNOUNCE_TIME ? utimensat(AT_FDCWD, path, times, 0)
                                                  : fchmodat(AT_FDCWD, path, request->mode & 07777, 0);
    return result < 0 ? errno : 0;
}

/* The kernel refuses to remove what somebody has mounted something on. */
static int change_name(int mount, const SfsAnnounceRequest *request)
{
    g_autofree char *directory = g_path_get_dirname(request->path);
    g_autofree char *name = g_path_get_basename(request->path);
    g_auto(ShieldFd) parent = open_beneath(mount, directory, O_PATH | O_DIRECTORY, 0);
    int result;

    if (parent < 0)
        return errno;
    if (request->op == SFS_ANNOUNCE_MKDIR)
        result = mkdirat(parent, name, 0555);
    else
        result = unlinkat(parent, name, request->op == SFS_ANNOUNCE_RMDIR ? AT_REMOVEDIR : 0);
    return result < 0 ? errno : 0;
}

static int act(const char *mountpoint, dev_t expected, const SfsAnnounceRequest *request)
{
    g_auto(ShieldFd) mount = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
    dev_t dev;

    if (mount < 0 || expected == 0 || !device_of(mount, &dev) ||
        (dev != expected && !shield_fault(SHIELD_FAULT_DEVICE)))
        return ESTALE;
    if (shield_fault(SHIELD_FAULT_FAIL_ANNOUNCEMENT))
        return EIO;
    switch (request->op) {
    case SFS_ANNOUNCE_MODIFY:
    case SFS_ANNOUNCE_CLOSE:
        return write_event(mount, request, 0);
    case SFS_ANNOUNCE_CREATE:
        return write_event(mount, request, O_CREAT | O_EXCL);
    case SFS_ANNOUNCE_TIME:
    case SFS_ANNOUNCE_ATTRIB:
        return set_attributes(mount, request);
    case SFS_ANNOUNCE_MKDIR:
    case SFS_ANNOUNCE_UNLINK:
    case SFS_ANNOUNCE_RMDIR:
        return change_name(mount, request);
    default:
        return EINVAL;
    }
}

void sfs_announcer_run(const char *mountpoint, dev_t dev, int socket)
{
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    SfsAnnounceRequest request;

    signal(SIGXFSZ, SIG_IGN);
    (void)setrlimit(RLIMIT_FSIZE, &unlimited); /* ftruncate obeys it before the server is asked */
    umask(0);
    while (recv(socket, &request, sizeof request, 0) == sizeof request) {
        request.path[sizeof request.path - 1] = '\0';

        SfsAnnounceAnswer answer = {act(mountpoint, dev, &request)};
        if (send(socket, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer)
            break;
    }
}
