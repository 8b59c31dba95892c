/* SPDX-License-Identifier: Apache-2.0 */
/* watches: targets of the inotify watch; see watches.h. */
#include "watches.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect.h"

/* Links that lead nowhere yet, one to the next. */
#define MAX_LINKS 8
/* Begun anew under its name, rather than written into. */
#define REPLACED (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM)

/* A watched directory: one that bundles are found by, a bundle, or its hooks. */
typedef struct {
    SfsContainer *container; /* a reference; NULL: no bundle */
    gboolean hooks;
    char *only;         /* the one name in it that matters, "" if none does; NULL: all do */
    guint64 generation; /* of the scan that saw it last */
} Target;

typedef struct {
    Target bundle, hooks;
} BundleWatch;

struct SfsWatches {
    SfsView *view;
    SfsMarks *marks;
    ShieldWatch *watch;
    SfsWrittenFunc written; /* NULL: nobody is to be told */
    void *written_data;
    GHashTable *holders; /* what for and path to Target */
    guint64 generation;
    GMutex lock;         /* protects the rest; the watcher's thread alone changes it */
    GHashTable *bundles; /* SfsContainer to BundleWatch */
    GPtrArray *degraded;
};

static void mark_list(SfsWatches *watches, const SfsContainer *container, guint32 mask, const char *name)
{
    ShieldMark mark = SHIELD_MARK_CHANGED;

    if (mask & (IN_CLOSE_WRITE | REPLACED))
        mark = SHIELD_MARK_WRITTEN;
    else if (mask & IN_MODIFY)
        mark = SHIELD_MARK_WRITING;
    if (shield_bundle_mark(container->bundle, name, mark) && mark == SHIELD_MARK_WRITTEN && watches->written)
        watches->written(watches->written_data, container);
}

void sfs_watches_set_written(SfsWatches *watches, SfsWrittenFunc func, void *data)
{
    watches->written = func;
    watches->written_data = data;
}

void sfs_watches_mark_everything(SfsWatches *watches)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&watches->lock);
    GHashTableIter iter;
    void *container;

    g_hash_table_iter_init(&iter, watches->bundles);
    while (g_hash_table_iter_next(&iter, &container, NULL))
        shield_bundle_mark_all(((SfsContainer *)container)->bundle);
    (void)sfs_marks_everything(watches->marks);
}

static gboolean on_event(void *data, guint32 mask, const char *name, void *user_data)
{
    SfsWatches *watches = user_data;
    const Target *target = data;

    if (!target) { /* events were lost */
        sfs_watches_mark_everything(watches);
        return TRUE;
    }
    if (target->container && !target->hooks && (mask & IN_IGNORED))
        shield_bundle_set_watched(target->container->bundle,
                                  FALSE); /* its directory was unmounted, or is gone */
    if (target->only && name && strcmp(name, target->only) != 0)
        return FALSE;
    if (!target->container || !name)
        return sfs_marks_structure(watches->marks);
    if (!target->hooks)
        mark_list(watches, target->container, mask, name);
    return sfs_marks_name(watches->marks, target->container, target->hooks, name, mask);
}

/* errno says why. */
static void note_unwatched(SfsWatches *watches, const char *path)
{
    const char *why = errno == ENOSPC       ? "the limit of inotify watches is reached"
                      : errno == EOPNOTSUPP ? "its filesystem does not tell of changes"
                                            : g_strerror(errno);
    g_autofree char *text =
        g_strdup_printf("not watched (%s): compared every %u s", why, watches->view->options->poll_sec);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&watches->lock);
    shield_add_line(watches->degraded, NULL, path, text);
}

static ShieldWatched add_watch(SfsWatches *watches, int fd, const char *path, ShieldWatchKind kind,
                               Target *target)
{
    ShieldWatched watched = shield_watch_add(watches->watch, fd, kind, target);

    if (watched == SHIELD_WATCH_REFUSED)
        note_unwatched(watches, path);
    return watched;
}

static void target_free(void *data)
{
    Target *target = data;

    g_free(target->only);
    g_free(target);
}

/* A directory may have several: one for each thing, what, that it is watched for. */
static Target *holder(SfsWatches *watches, const char *what, const char *path, const char *only)
{
    g_autofree char *key = g_strconcat(what, path, NULL);
    Target *target = g_hash_table_lookup(watches->holders, key);

    if (!target) {
        target = g_new0(Target, 1);
        target->only = g_strdup(only);
        g_hash_table_insert(watches->holders, g_steal_pointer(&key), target);
    }
    target->generation = watches->generation;
    return target;
}

