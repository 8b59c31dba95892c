/* SPDX-License-Identifier: Apache-2.0 */
/* watchlist: targets of the inotify watch; see watchlist.h. */
#include "events/watchlist.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "error.h"
#include "events/trace.h"
#include "events/ways.h"
#include "inspect.h"
#include "lock.h"

/* The name got another file, rather than the file another content. */
#define REPLACED (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM)

/* A watched directory: one that bundles are found by, a bundle, or its hooks. */
typedef struct {
    SfsContainer *container; /* a reference; NULL: no bundle */
    gboolean hooks;
    char *path;         /* what the status file calls it; NULL: it was never tried to watch it */
    int errnum;         /* why it is not watched; 0: it is, or there is no need */
    char *only;         /* the one name in it that matters, "" if none does; NULL: all do */
    guint64 generation; /* of the scan that saw it last */
} Target;

typedef struct {
    Target bundle, hooks;
} BundleWatch;

struct SfsWatchlist {
    SfsView *view;
    guint poll_sec; /* for a person to read */
    SfsMarks *marks;
    ShieldDirwatch *watch;
    SfsWrittenFunc written; /* NULL: nobody is to be told */
    void *written_data;
    SfsWays *ways;
    GHashTable *holders; /* what for and path to Target */
    guint64 generation;
    GMutex lock;         /* protects the rest; the watcher's thread alone changes it */
    GHashTable *bundles; /* SfsContainer to BundleWatch */
    GPtrArray *degraded; /* a line for each target that was not watched when a look was complete */
};

static void mark_list(SfsWatchlist *list, const SfsContainer *container, guint32 mask, const char *name)
{
    ShieldMark mark = SHIELD_MARK_CHANGED;

    if (mask & (IN_CLOSE_WRITE | REPLACED))
        mark = SHIELD_MARK_WRITTEN;
    else if (mask & IN_MODIFY)
        mark = SHIELD_MARK_WRITING;
    if (shield_bundle_invalidate(container->bundle, name, mark) && mark == SHIELD_MARK_WRITTEN &&
        list->written)
        list->written(list->written_data, container);
}

void sfs_watchlist_set_written(SfsWatchlist *list, SfsWrittenFunc func, void *data)
{
    list->written = func;
    list->written_data = data;
}

/* For each bundle, what func does to it. */
static void each_bundle(SfsWatchlist *list, void (*func)(ShieldBundle *bundle))
{
    SHIELD_AUTO_LOCK(&list->lock);
    GHashTableIter iter;
    void *container;

    g_hash_table_iter_init(&iter, list->bundles);
    while (g_hash_table_iter_next(&iter, &container, NULL))
        func(((SfsContainer *)container)->bundle);
}

void sfs_watchlist_mark_everything(SfsWatchlist *list)
{
    each_bundle(list, shield_bundle_mark_all);
    (void)sfs_marks_everything(list->marks);
}

/* What is watched is as its events say. A change that was made elsewhere shows in the stamps, which are
 * always compared; but a store through a mapping may leave them as they were. */
void sfs_watchlist_mark_unwatched(SfsWatchlist *list)
{
    SHIELD_AUTO_LOCK(&list->lock);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, list->bundles);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Target *bundle = &((BundleWatch *)value)->bundle;

        if (bundle->errnum && bundle->errnum != EOPNOTSUPP)
            shield_bundle_mark_all(bundle->container->bundle);
    }
    (void)sfs_marks_everything(list->marks);
}

static void doubt(ShieldBundle *bundle)
{
    shield_bundle_set_watched(bundle, FALSE);
}

/* Only a mark that is new has a line with -d: a writer who never rests is not to be followed step by step. */
static gboolean mark(SfsWatchlist *list, const Target *target, guint32 mask, const char *name)
{
    gboolean new;

    if (!target->container || !name) {
        new = sfs_marks_structure(list->marks);
        if (new)
            sfs_trace_directory(target->path, name, mask, "bundles may have come or gone");
        return new;
    }
    if (!target->hooks)
        mark_list(list, target->container, mask, name);
    new = sfs_marks_name(list->marks, target->container, target->hooks, name, mask);
    if (new)
        sfs_trace_inotify(target->container, target->hooks, name, mask, "marked");
    return new;
}

static gboolean on_event(void *data, guint32 mask, const char *name, void *user_data)
{
    SfsWatchlist *list = user_data;
    const Target *target = data;

    if (!target) { /* events were lost, the end of a watch perhaps among them */
        g_debug("event: inotify has lost events: everything is marked");
        each_bundle(list, doubt);
        sfs_watchlist_mark_everything(list);
        return TRUE;
    }
    if (target->container && !target->hooks && (mask == 0 || (mask & IN_IGNORED)))
        shield_bundle_set_watched(target->container->bundle, mask == 0);
    if (mask == 0)
        return FALSE;
    if (target->only && name && strcmp(name, target->only) != 0)
        return FALSE;
    return mark(list, target, mask, name);
}

