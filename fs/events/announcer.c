/* SPDX-License-Identifier: Apache-2.0 */
/* announcer: operations on the mount; see announcer.h. */
#include "events/announcer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "events/announcer_protocol.h"
#include "fault.h"
#include "open.h"

/* Which mount it is: its device, and its own number where the kernel has one (5.8), which tells it from a
 * bind mount of itself. */
typedef struct {
    dev_t dev;
    guint64 id; /* 0: not known */
} Where;

typedef struct {
    int fd; /* of the mount point; O_PATH */
    Where where;
} Mount;

/* What fd is on. statx does not ask the server, which may be gone. Where statx is refused there is only
 * fstat, which does. */
static gboolean where_is(int fd, Where *where)
{
    struct statx sx;
    struct stat st;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID, &sx) == 0) {
        *where = (Where){makedev(sx.stx_dev_major, sx.stx_dev_minor),
                         sx.stx_mask & STATX_MNT_ID ? sx.stx_mnt_id : 0};
        return TRUE;
    }
    if (fstat(fd, &st) < 0)
        return FALSE;
    *where = (Where){st.st_dev, 0};
    return TRUE;
}

static gboolean is_on(int fd, const Mount *mount)
{
    Where here;

    return where_is(fd, &here) && here.dev == mount->where.dev && here.id == mount->where.id;
}

/* One name below the directory at, over no link and on the mount; -1 with errno. O_PATH has no effect on what
 * stands there, so that it can be checked before anything is done to it. */
static int step(const Mount *mount, int at, const char *name, int flags)
{
    g_auto(ShieldFd) fd = -1;

    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        errno = EINVAL;
        return -1;
    }
    fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);
    if (fd >= 0 && !is_on(fd, mount)) {
        errno = EXDEV;
        return -1;
    }

    return g_steal_fd(&fd);
}

/* Opens what path leads to by one call, over no link and on the mount; -1 with ENOSYS or EPERM where there is
 * no such call: on old kernels, and under some seccomp filters. */
static int open_at_once(const Mount *mount, const char *path, int flags)
{
    struct open_how how = {.flags = (guint64)flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                                      RESOLVE_NO_XDEV};

    if (shield_fault(SHIELD_FAULT_OPENAT2)) {
        errno = ENOSYS;
        return -1;
    }
    return (int)syscall(SYS_openat2, mount->fd, path, &how, sizeof how);
}

/* Opens what path leads to beneath the mount point, name by name. With parent, stops before the last name,
 * and puts that name there. An O_PATH descriptor, or -1 with errno. */
static int walk(const Mount *mount, const char *path, const char **parent)
{
    g_autofree char *copy = g_strdup(path);
    g_auto(ShieldFd) at = fcntl(mount->fd, F_DUPFD_CLOEXEC, 0);

    for (char *name = copy; at >= 0 && name;) {
        char *slash = strchr(name, '/');

        if (slash)
            *slash = '\0';
        if (!slash && parent) {
            *parent = path + (name - copy);
            break;
        }

        int next = step(mount, at, name, slash ? O_DIRECTORY : 0);
        shield_fd_close(at);
        at = next;
        name = slash ? slash + 1 : NULL;
    }

    return g_steal_fd(&at);
}

/* A file is opened with O_NONBLOCK: a reader who holds a lease on it would block us for as long as he likes.
 */