static void watch_holder(int fd, const char *path, void *data)
{
    SfsWatches *watches = data;

    add_watch(watches, fd, path, SHIELD_WATCH_NAMES, holder(watches, "", path, NULL));
}

static gboolean leads_to(const char *path, int fd)
{
    struct stat there, known;

    return stat(path, &there) == 0 && fstat(fd, &known) == 0 && there.st_dev == known.st_dev &&
           there.st_ino == known.st_ino;
}

/* Watches what becomes of the directory at path, and opens it; -1 if there is none. It was there after the
 * watch was set, so that its going makes an event. */
static int open_watched(SfsWatches *watches, const char *path)
{
    for (;;) {
        g_auto(ShieldFd) fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
            return -1;
        add_watch(watches, fd, path, SHIELD_WATCH_SELF, holder(watches, "way:", path, ""));
        if (leads_to(path, fd)) {
            int found = fd;

            fd = -1;
            return found;
        }
    }
}

/* Watches the directories on the way to path: what becomes of each; and the last one that is there, if that
 * isn't path itself, for the next to come in it. */
static void watch_way(SfsWatches *watches, const char *path)
{
    g_auto(ShieldFd) above = open_watched(watches, "/");

    for (const char *end = path; *end && above >= 0;) {
        const char *name = end + 1;

        end = strchrnul(name, '/');

        g_autofree char *way = g_strndup(path, (gsize)(end - path));
        g_autofree char *where = g_path_get_dirname(way);
        int fd = open_watched(watches, way);
        if (fd < 0) {
            g_autofree char *only = g_strndup(name, (gsize)(end - name));

            add_watch(watches, above, where, SHIELD_WATCH_ARRIVAL, holder(watches, "to:", way, only));
            fd = open_watched(watches, way); /* it may have come before the watch was there */
        }
        shield_fd_close(above);
        above = fd;
    }
}

/* Where the first link on the way to path leads that leads nowhere, with the rest of path; NULL: there is
 * none. Free it. */
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

/* The way of a path that leads nowhere yet is watched before it is resolved, and that of what it resolves to
 * before that is scanned. */
static void watch_ways(SfsWatches *watches)
{
    ShieldCatalog *catalog = watches->view->catalog;

    for (guint i = 0; i < shield_catalog_n_sources(catalog); i++) {
        const char *given = shield_catalog_source_path(catalog, i);

        watch_way(watches, given);

        g_auto(ShieldFd) fd = shield_catalog_open_source(catalog, i);
        g_autofree char *resolved = shield_catalog_source_resolved(catalog, i);
        g_autofree char *path = fd >= 0 ? NULL : follow_dangling(given);

        if (resolved && strcmp(resolved, given) != 0)
            watch_way(watches, resolved);
        for (int links = 1; path && links < MAX_LINKS; links++) {
            g_autofree char *here = g_steal_pointer(&path);

            watch_way(watches, here);
            path = follow_dangling(here);
        }
    }
}

void sfs_watches_end_scan(SfsWatches *watches, const ShieldScan *scan)
{
    GHashTableIter iter;
    void *target;

    if (scan->errnum)
        return; /* what was not come by may be there all the same */
    g_hash_table_iter_init(&iter, watches->holders);
    while (g_hash_table_iter_next(&iter, NULL, &target)) {
        if (((Target *)target)->generation == watches->generation)
            continue;
        shield_watch_remove(watches->watch, target);
        g_hash_table_iter_remove(&iter);
    }
}

static BundleWatch *bundle_watch(SfsWatches *watches, SfsContainer *container)
{
    BundleWatch *bw = g_hash_table_lookup(watches->bundles, container);

    if (bw)
        return bw;
    bw = g_new0(BundleWatch, 1);
    bw->bundle.container = bw->hooks.container = sfs_container_ref(container);
    bw->hooks.hooks = TRUE;
    g_mutex_lock(&watches->lock);
    g_hash_table_insert(watches->bundles, container, bw);
    g_mutex_unlock(&watches->lock);
    return bw;
}

gboolean sfs_watches_know_bundle(SfsWatches *watches, SfsContainer *container)
{
    return g_hash_table_contains(watches->bundles, container);
}