/* A target keeps its path once it has one: whoever drains may be reading it. */
static void note(Target *target, const char *path, int errnum)
{
    if (!target->path)
        target->path = g_strdup(path);
    target->errnum = errnum;
}

static ShieldDirwatched add_watch(SfsWatchlist *list, int fd, const char *path, ShieldDirwatchKind kind,
                                  Target *target)
{
    note(target, path, target->errnum); /* events may come before the next line is done */

    ShieldDirwatched watched = shield_dirwatch_add(list->watch, fd, kind, target);
    note(target, path, watched == SHIELD_DIRWATCH_REFUSED ? errno : 0);
    return watched;
}

static void add_degraded(const SfsWatchlist *list, GPtrArray *lines, const Target *target)
{
    if (!target->errnum)
        return;

    const char *why = target->errnum == ENOSPC
                          ? "the limit of inotify watches is reached, raise fs.inotify.max_user_watches"
                      : target->errnum == EOPNOTSUPP ? "its filesystem does not tell of changes"
                                                     : g_strerror(target->errnum);
    g_autofree char *text = g_strdup_printf("not watched (%s): compared every %u s", why, list->poll_sec);
    shield_error_add_line(lines, NULL, target->path, text);
}

void sfs_watchlist_publish(SfsWatchlist *list)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, list->holders);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        add_degraded(list, lines, value);
    g_hash_table_iter_init(&iter, list->bundles);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const BundleWatch *bw = value;

        add_degraded(list, lines, &bw->bundle);
        add_degraded(list, lines, &bw->hooks);
    }

    SHIELD_AUTO_LOCK(&list->lock);
    GPtrArray *before = list->degraded;
    list->degraded = lines;
    lines = before;
}

static void target_free(void *data)
{
    Target *target = data;

    g_free(target->only);
    g_free(target->path);
    g_free(target);
}

/* A directory may have several targets: one for each reason, what, to watch it. */
static Target *holder(SfsWatchlist *list, const char *what, const char *path, const char *only)
{
    g_autofree char *key = g_strconcat(what, path, NULL);
    Target *target = g_hash_table_lookup(list->holders, key);

    if (!target) {
        target = g_new0(Target, 1);
        target->only = g_strdup(only);
        g_hash_table_insert(list->holders, g_steal_pointer(&key), target);
    }
    target->generation = list->generation;
    return target;
}

static void watch_holder(int fd, const char *path, void *data)
{
    SfsWatchlist *list = data;

    add_watch(list, fd, path, SHIELD_DIRWATCH_NAMES, holder(list, "", path, NULL));
}

static void watch_way(int fd, const char *path, const char *awaited, void *data)
{
    SfsWatchlist *list = data;

    if (awaited) {
        g_autofree char *way = g_build_filename(path, awaited, NULL);

        add_watch(list, fd, path, SHIELD_DIRWATCH_ARRIVAL, holder(list, "to:", way, awaited));
    } else {
        add_watch(list, fd, path, SHIELD_DIRWATCH_SELF, holder(list, "way:", path, ""));
    }
}

void sfs_watchlist_end_scan(SfsWatchlist *list, const ShieldScan *scan)
{
    GHashTableIter iter;
    void *target;

    if (scan->errnum)
        return; /* what the scan did not reach may still be there */
    g_hash_table_iter_init(&iter, list->holders);
    while (g_hash_table_iter_next(&iter, NULL, &target)) {
        if (((Target *)target)->generation == list->generation)
            continue;
        shield_dirwatch_remove(list->watch, target);
        g_hash_table_iter_remove(&iter);
    }
}

static BundleWatch *bundle_watch(SfsWatchlist *list, SfsContainer *container)
{
    BundleWatch *bw = g_hash_table_lookup(list->bundles, container);

    if (bw)
        return bw;
    bw = g_new0(BundleWatch, 1);
    bw->bundle.container = bw->hooks.container = sfs_container_ref(container);
    bw->hooks.hooks = TRUE;
    g_mutex_lock(&list->lock);
    g_hash_table_insert(list->bundles, container, bw);
    g_mutex_unlock(&list->lock);
    return bw;
}

gboolean sfs_watchlist_know_bundle(SfsWatchlist *list, SfsContainer *container)
{
    return g_hash_table_contains(list->bundles, container);
}

static gboolean add_hooks(SfsWatchlist *list, BundleWatch *bw, int dirfd)
{
    const char *hooks = shield_layout_name(SHIELD_HOOKS_DIR);
    g_autofree char *path = g_build_filename(bw->hooks.container->place->name, hooks, NULL);
    g_auto(ShieldFd) fd = shield_open_within(dirfd, hooks);

    if (fd >= 0)
        return add_watch(list, fd, path, SHIELD_DIRWATCH_CONTENT, &bw->hooks) == SHIELD_DIRWATCH_PLACED;
    note(&bw->hooks, path, shield_error_is_shortage(errno) ? errno : 0);
    return FALSE;
}

