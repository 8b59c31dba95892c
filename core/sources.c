/* SPDX-License-Identifier: Apache-2.0 */
/* sources: paths, how they are resolved and opened, and what a wrong one looks like; see sources.h. */
#include "sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "directory.h"
#include "layout.h"
#include "lock.h"
#include "open.h"
#include "paths.h"
#include "text.h"

/* How long to wait for somebody else who resolves a source. */
#define RESOLVING_TRIES 100
#define RESOLVING_USEC 1000

typedef struct {
    char *path;
    GMutex lock;      /* protects resolved */
    char *resolved;   /* NULL: not found yet, or gone */
    gboolean again;   /* resolve it anew; until that is done the old one serves */
    GMutex resolving; /* held while path is resolved, by trylock only: see lock_resolving */
} Source;

struct ShieldSources {
    Source *all;
    guint n;
    char *excluded;
};

ShieldSources *shield_sources_new(const char *const *paths, const char *excluded)
{
    ShieldSources *sources = g_new0(ShieldSources, 1);

    sources->n = g_strv_length((char **)paths);
    sources->all = g_new0(Source, sources->n);
    sources->excluded = g_strdup(excluded);
    for (guint i = 0; i < sources->n; i++) {
        sources->all[i].path = shield_path_absolute(paths[i]);
        g_mutex_init(&sources->all[i].lock);
        g_mutex_init(&sources->all[i].resolving);
    }
    return sources;
}

void shield_sources_free(ShieldSources *sources)
{
    for (guint i = 0; i < sources->n; i++) {
        g_free(sources->all[i].path);
        g_free(sources->all[i].resolved);
        g_mutex_clear(&sources->all[i].lock);
        g_mutex_clear(&sources->all[i].resolving);
    }
    g_free(sources->all);
    g_free(sources->excluded);
    g_free(sources);
}

guint shield_sources_count(const ShieldSources *sources)
{
    return sources->n;
}

const char *shield_sources_path(const ShieldSources *sources, guint source)
{
    return sources->all[source].path;
}

char *shield_sources_resolved(ShieldSources *sources, guint source)
{
    Source *s = &sources->all[source];
    SHIELD_AUTO_LOCK(&s->lock);

    return g_strdup(s->resolved);
}

static void set_resolved(Source *s, const char *resolved)
{
    SHIELD_AUTO_LOCK(&s->lock);

    g_free(s->resolved);
    s->resolved = g_strdup(resolved);
}

void shield_sources_forget(ShieldSources *sources)
{
    for (guint i = 0; i < sources->n; i++) {
        Source *s = &sources->all[i];
        SHIELD_AUTO_LOCK(&s->lock);

        s->again = TRUE;
    }
}

static gboolean is_excluded(const ShieldSources *sources, const char *resolved)
{
    return sources->excluded && (shield_path_contains(sources->excluded, resolved) ||
                                 shield_path_contains(resolved, sources->excluded));
}

/* A directory that may not be entered can be opened all the same, so that is asked for by itself. */
static int open_absolute(const char *path)
{
    g_auto(ShieldFd) fd = shield_open_beneath(AT_FDCWD, path);
    struct stat st;

    if (fd < 0 || shield_stat(fd, ".", &st) < 0)
        return -1;

    return g_steal_fd(&fd);
}

static int open_resolved(ShieldSources *sources, guint source)
{
    g_autofree char *known = shield_sources_resolved(sources, source);

    if (known)
        return open_absolute(known);
    errno = ENOENT;
    return -1;
}

/* Whoever resolves has the lock resolving. FALSE with errno. */
static gboolean resolve(ShieldSources *sources, Source *s)
{
    char *resolved = realpath(s->path, NULL);
    int failed = errno;

    if (resolved && is_excluded(sources, resolved)) {
        failed = EXDEV;
        g_clear_pointer(&resolved, free);
    }
    set_resolved(s, resolved);

    gboolean found = resolved != NULL;
    free(resolved);
    errno = failed;
    return found;
}

/* Somebody may be resolving it at this moment: then it is worth a short wait. But not a long one: he may be
 * waiting for us, if a link of the operator's leads into the mount, and this is the request that his
 * resolving has caused. */