static int open_existing(const Mount *mount, const char *path)
{
    int opened = open_at_once(mount, path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    char proc[SHIELD_FD_PATH_SIZE];

    if (opened >= 0 || (errno != ENOSYS && errno != EPERM))
        return opened;

    g_auto(ShieldFd) fd = walk(mount, path, NULL);
    if (fd < 0)
        return -1;
    return open(shield_fd_path(fd, proc), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

static int open_new(const Mount *mount, const char *path)
{
    const char *name;
    g_auto(ShieldFd) parent = walk(mount, path, &name);

    return parent < 0 ? -1
                      : openat(parent, name,
                               O_WRONLY | O_NONBLOCK | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
}

/* ftruncate and not O_TRUNC: that would take the pages away from whoever has the file mapped. */
static int write_event(const Mount *mount, const SfsAnnouncerRequest *request)
{
    g_auto(ShieldFd) fd = request->op == SFS_ANNOUNCER_CREATE ? open_new(mount, request->path)
                                                              : open_existing(mount, request->path);

    if (fd < 0 || (request->op != SFS_ANNOUNCER_CLOSE && ftruncate(fd, request->size) < 0))
        return errno;
    return 0;
}

/* By descriptor, for by name it would be done to what somebody has mounted there. */
static int set_attributes(const Mount *mount, const SfsAnnouncerRequest *request)
{
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, request->mtime};
    g_auto(ShieldFd) fd = walk(mount, request->path, NULL);
    char path[SHIELD_FD_PATH_SIZE];

    if (fd < 0)
        return errno;
    shield_fd_path(fd, path);

    int result = request->op == SFS_ANNOUNCER_TIME ? utimensat(AT_FDCWD, path, times, 0)
                                                   : fchmodat(AT_FDCWD, path, request->mode & 07777, 0);
    return result < 0 ? errno : 0;
}

/* The kernel refuses to remove what somebody has mounted something on. */
static int change_name(const Mount *mount, const SfsAnnouncerRequest *request)
{
    const char *name;
    g_auto(ShieldFd) parent = walk(mount, request->path, &name);
    int result;

    if (parent < 0)
        return errno;
    if (request->op == SFS_ANNOUNCER_MKDIR)
        result = mkdirat(parent, name, 0555);
    else
        result = unlinkat(parent, name, request->op == SFS_ANNOUNCER_RMDIR ? AT_REMOVEDIR : 0);
    return result < 0 ? errno : 0;
}

static int act(const char *mountpoint, dev_t expected, const SfsAnnouncerRequest *request)
{
    g_auto(ShieldFd) fd = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
    Mount mount = {.fd = fd};

    if (fd < 0 || expected == 0 || !where_is(fd, &mount.where) ||
        (mount.where.dev != expected && !shield_fault(SHIELD_FAULT_DEVICE)))
        return ESTALE;
    if (shield_fault(SHIELD_FAULT_FAIL_ANNOUNCEMENT))
        return EIO;
    switch (request->op) {
    case SFS_ANNOUNCER_MODIFY:
    case SFS_ANNOUNCER_CLOSE:
    case SFS_ANNOUNCER_CREATE:
        return write_event(&mount, request);
    case SFS_ANNOUNCER_TIME:
    case SFS_ANNOUNCER_ATTRIB:
        return set_attributes(&mount, request);
    case SFS_ANNOUNCER_MKDIR:
    case SFS_ANNOUNCER_UNLINK:
    case SFS_ANNOUNCER_RMDIR:
        return change_name(&mount, request);
    default:
        return EINVAL;
    }
}

int sfs_announcer_prepare(const char *mountpoint, dev_t dev)
{
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    g_auto(ShieldFd) fd = -1;
    Where where;

    prctl(PR_SET_NAME, "shieldfs-events");
    (void)setrlimit(RLIMIT_FSIZE, &unlimited); /* ftruncate obeys it before the server is asked */
    umask(0);
    fd = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && where_is(fd, &where) && where.dev == dev ? g_steal_fd(&fd) : -1;
}

void sfs_announcer_run(const char *mountpoint, dev_t dev, int socket, unsigned confined)
{
    SfsAnnouncerAnswer first = {.confined = confined};
    SfsAnnouncerRequest request;

    if (send(socket, &first, sizeof first, MSG_NOSIGNAL) != sizeof first)
        return;
    while (recv(socket, &request, sizeof request, 0) == sizeof request) {
        request.path[sizeof request.path - 1] = '\0';

        SfsAnnouncerAnswer answer = {.errnum = act(mountpoint, dev, &request)};
        if (send(socket, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer)
            break;
    }
}
