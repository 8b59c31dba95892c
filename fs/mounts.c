/* SPDX-License-Identifier: Apache-2.0 */
/* mounts: reading mountinfo, and unmounting; see mounts.h. */
#include "mounts.h"

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

#define FS_TYPE "fuse.shieldfs"
#define MOUNT_TABLE "/proc/self/mountinfo"
/* What getmntent(3) reads of a line, and what is in it besides device and path: type, options, separators. */
#define MAX_LINE 4095
#define REST_OF_LINE 255
/* How often to look whether a lock is free. */
#define LOCK_PAUSE_USEC 5000
/* How long to wait for those who clear a place next to ours: longer than fusermount3 takes. */
#define CLEAR_USEC G_USEC_PER_SEC

void sfs_mount_free(SfsMount *mount)
{
    g_free(mount->path);
    g_free(mount->type);
    g_free(mount->device);
    g_free(mount);
}

/* A line of mountinfo: id parent major:minor root MOUNTPOINT options [optional fields] - TYPE DEVICE …; what
 * could be mistaken for a separator stands as an octal escape. */
static SfsMount *parse_line(const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    const char *separator = strstr(line, " - ");
    g_auto(GStrv) after = g_strsplit(separator ? separator + 3 : "", " ", -1);

    if (g_strv_length(words) < 6 || g_strv_length(after) < 2)
        return NULL;

    const char *minor = strchr(words[2], ':');
    SfsMount *mount = g_new(SfsMount, 1);
    *mount = (SfsMount){.path = g_strcompress(words[4]),
                        .type = g_strcompress(after[0]),
                        .device = g_strcompress(after[1]),
                        .id = (int)g_ascii_strtoll(words[0], NULL, 10),
                        .dev = makedev((guint)g_ascii_strtoull(words[2], NULL, 10),
                                       minor ? (guint)g_ascii_strtoull(minor + 1, NULL, 10) : 0),
                        .ours = strcmp(after[0], FS_TYPE) == 0};
    return mount;
}

/* The last in the table of those that wanted says yes to: of two at the same place, the later one is on top.
 */
static SfsMount *find(const void *wanted,
                      gboolean (*better)(const SfsMount *mount, const SfsMount *best, const void *wanted))
{
    g_autofree char *text = NULL;
    SfsMount *best = NULL;

    if (!g_file_get_contents(MOUNT_TABLE, &text, NULL, NULL))
        return NULL;

    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        SfsMount *mount = parse_line(*line);

        if (mount && better(mount, best, wanted)) {
            g_clear_pointer(&best, sfs_mount_free);
            best = g_steal_pointer(&mount);
        }
        g_clear_pointer(&mount, sfs_mount_free);
    }
    return best;
}

static gboolean is_at(const SfsMount *mount, const SfsMount *best, const void *path)
{
    (void)best;
    return strcmp(mount->path, path) == 0;
}

SfsMount *sfs_mounts_at(const char *path)
{
    return find(path, is_at);
}

static gboolean has_device(const SfsMount *mount, const SfsMount *best, const void *dev)
{
    (void)best;
    return mount->ours && mount->dev == *(const dev_t *)dev;
}

SfsMount *sfs_mounts_of(dev_t dev)
{
    return find(&dev, has_device);
}

gboolean sfs_mounts_is_dead(const char *path)
{
    struct stat st;

    return stat(path, &st) < 0 && errno == ENOTCONN;
}

static gboolean holds_closer(const SfsMount *mount, const SfsMount *best, const void *path)
{
    return shield_path_contains(mount->path, path) && (!best || strlen(mount->path) >= strlen(best->path));
}

SfsMount *sfs_mounts_holding(const char *path)
{
    return find(path, holds_closer);
}

int sfs_mounts_open(void)
{
    return open(MOUNT_TABLE, O_RDONLY | O_CLOEXEC);
}

char *sfs_mounts_read(void)
{
    char *text = NULL;

    return g_file_get_contents(MOUNT_TABLE, &text, NULL, NULL) ? text : g_strdup("");
}

/* What tells a mount from another: its line up to the end of the fifth word, the place. */
static gsize identity_length(const char *line)
{
    const char *end = line;

    for (int words = 0; words < 5; words++) {
        end += strspn(end, " ");
        end += strcspn(end, " ");
    }
    return (gsize)(end - line);
}

char *sfs_mounts_pick(const char *table, gboolean (*wanted)(const char *path, const void *data),
                      const void *data)
{
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
    GString *picked = g_string_new(NULL);

    for (char **line = lines; *line; line++) {
        g_autoptr(SfsMount) mount = parse_line(*line);

        if (mount && wanted(mount->path, data)) {
            g_string_append_len(picked, *line, (gssize)identity_length(*line));
            g_string_append_c(picked, '\n');
        }
    }
    return g_string_free(picked, FALSE);
}

/* As the mount table writes a word: each of these as four bytes. */
static gsize escaped_length(const char *word)
{
    gsize len = 0;

    for (; *word; word++)
        len += strchr(" \t\n\\#", *word) ? 4 : 1;
    return len;
}

gboolean sfs_mounts_fit(const char *device, const char *path)
{
    return escaped_length(device) + escaped_length(path) + REST_OF_LINE <= MAX_LINE;
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
    g_autofree char *place = g_strdup_printf("/proc/self/fd/%d", fd);
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

/* The helper goes by path. So that it is never late and finds what another has just mounted, who clears a
 * place has the lock of the directory that it is in. Where that can't be had, the last look must do. */
gboolean sfs_mounts_detach_dead(const char *path)
{
    gboolean root = geteuid() == 0, gone = TRUE;
    int failed;
    g_autofree char *parent = g_path_get_dirname(path);
    int lock = root ? -1 : sfs_mounts_lock(parent, CLEAR_USEC); /* root pins the mount */
    g_autoptr(SfsMount) mount = sfs_mounts_at(path);

    if (mount && mount->ours && sfs_mounts_is_dead(path))
        gone = root ? detach_pinned(mount, TRUE) : detach_by_helper(mount);
    failed = errno;
    gone = gone || !sfs_mounts_is_dead(path); /* somebody else was quicker */
    sfs_mounts_unlock(&lock);
    errno = failed;
    return gone;
}