static gboolean lock_resolving(Source *s)
{
    for (int tries = 0; tries < RESOLVING_TRIES; tries++) {
        if (g_mutex_trylock(&s->resolving))
            return TRUE;
        g_usleep(RESOLVING_USEC);
    }
    return FALSE;
}

static gboolean take_again(Source *s)
{
    SHIELD_AUTO_LOCK(&s->lock);
    gboolean again = s->again;

    s->again = FALSE;
    return again;
}

/* A resolved path has no links and leads nowhere into the mount, so that opening it name by name never asks
 * this very program. Resolving may: the links are the operator's. */
int shield_sources_open(ShieldSources *sources, guint source)
{
    Source *s = &sources->all[source];
    int fd = -1;

    if (g_mutex_trylock(&s->resolving)) {
        if (take_again(s))
            (void)resolve(sources, s);
        g_mutex_unlock(&s->resolving);
    }
    fd = open_resolved(sources, source);
    if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR && errno != ELOOP))
        return fd;
    if (!lock_resolving(s)) {
        errno = ENOENT;
        return -1;
    }
    fd = open_resolved(sources, source); /* somebody else may have resolved it meanwhile */
    if (fd < 0 && resolve(sources, s))
        fd = open_resolved(sources, source);

    int failed = errno;
    g_mutex_unlock(&s->resolving);
    errno = failed;
    return fd;
}

/* What a directory with these entries may be that somebody has given for a source. names: its path without
 * links, taken apart; n of them. *up: how far above it the source is, 0 if there is none. */
static const char *looks_like(GPtrArray *entries, char **names, guint n, guint *up)
{
    gboolean bundle = FALSE;
    ShieldFile file;

    for (guint i = 0; i < entries->len; i++)
        bundle |= shield_layout_find_name(((ShieldEntry *)g_ptr_array_index(entries, i))->name, &file);
    *up = 0;
    if (n >= 2 && strcmp(names[n - 2], SHIELD_CONTAINERS) == 0)
        *up = 2;
    else if (n >= 4 && strcmp(names[n - 4], SHIELD_TASKS) == 0 && strcmp(names[n - 1], SHIELD_SHIELD) == 0)
        *up = 4;
    if (bundle || *up)
        return "a bundle";
    for (guint i = 1; i <= MIN(n, 3) && !*up; i++) {
        if (strcmp(names[n - i], SHIELD_TASKS) == 0)
            *up = i;
    }
    if (*up)
        return *up == 1 ? "the directory tasks itself" : *up == 2 ? "a project of tasks" : "a task";
    *up = n >= 1 && strcmp(names[n - 1], SHIELD_CONTAINERS) == 0 ? 1 : 0;
    return *up ? "the directory containers itself" : NULL;
}

static char *path_above(char **names, guint n)
{
    GString *path = g_string_new(NULL);

    for (guint i = 0; i < n; i++)
        g_string_append_printf(path, "/%s", names[i]);
    return g_string_free(path, FALSE);
}

char *shield_sources_misfit(ShieldSources *sources, guint source, int fd)
{
    static const char what[] = "neither containers nor tasks is in it";
    g_autoptr(GPtrArray) entries = shield_directory_list(fd);
    g_autofree char *path = shield_sources_resolved(sources, source);
    g_auto(GStrv) names = g_strsplit(path ? path + 1 : "", "/", -1);
    guint n = g_strv_length(names), up = 0;
    const char *like = entries && entries->len > 0 ? looks_like(entries, names, n, &up) : NULL;

    if (!like)
        return g_strdup(what);
    if (up == 0)
        return g_strdup_printf("%s; it looks like %s: give the directory that has it as containers/NAME",
                               what, like);

    g_autofree char *above = path_above(names, n - up);
    g_autofree char *give = shield_text_escape(*above ? above : "/", -1);
    return g_strdup_printf("%s; it looks like %s: give %s", what, like, give);
}

gboolean shield_sources_matters(const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    guint n = g_strv_length(names);

    if (n == 0 || strcmp(names[0], SHIELD_CONTAINERS) == 0)
        return TRUE;
    return strcmp(names[0], SHIELD_TASKS) == 0 && (n <= 3 || strcmp(names[3], SHIELD_SHIELD) == 0);
}
