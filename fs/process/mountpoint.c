/* SPDX-License-Identifier: Apache-2.0 */
/* mountpoint: checks before the mount; see mountpoint.h. */
#include "process/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "catalog.h"
#include "directory.h"
#include "error.h"
#include "open.h"
#include "process/mounts.h"
#include "text.h"

#define DEV_FUSE "/dev/fuse"
#define FUSE_DEVICE makedev(10, 229) /* by the kernel's list of devices */
#define FUSE_CONF "/etc/fuse.conf"
#define MAX_CONF_LINE 254
#define MIN_DESCRIPTORS 64 /* with fewer some part of it fails: the three processes' own are some twenty */
/* How long to wait for another start at the same place: longer than one takes. */
#define CLAIM_USEC (5 * G_USEC_PER_SEC)

/* Sets *error to "PATH: TEXT", and what is mounted there if something is. */
static void refuse(GError **error, int errnum, const char *path, const char *text)
{
    g_autoptr(SfsMount) mount = sfs_mountinfo_at(path);
    g_autofree char *device = mount ? shield_text_escape(mount->device, -1) : NULL;

    if (mount)
        shield_error_set(error, errnum, NULL, path, "%s (%s, a mount of %s, is there)", text, device,
                         mount->type);
    else
        shield_error_set(error, errnum, NULL, path, "%s", text);
}

/* A mount whose server died answers ENOTCONN to everything. Another start may take it away meanwhile. */
static gboolean clear_dead_mount(const char *path, GError **error)
{
    g_autofree char *escaped = shield_error_subject(NULL, path);
    g_autoptr(SfsMount) mount = sfs_mountinfo_at(path);

    if (mount && mount->ours && sfs_mounts_detach_dead(path)) {
        g_info("%s: a dead mount of shieldfs was taken away", escaped);
        return TRUE;
    }
    if (!sfs_mounts_is_dead(path))
        return TRUE;
    shield_error_set(error, ENOTCONN, NULL, path,
                     mount && mount->ours ? "a dead shieldfs mount is there: run fusermount3 -uz on it"
                                          : "a dead mount of another program is there: unmount it first");
    return FALSE;
}

/* Is no shieldfs mounted here, not even below another mount? */
static gboolean check_free(const char *path, GError **error)
{
    while (sfs_mounts_is_dead(path)) {
        if (!clear_dead_mount(path, error))
            return FALSE;
    }

    g_autoptr(SfsMount) mount = sfs_mountinfo_at(path);
    if (!mount || !mount->ours)
        return TRUE;
    refuse(error, EBUSY, path, "already mounted here: unmount that first, with fusermount3 -u");
    return FALSE;
}

/* Is the directory at path still the one that is open as fd? */
static gboolean is_same(int fd, const char *path)
{
    struct stat opened, there;

    return fstat(fd, &opened) == 0 && stat(path, &there) == 0 && opened.st_dev == there.st_dev &&
           opened.st_ino == there.st_ino;
}

/* Of several starts at one place, one at a time gets through: it holds the lock of the directory until its
 * mount is there, and the next one finds that mount. Where no lock can be had, the check before must do. */
static gboolean claim(const char *path, int *lock, GError **error)
{
    if (!check_free(path, error))
        return FALSE;
    *lock = sfs_mounts_lock(path, CLAIM_USEC);
    if (*lock < 0 && errno == EWOULDBLOCK) {
        shield_error_set(
            error, EWOULDBLOCK, NULL, path,
            "another shieldfs is being started here, or some program keeps a lock on the directory "
            "(lslocks tells which)");
        return FALSE;
    }
    if (*lock < 0)
        return TRUE;
    if (!check_free(path, error))
        return FALSE;
    if (!is_same(*lock, path)) {
        shield_error_set(error, EAGAIN, NULL, path, "another directory has come here just now: try again");
        return FALSE;
    }
    return TRUE;
}

static gboolean check_empty(const char *path, GError **error)
{
    g_auto(ShieldFd) fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g_autoptr(GPtrArray) entries = fd < 0 ? NULL : shield_directory_list(fd);

    if (!entries) {
        shield_error_set_errno(error, errno, NULL, path);
        return FALSE;
    }
    if (entries->len > 0) {
        refuse(error, ENOTEMPTY, path, "the mount point is not empty: choose another, or use -o nonempty");
        return FALSE;
    }
    return TRUE;
}

static gboolean check_directory(const SfsOptions *options, const char *path, GError **error)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        if (errno == ENOENT)
            shield_error_set(error, ENOENT, NULL, path, "no such mount point: make the directory first");
        else
            refuse(error, errno, path, g_strerror(errno));
        return FALSE;
    }
    if (!S_ISDIR(st.st_mode)) {
        shield_error_set(error, ENOTDIR, NULL, path, "the mount point is not a directory");
        return FALSE;
    }
    if (geteuid() != 0 && access(path, W_OK) < 0) {
        refuse(error, EACCES, path, "the mount point must be writable for the user who mounts");
        return FALSE;
    }
    return options->nonempty || check_empty(path, error);
}

static char *resolve(const char *mountpoint, GError **error)
{
    g_autofree char *whole = shield_path_absolute(mountpoint);
    char *resolved = realpath(whole, NULL); /* asks nothing of a mount that is there, dead or alive */
    int failed = errno;
    g_autofree char *path = g_strdup(resolved);

    free(resolved);
    if (!sfs_mountinfo_fit(SFS_MOUNTINFO_DEVICE, path ? path : whole))
        /* The place itself would leave no room for what is wrong with it. */
        shield_error_set_errno(error, ENAMETOOLONG, NULL, "MOUNTPOINT");
    else if (!path && failed == ENOENT)
        shield_error_set(error, ENOENT, NULL, mountpoint, "no such mount point: make the directory first");
    else if (!path)
        shield_error_set_errno(error, failed, NULL, mountpoint);
    else
        return g_steal_pointer(&path);
    return NULL;
}

