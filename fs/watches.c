/* SPDX-License-Identifier: Apache-2.0 */
/* watches: targets of the inotify watch; see watches.h. */
#include "watches.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "inspect.h"
#include "ways.h"

/* Begun anew under its name, rather than written into. */
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

struct SfsWatches {
    SfsView *view;
    SfsMarks *marks;
    ShieldWatch *watch;
    SfsWrittenFunc written; /* NULL: nobody is to be told */
    void *written_data;
    SfsWays *ways;
    GHashTable *holders; /* what for and path to Target */
    guint64 generation;
    GMutex lock;         /* protects the rest; the watcher's thread alone changes it */
    GHashTable *bundles; /* SfsContainer to BundleWatch */
    GPtrArray *degraded; /* a line for each target that was not watched when a look was complete */
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

/* For each bundle, what func does to it. */
static void each_bundle(SfsWatches *watches, void (*func)(ShieldBundle *bundle))
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&watches->lock);
    GHashTableIter iter;
    void *container;

    g_hash_table_iter_init(&iter, watches->bundles);
    while (g_hash_table_iter_next(&iter, &container, NULL))
        func(((SfsContainer *)container)->bundle);
}

void sfs_watches_mark_everything(SfsWatches *watches)
{
    each_bundle(watches, shield_bundle_mark_all);
    (void)sfs_marks_everything(watches->marks);
}

/* What has events is as they say. A change made elsewhere shows in the stamps, which are compared anyway; but
 * one through a mapping may not. */
void sfs_watches_mark_unwatched(SfsWatches *watches)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&watches->lock);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, watches->bundles);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Target *bundle = &((BundleWatch *)value)->bundle;

        if (bundle->errnum && bundle->errnum != EOPNOTSUPP)
            shield_bundle_mark_all(bundle->container->bundle);
    }
    (void)sfs_marks_everything(watches->marks);
}

static void doubt(ShieldBundle *bundle)
{
    shield_bundle_set_watched(bundle, FALSE);
}

static gboolean on_event(void *data, guint32 mask, const char *name, void *user_data)
{
    SfsWatches *watches = user_data;
    const Target *target = data;

    if (!target) { /* events were lost, the end of a watch perhaps among them */
        each_bundle(watches, doubt);
        sfs_watches_mark_everything(watches);
        return TRUE;
    }
    if (target->container && !target->hooks && (mask == 0 || (mask & IN_IGNORED)))
        shield_bundle_set_watched(target->container->bundle, mask == 0);
    if (mask == 0)
        return FALSE;
    if (target->only && name && strcmp(name, target->only) != 0)
        return FALSE;
    if (!target->container || !name)
        return sfs_marks_structure(watches->marks);
    if (!target->hooks)
        mark_list(watches, target->container, mask, name);
    return sfs_marks_name(watches->marks, target->container, target->hooks, name, mask);
}

static void note(Target *target, const char *path, int errnum)
{
    g_free(target->path);
    target->path = g_strdup(path);
    target->errnum = errnum;
}

static ShieldWatched add_watch(SfsWatches *watches, int fd, const char *path, ShieldWatchKind kind,
                               Target *target)
{
    ShieldWatched watched = shield_watch_add(watches->watch, fd, kind, target);

    note(target, path, watched == SHIELD_WATCH_REFUSED ? errno : 0);
    return watched;
}

static void add_degraded(const SfsWatches *watches, GPtrArray *lines, const Target *target)
{
    if (!target->errnum)
        return;

    const char *why = target->errnum == ENOSPC
                          ? "the limit of inotify watches is reached, raise fs.inotify.max_user_watches"
                      : target->errnum == EOPNOTSUPP ? "its filesystem does not tell of changes"
                                                     : g_strerror(target->errnum);
    g_autofree char *text =
        g_strdup_printf("not watched (%s): compared every %u s", why, watches->view->options->poll_sec);
    shield_add_line(lines, NULL, target->path, text);
}

void sfs_watches_publish(SfsWatches *watches)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, watches->holders);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        add_degraded(watches, lines, value);
    g_hash_table_iter_init(&iter, watches->bundles);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const BundleWatch *bw = value;

        add_degraded(watches, lines, &bw->bundle);
        add_degraded(watches, lines, &bw->hooks);
    }

    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&watches->lock);
    GPtrArray *before = watches->degraded;
    watches->degraded = lines;
    lines = before;
}

static void target_free(void *data)
{
    Target *target = data;

    g_free(target->only);
    g_free(target->path);
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

static void watch_way(int fd, const char *path, const char *awaited, void *data)
{
    SfsWatches *watches = data;

    if (awaited) {
        g_autofree char *way = g_build_filename(path, awaited, NULL);

        add_watch(watches, fd, path, SHIELD_WATCH_ARRIVAL, holder(watches, "to:", way, awaited));
    } else {
        add_watch(watches, fd, path, SHIELD_WATCH_SELF, holder(watches, "way:", path, ""));
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
    note(&bw->hooks, path, shield_is_shortage(errno) ? errno : 0);
    return FALSE;
}

gboolean sfs_watches_add_bundle(SfsWatches *watches, SfsContainer *container)
{
    gboolean news = !sfs_watches_know_bundle(watches, container);
    g_auto(ShieldFd) fd = sfs_view_open_container(watches->view, container);
    const char *name = container->place->name;

    if (fd < 0 && !shield_is_shortage(errno))
        return FALSE;

    int errnum = errno;
    BundleWatch *bw = bundle_watch(watches, container);
    if (fd < 0) {
        note(&bw->bundle, name, errnum);
        return FALSE;
    }

    ShieldWatched watched = add_watch(watches, fd, name, SHIELD_WATCH_CONTENT, &bw->bundle);
    if (watched == SHIELD_WATCH_REFUSED)
        shield_bundle_set_watched(container->bundle, FALSE);
    news |= watched == SHIELD_WATCH_PLACED;
    news |= add_hooks(watches, bw, fd);
    return news;
}

static void unwatch_bundle(SfsWatches *watches, SfsContainer *container)
{
    BundleWatch *bw = g_hash_table_lookup(watches->bundles, container);

    shield_watch_remove(watches->watch, &bw->bundle);
    shield_watch_remove(watches->watch, &bw->hooks);
    shield_bundle_set_watched(container->bundle, FALSE);
    g_mutex_lock(&watches->lock);
    g_hash_table_remove(watches->bundles, container);
    g_mutex_unlock(&watches->lock);
    sfs_container_unref(bw->bundle.container);
    g_free(bw->bundle.path);
    g_free(bw->hooks.path);
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
    watches->generation++;
    sfs_ways_walk(watches->ways, watch_way, watches);
    scan->visit = watch_holder;
    scan->data = watches;
}

int sfs_watches_mounts(const SfsWatches *watches)
{
    return sfs_ways_descriptor(watches->ways);
}

void sfs_watches_look_at_mounts(SfsWatches *watches)
{
    if (sfs_ways_have_changed(watches->ways))
        (void)sfs_marks_everything(watches->marks);
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
    watches->ways = sfs_ways_new(shield_catalog_sources(view->catalog));
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
    sfs_ways_free(watches->ways);
    g_hash_table_unref(watches->holders);
    g_hash_table_unref(watches->bundles);
    g_ptr_array_unref(watches->degraded);
    g_mutex_clear(&watches->lock);
    g_free(watches);
}
