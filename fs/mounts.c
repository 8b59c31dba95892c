/* SPDX-License-Identifier: Apache-2.0 */
/* mounts: reading mountinfo, and unmounting; see mounts.h. */
#include "mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "catalog.h"

#define FS_TYPE "fuse.shieldfs"

void sfs_mount_free(SfsMount *mount)
{
    g_free(mount->path);
    g_free(mount);
}

/* A line of mountinfo: id parent major:minor root MOUNTPOINT options [optional fields] - TYPE …; what could
 * be mistaken for a separator stands as an octal escape. */
static SfsMount *parse_line(const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    const char *after = strstr(line, " - ");

    if (g_strv_length(words) < 6 || !after)
        return NULL;

    const char *minor = strchr(words[2], ':');
    SfsMount *mount = g_new(SfsMount, 1);
    *mount = (SfsMount){.path = g_strcompress(words[4]),
                        .id = (int)g_ascii_strtoll(words[0], NULL, 10),
                        .dev = makedev((guint)g_ascii_strtoull(words[2], NULL, 10),
                                       minor ? (guint)g_ascii_strtoull(minor + 1, NULL, 10) : 0),
                        .ours = g_str_has_prefix(after + 3, FS_TYPE " ")};
    return mount;
}

/* The last in the table of those that wanted says yes to: of two at the same place, the later one is on top.
 */
static SfsMount *find(const void *wanted,
                      gboolean (*better)(const SfsMount *mount, const SfsMount *best, const void *wanted))
{
    g_autofree char *text = NULL;
    SfsMount *best = NULL;

    if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL))
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

gboolean sfs_mounts_detach(const char *path)
{
    const char *argv[] = {"fusermount3", "-u", "-z", "--", path, NULL};
    int status;

    if (geteuid() == 0)
        return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
    return g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                        NULL, NULL, NULL, &status, NULL) &&
           g_spawn_check_wait_status(status, NULL);
}
