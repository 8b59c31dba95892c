/* SPDX-License-Identifier: Apache-2.0 */
/* mountinfo: reading the mount table; see mountinfo.h. */
#include "events/mountinfo.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "paths.h"

#define FS_TYPE "fuse.shieldfs"
#define MOUNT_TABLE "/proc/self/mountinfo"
/* What getmntent(3) reads of a line, and what is in it besides device and path: type, options, separators. */
#define MAX_LINE 4095
#define REST_OF_LINE 255

void sfs_mount_free(SfsMount *mount)
{
    g_free(mount->path);
    g_free(mount->type);
    g_free(mount->device);
    g_free(mount);
}

/* A line of mountinfo: id parent major:minor root MOUNTPOINT options [optional fields] - TYPE DEVICE …; what
 * could be mistaken for a separator stands as an octal escape. */
SfsMount *sfs_mountinfo_parse(const char *line)
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
        SfsMount *mount = sfs_mountinfo_parse(*line);

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

SfsMount *sfs_mountinfo_at(const char *path)
{
    return find(path, is_at);
}

static gboolean has_device(const SfsMount *mount, const SfsMount *best, const void *dev)
{
    (void)best;
    return mount->ours && mount->dev == *(const dev_t *)dev;
}

SfsMount *sfs_mountinfo_of(dev_t dev)
{
    return find(&dev, has_device);
}

static gboolean holds_closer(const SfsMount *mount, const SfsMount *best, const void *path)
{
    return shield_path_contains(mount->path, path) && (!best || strlen(mount->path) >= strlen(best->path));
}

SfsMount *sfs_mountinfo_holding(const char *path)
{
    return find(path, holds_closer);
}

int sfs_mountinfo_open(void)
{
    return open(MOUNT_TABLE, O_RDONLY | O_CLOEXEC);
}

char *sfs_mountinfo_read(void)
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

char *sfs_mountinfo_pick(const char *table, gboolean (*wanted)(const char *path, const void *data),
                         const void *data)
{
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
    GString *picked = g_string_new(NULL);

    for (char **line = lines; *line; line++) {
        g_autoptr(SfsMount) mount = sfs_mountinfo_parse(*line);

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

gboolean sfs_mountinfo_fit(const char *device, const char *path)
{
    return escaped_length(device) + escaped_length(path) + REST_OF_LINE <= MAX_LINE;
}
