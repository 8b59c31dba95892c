/* SPDX-License-Identifier: Apache-2.0 */
/* ways: going each way name by name, and the mount table; see ways.h. */
#include "events/ways.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "events/mountinfo.h"
#include "open.h"
#include "paths.h"

/* Links that lead nowhere yet, one to the next. */
#define MAX_LINKS 8

/* So many times somebody may replace a directory just while it is looked at. */
#define MAX_TRIES 100

struct SfsWays {
    ShieldSources *sources;
    int table;        /* the mount table's descriptor */
    GPtrArray *paths; /* what the ways led to when they were gone last, as given and without links */
    char *mounts;     /* of the mounts then, those that matter to a way */
};

/* What is called for each directory. */
typedef struct {
    SfsWayFunc func;
    void *data;
} Walk;

SfsWays *sfs_ways_new(ShieldSources *sources)
{
    SfsWays *ways = g_new0(SfsWays, 1);

    ways->sources = sources;
    ways->table = sfs_mountinfo_open();
    ways->paths = g_ptr_array_new_with_free_func(g_free);
    return ways;
}

void sfs_ways_free(SfsWays *ways)
{
    shield_fd_close(ways->table);
    g_ptr_array_unref(ways->paths);
    g_free(ways->mounts);
    g_free(ways);
}

int sfs_ways_descriptor(const SfsWays *ways)
{
    return ways->table;
}

static gboolean leads_to(const char *path, int fd)
{
    struct stat there, known;

    return stat(path, &there) == 0 && fstat(fd, &known) == 0 && there.st_dev == known.st_dev &&
           there.st_ino == known.st_ino;
}

/* Watches what becomes of the directory at path, and opens it; -1 if there is none. It was there after the
 * watch was set, so that its going makes an event. */
static int open_watched(const Walk *walk, const char *path)
{
    for (;;) {
        g_auto(ShieldFd) fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
            return -1;
        walk->func(fd, path, NULL, walk->data);
        if (leads_to(path, fd)) {
            return g_steal_fd(&fd);
        }
    }
}

/* Watches what comes and goes by the name that path ends with. */
static void watch_name(const Walk *walk, const char *path)
{
    g_autofree char *where = g_path_get_dirname(path);
    g_auto(ShieldFd) fd = open(where, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        walk->func(fd, where, strrchr(path, '/') + 1, walk->data);
}

/* Watches what becomes of each directory on the way to path; and by its name the last one that is there, as
 * its own end may be told late, namely when nobody has it or anything in it open any more; and if that isn't
 * path itself, the next to come in it. FALSE: that last one was another in the end. */
static gboolean go_once(const Walk *walk, const char *path)
{
    g_auto(ShieldFd) last = open_watched(walk, "/");
    g_autofree char *way = g_strdup("/");

    for (const char *end = path; *end && last >= 0;) {
        end = strchrnul(end + 1, '/');

        g_autofree char *next = g_strndup(path, (gsize)(end - path));
        int fd = open_watched(walk, next);
        if (fd < 0) {
            watch_name(walk, next);
            fd = open_watched(walk, next); /* it may have come before the watch was there */
        }
        if (fd < 0)
            break;
        shield_fd_close(last);
        last = fd;
        g_free(way);
        way = g_steal_pointer(&next);
    }
    if (last < 0 || strcmp(way, "/") == 0)
        return TRUE;
    watch_name(walk, way);
    return leads_to(way, last);
}

static void go(const Walk *walk, const char *path)
{
    for (int tries = 0; tries < MAX_TRIES && !go_once(walk, path); tries++)
        ;
}

/* The first link on the way to path that leads nowhere: where it would lead, with the rest of path. NULL if
 * there is none. Free it. */
static char *follow_dangling(const char *path)
{
    for (const char *rest = path; *rest;) {
        rest = strchrnul(rest + 1, '/');

        g_autofree char *link = g_strndup(path, (gsize)(rest - path));
        g_autofree char *to = g_file_read_link(link, NULL);
        if (!to || access(link, F_OK) == 0)
            continue;
        g_autofree char *where = g_path_get_dirname(link);
        g_autofree char *whole = g_strconcat(*to == '/' ? "" : where, "/", to, rest, NULL);
        return shield_path_absolute(whole);
    }
    return NULL;
}

/* Goes the way to path, and remembers it. */
static void go_all(SfsWays *ways, const Walk *walk, const char *path)
{
    char *resolved = shield_path_resolve(path);

    if (resolved && strcmp(resolved, path) != 0)
        g_ptr_array_add(ways->paths, resolved);
    else
        g_free(resolved);
    g_ptr_array_add(ways->paths, g_strdup(path));
    go(walk, path);
}

/* A path that leads nowhere yet is watched before it is resolved, and what it resolves to is watched before
 * it is scanned. */
static void go_to_source(SfsWays *ways, const Walk *walk, guint source)
{
    const char *given = shield_sources_path(ways->sources, source);

    go_all(ways, walk, given);

    g_auto(ShieldFd) fd = shield_sources_open(ways->sources, source);
    g_autofree char *resolved = shield_sources_resolved(ways->sources, source);
    g_autofree char *path = fd >= 0 ? NULL : follow_dangling(given);

    if (resolved && strcmp(resolved, given) != 0)
        go_all(ways, walk, resolved);
    for (int links = 1; path && links < MAX_LINKS; links++) {
        g_autofree char *here = g_steal_pointer(&path);

        go_all(ways, walk, here);
        path = follow_dangling(here);
    }
}

/* Is a mount at place on one of the ways, or over something that counts beneath its end? */
static gboolean matters(const char *place, const void *data)
{
    const GPtrArray *paths = data;

    for (guint i = 0; i < paths->len; i++) {
        const char *path = g_ptr_array_index(paths, i);

        if (shield_path_contains(place, path))
            return TRUE;
        if (shield_path_contains(path, place) && shield_sources_matters(place + strlen(path) + 1))
            return TRUE;
    }
    return FALSE;
}

void sfs_ways_walk(SfsWays *ways, SfsWayFunc func, void *data)
{
    const Walk walk = {func, data};
    g_autofree char *table = sfs_mountinfo_read(); /* a mount that comes later differs from this */

    g_ptr_array_set_size(ways->paths, 0);
    for (guint i = 0; i < shield_sources_count(ways->sources); i++)
        go_to_source(ways, &walk, i);
    g_free(ways->mounts);
    ways->mounts = sfs_mountinfo_pick(table, matters, ways->paths);
}

gboolean sfs_ways_have_changed(SfsWays *ways)
{
    g_autofree char *table = sfs_mountinfo_read();
    g_autofree char *mounts = sfs_mountinfo_pick(table, matters, ways->paths);

    return g_strcmp0(mounts, ways->mounts) != 0;
}