gboolean sfs_watchlist_add_bundle(SfsWatchlist *list, SfsContainer *container)
{
    gboolean news = !sfs_watchlist_know_bundle(list, container);
    g_auto(ShieldFd) fd = sfs_view_open_container(list->view, container);
    const char *name = container->place->name;

    if (fd < 0 && !shield_error_is_shortage(errno))
        return FALSE;

    int errnum = errno;
    BundleWatch *bw = bundle_watch(list, container);
    if (fd < 0) {
        note(&bw->bundle, name, errnum);
        return FALSE;
    }

    ShieldDirwatched watched = add_watch(list, fd, name, SHIELD_DIRWATCH_CONTENT, &bw->bundle);
    if (watched == SHIELD_DIRWATCH_REFUSED)
        shield_bundle_set_watched(container->bundle, FALSE);
    news |= watched == SHIELD_DIRWATCH_PLACED;
    news |= add_hooks(list, bw, fd);
    return news;
}

static void unwatch_bundle(SfsWatchlist *list, SfsContainer *container)
{
    BundleWatch *bw = g_hash_table_lookup(list->bundles, container);

    shield_dirwatch_remove(list->watch, &bw->bundle);
    shield_dirwatch_remove(list->watch, &bw->hooks);
    shield_bundle_set_watched(container->bundle, FALSE);
    g_mutex_lock(&list->lock);
    g_hash_table_remove(list->bundles, container);
    g_mutex_unlock(&list->lock);
    sfs_container_unref(bw->bundle.container);
    g_free(bw->bundle.path);
    g_free(bw->hooks.path);
    g_free(bw);
}

void sfs_watchlist_retain_bundles(SfsWatchlist *list, GPtrArray *nodes)
{
    g_autoptr(GHashTable) living = g_hash_table_new(NULL, NULL);
    g_autoptr(GList) known = g_hash_table_get_keys(list->bundles);

    for (guint i = 0; i < nodes->len; i++) {
        SfsNode *node = g_ptr_array_index(nodes, i);

        if (node->kind == SFS_CONTAINER && sfs_tree_is_attached(sfs_view_tree(list->view), node))
            g_hash_table_add(living, node->container);
    }
    for (GList *l = known; l; l = l->next) {
        if (!g_hash_table_contains(living, l->data))
            unwatch_bundle(list, l->data);
    }
}

void sfs_watchlist_begin_scan(SfsWatchlist *list, ShieldScan *scan)
{
    list->generation++;
    sfs_ways_walk(list->ways, watch_way, list);
    scan->visit = watch_holder;
    scan->data = list;
}

int sfs_watchlist_mounts(const SfsWatchlist *list)
{
    return sfs_ways_descriptor(list->ways);
}

void sfs_watchlist_look_at_mounts(SfsWatchlist *list)
{
    if (sfs_ways_have_changed(list->ways))
        (void)sfs_marks_everything(list->marks);
}

gboolean sfs_watchlist_are_degraded(SfsWatchlist *list)
{
    SHIELD_AUTO_LOCK(&list->lock);

    return list->degraded->len > 0;
}

void sfs_watchlist_degraded(SfsWatchlist *list, GPtrArray *lines)
{
    SHIELD_AUTO_LOCK(&list->lock);

    for (guint i = 0; i < list->degraded->len; i++)
        g_ptr_array_add(lines, g_strdup(g_ptr_array_index(list->degraded, i)));
}

ShieldDirwatch *sfs_watchlist_queue(SfsWatchlist *list)
{
    return list->watch;
}

SfsWatchlist *sfs_watchlist_new(SfsView *view, SfsMarks *marks, guint poll_sec)
{
    SfsWatchlist *list = g_new0(SfsWatchlist, 1);

    list->watch = shield_dirwatch_new(on_event, list);
    if (!list->watch) {
        g_free(list);
        return NULL;
    }
    list->view = view;
    list->marks = marks;
    list->poll_sec = poll_sec;
    list->ways = sfs_ways_new(shield_catalog_sources(sfs_view_catalog(view)));
    list->holders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, target_free);
    list->bundles = g_hash_table_new(NULL, NULL);
    list->degraded = g_ptr_array_new_with_free_func(g_free);
    g_mutex_init(&list->lock);
    return list;
}

void sfs_watchlist_free(SfsWatchlist *list)
{
    g_autoptr(GPtrArray) none = g_ptr_array_new();

    sfs_watchlist_retain_bundles(list, none);
    shield_dirwatch_free(list->watch);
    sfs_ways_free(list->ways);
    g_hash_table_unref(list->holders);
    g_hash_table_unref(list->bundles);
    g_ptr_array_unref(list->degraded);
    g_mutex_clear(&list->lock);
    g_free(list);
}