/* Are the sources apart from the mount point, and none on a shieldfs mount? */
static gboolean check_sources(const SfsOptions *options, const char *mountpoint, GError **error)
{
    for (char **source = options->sources; *source; source++) {
        g_autofree char *resolved = shield_path_resolve(*source);

        if (!resolved) /* can't be searched now; the view says so in its status */
            continue;
        if (shield_path_contains(mountpoint, resolved)) {
            shield_error_set(error, EINVAL, NULL, *source, "the source lies inside the mount point");
            return FALSE;
        }
        if (shield_path_contains(resolved, mountpoint)) {
            shield_error_set(error, EINVAL, NULL, *source, "the source contains the mount point");
            return FALSE;
        }

        g_autoptr(SfsMount) mount = sfs_mountinfo_holding(resolved);
        if (mount && mount->ours) {
            shield_error_set(error, EINVAL, NULL, *source, "the source lies on a shieldfs mount");
            return FALSE;
        }
    }
    return TRUE;
}

char *sfs_mountpoint_prepare(const SfsOptions *options, int *lock, GError **error)
{
    g_autofree char *path = resolve(options->mountpoint, error);

    *lock = -1;
    if (!path || !check_sources(options, path, error))
        return NULL;
    if (!claim(path, lock, error) || !check_directory(options, path, error)) {
        sfs_mounts_unlock(lock);
        return NULL;
    }
    return g_steal_pointer(&path);
}

/* What keeps a source from being searched at all, as an errno; 0: nothing that is seen from here. Its
 * filesystem is not asked, as it may hang. */
static int source_fault(const char *path)
{
    struct statx sx;

    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &sx) == 0)
        return S_ISDIR(sx.stx_mode) ? 0 : ENOTDIR;
    /* There is no such call here; the C library has one of its own then, which takes no such flags. */
    if ((errno == ENOSYS || errno == EPERM || errno == EINVAL) && access(path, F_OK) == 0)
        return 0;
    return errno == ENOTDIR ? ENOENT : errno; /* a file on the way to it may go */
}

void sfs_mountpoint_tell_of_sources(const SfsOptions *options)
{
    gboolean absent = TRUE;

    for (char **source = options->sources; *source; source++) {
        g_autofree char *path = shield_text_escape(*source, -1);
        int errnum = source_fault(*source);

        absent &= errnum == ENOENT;
        if (errnum != 0 && errnum != ENOENT)
            g_message("%s: %s: nothing of it is shown while that is so", path, g_strerror(errnum));
    }
    if (!absent)
        return;

    g_autofree char *all = g_strjoinv(", ", options->sources);
    g_autofree char *paths = shield_text_escape(all, -1);
    g_message("%s: no such directory: the view is empty until there is one", paths);
}

/* As fusermount3 reads it: a comment ends a line, and what does not end in a newline, or is longer than its
 * buffer, is no line. */
static gboolean user_allow_other(void)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents(FUSE_CONF, &text, NULL, NULL))
        return FALSE;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        if (end - line <= MAX_CONF_LINE) {
            line[strcspn(line, "#")] = '\0';
            g_strdelimit(line, "\v", ' '); /* the one blank that GLib does not take for one */
            if (strcmp(g_strstrip(line), "user_allow_other") == 0)
                return TRUE;
        }
    }
    return FALSE;
}

static gboolean check_device(GError **error)
{
    g_auto(ShieldFd) fd = open(DEV_FUSE, O_RDWR | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && (errno == EACCES || errno == EPERM))
        shield_error_set(error, errno, NULL, DEV_FUSE,
                         "no permission: it should be readable and writable for everyone, and not lie on a "
                         "filesystem that is mounted nodev");
    else if (fd < 0)
        shield_error_set(error, errno, NULL, DEV_FUSE,
                         "%s: load the kernel's fuse module, or pass the device into the container",
                         g_strerror(errno));
    else if (fstat(fd, &st) == 0 && (!S_ISCHR(st.st_mode) || st.st_rdev != FUSE_DEVICE))
        shield_error_set(error, ENODEV, NULL, DEV_FUSE,
                         "not the kernel's device: that is made by mknod -m 666 " DEV_FUSE " c 10 229");
    else
        return TRUE;
    return FALSE;
}

/* What is missed later where it would be hard to tell. */
static gboolean check_resources(GError **error)
{
    struct rlimit limit;

    if (access("/proc/self/fd", X_OK) < 0) {
        shield_error_set(error, errno, NULL, "/proc", "%s: mount it: what is open is found by it",
                         g_strerror(errno));
        return FALSE;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < MIN_DESCRIPTORS) {
        shield_error_set(error, EMFILE, NULL, "ulimit -Hn",
                         "%lu open files are too few: raise that to %d at least",
                         (unsigned long)limit.rlim_max, MIN_DESCRIPTORS);
        return FALSE;
    }
    return TRUE;
}

gboolean sfs_mountpoint_check_system(const SfsOptions *options, GError **error)
{
    if (!check_resources(error) || !check_device(error))
        return FALSE;
    if (geteuid() == 0)
        return TRUE;

    g_autofree char *helper = g_find_program_in_path("fusermount3");
    if (!helper) {
        shield_error_set(error, ENOENT, NULL, "fusermount3", "not found: install the package fuse3");
        return FALSE;
    }
    if (options->allow_other && !user_allow_other()) {
        shield_error_set(error, EPERM, NULL, "-o allow_other",
                         "needs the line user_allow_other in " FUSE_CONF);
        return FALSE;
    }
    return TRUE;
}