static gboolean add_hooks(SfsWatches *watches, BundleWatch *bw, int dirfd)
{
    const char *hooks = shield_layout_name(SHIELD_HOOKS_DIR);
    g_autofree char *path = g_build_filename(bw->hooks.container->place->name, hooks, NULL);
    g_auto(ShieldFd) fd = shield_open_beneath(dirfd, hooks);

    if (fd >= 0)
        return add_watch(watches, fd, path, SHIELD_WATCH_CONTENT, &bw->hooks) == SHIELD_WATCH_PLACED;
    if (shield_is_shortage(errno))
        note_unwatched(watches, path);
    return FALSE;
}

gboolean sfs_watches_add_bundle(SfsWatches *watches, SfsContainer *container)
{
    gboolean news = !sfs_watches_know_bundle(watches, container);
    g_auto(ShieldFd) fd = sfs_view_open_container(watches->view, container);
    const char *name = container->place->name;

    if (fd < 0) {
        if (shield_is_shortage(errno))
            note_unwatched(watches, name);
        return FALSE;
    }

    BundleWatch *bw = bundle_watch(watches, container);
    ShieldWatched watched = add_watch(watches, fd, name, SHIELD_WATCH_CONTENT, &bw->bundle);
    shield_bundle_set_watched(container->bundle, watched != SHIELD_WATCH_REFUSED);
    news |= watched == SHIELD_WATCH_PLACED;
    news |= add_hooks(watches, bw, fd);
    return news;
}

static void unwatch_bundle(SfsWatches *watches, SfsContainer *container)
{
    BundleWatch *bw = g_hash_table_lookup(watches->bundles, container);

    shield_watch_remove(watches->watch, &bw->bundle);
    shield_watch_remove(watches->watch, &bw->hooks);
    g_mutex_lock(&watches->lock);
    g_hash_table_remove(watches->bundles, container);
    g_mutex_unlock(&watches->lock);
    sfs_container_unref(bw->bundle.container);
    g_free(bw);
}

void sfs_watches_retain_bundles(SfsWatches *watches, GPtrArray *nodes)
{
    g_autoptr(GHashTable) living = g_hash_table_new(NULL, NULL);
    g_autoptr(GList) known = g_hash_table_get_keys(watches->bundles);

    for (guint i = 0; i < nodes->len; i++) {
        SfsNode *node = g_ptr_array_index(nodes, i);

        if (node->kind == SFS_CONTAINER && sfs_tree_is_attached(watches->view->tree, node))
            g_hash_table_add(living, node->container);
    }
    for (GList *l = known; l; l = l->next) {
        if (!g_hash_table_contains(living, l->data))
            unwatch_bundle(watches, l->data);
    }
}

void sfs_watches_begin_scan(SfsWatches *watches, ShieldScan *scan)
{
    g_mutex_lock(&watches->lock);
    g_ptr_array_set_size(watches->degraded, 0);
    g_mutex_unlock(&watches->lock);
    watches->generation++;
    watch_ways(watches);
    scan->visit = watch_holder;
    scan->data = watches;
}

gboolean sfs_watches_are_degraded(SfsWatches *watches)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&watches->lock);

    return watches->degraded->len > 0;
}

void sfs_watches_degraded(SfsWatches *watches, GPtrArray *lines)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&watches->lock);

    for (guint i = 0; i < watches->degraded->len; i++)
        g_ptr_array_add(lines, g_strdup(g_ptr_array_index(watches->degraded, i)));
}

ShieldWatch *sfs_watches_queue(SfsWatches *watches)
{
    return watches->watch;
}

SfsWatches *sfs_watches_new(SfsView *view, SfsMarks *marks)
{
    SfsWatches *watches = g_new0(SfsWatches, 1);

    watches->watch = shield_watch_new(on_event, watches);
    if (!watches->watch) {
        g_free(watches);
        return NULL;
    }
    watches->view = view;
    watches->marks = marks;
    watches->holders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, target_free);
    watches->bundles = g_hash_table_new(NULL, NULL);
    watches->degraded = g_ptr_array_new_with_free_func(g_free);
    g_mutex_init(&watches->lock);
    return watches;
}

void sfs_watches_free(SfsWatches *watches)
{
    g_autoptr(GPtrArray) none = g_ptr_array_new();

    sfs_watches_retain_bundles(watches, none);
    shield_watch_free(watches->watch);
    g_hash_table_unref(watches->holders);
    g_hash_table_unref(watches->bundles);
    g_ptr_array_unref(watches->degraded);
    g_mutex_clear(&watches->lock);
    g_free(watches);
}
