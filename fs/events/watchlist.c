/* SPDX-License-Identifier: Apache-2.0 */
/* watchlist: targets of the inotify watch; see watchlist.h. */
#include "events/watchlist.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "error.h"
#include "events/marking.h"
#include "events/ways.h"
#include "fault.h"
#include "hash.h"
#include "inspect.h"
#include "lock.h"
#include "view/findings.h"
#include "view/index.h"

typedef struct {
    SfsTarget bundle;
    SfsTarget *hooks; /* NULL: there never were any */
} BundleWatch;

struct SfsWatchlist {
    SfsView *view;
    guint poll_sec; /* for a person to read */
    SfsMarking marking;
    ShieldDirwatch *watch;
    SfsWays *ways;
    GHashTable *holders; /* what for and path to SfsTarget */
    guint64 generation;
    gboolean placed;       /* a target that is no bundle's was watched anew */
    GMutex lock;           /* protects the rest; the watcher's thread alone changes it */
    GHashTable *bundles;   /* the container's name to BundleWatch */
    GHashTable *unwatched; /* a set of the targets that are not watched: each has a line in the status file */
    guint blind;           /* so many of them are not bundles' */
};

void sfs_watchlist_set_written(SfsWatchlist *list, SfsWrittenFunc func, void *data)
{
    list->marking.written = func;
    list->marking.written_data = data;
}

/* For each bundle, what func does to it; and nothing is known any more. */
static void each_bundle(SfsWatchlist *list, void (*func)(ShieldBundle *bundle))
{
    SHIELD_AUTO_LOCK(&list->lock);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, list->bundles);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SfsContainer *container = ((BundleWatch *)value)->bundle.container;

        func(container->bundle);
        sfs_container_touch(container);
        sfs_findings_touch(sfs_view_findings(list->view), container);
    }
}

void sfs_watchlist_mark_everything(SfsWatchlist *list)
{
    each_bundle(list, shield_bundle_mark_all);
    sfs_marking_everything(&list->marking);
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
        const SfsTarget *bundle = &((BundleWatch *)value)->bundle;

        if (bundle->errnum && bundle->errnum != EOPNOTSUPP)
            shield_bundle_mark_all(bundle->container->bundle);
    }
    sfs_marking_everything(&list->marking);
}

static void doubt(ShieldBundle *bundle)
{
    shield_bundle_set_watched(bundle, FALSE);
}

/* What was known of the container's directory, and what there was to tell of its bundle, may be another by
 * now. That a file is written changes neither, but for what a list says. */
static void touch(SfsWatchlist *list, const SfsTarget *target, guint32 mask, const char *name)
{
    gboolean written = name && mask && !(mask & ~(guint32)(IN_MODIFY | IN_CLOSE_WRITE));

    if (!written)
        sfs_container_touch(target->container);
    if (!written || (!target->hooks && shield_computed_is_source(name)))
        sfs_findings_touch(sfs_view_findings(list->view), target->container);
}

static gboolean on_event(void *data, guint32 mask, const char *name, void *user_data)
{
    SfsWatchlist *list = user_data;
    const SfsTarget *target = data;

    if (!target) { /* events were lost, the end of a watch perhaps among them */
        g_debug("event: inotify has lost events: everything is marked");
        each_bundle(list, doubt);
        sfs_watchlist_mark_everything(list);
        return TRUE;
    }
    if (target->container)
        touch(list, target, mask, name);
    if (target->container && !target->hooks && (mask == 0 || (mask & IN_IGNORED)))
        shield_bundle_set_watched(target->container->bundle, mask == 0);
    if (mask == 0)
        return FALSE;
    if (target->only && name && strcmp(name, target->only) != 0)
        return FALSE;
    return sfs_marking_event(&list->marking, target, mask, name);
}

/* A target keeps its path once it has one: whoever drains may be reading it. */
static void note(SfsWatchlist *list, SfsTarget *target, const char *path, int errnum)
{
    SHIELD_AUTO_LOCK(&list->lock);

    if (!target->path)
        target->path = g_strdup(path);
    if (!target->container)
        list->blind = list->blind + (errnum != 0) - (target->errnum != 0);
    target->errnum = errnum;
    if (errnum)
        g_hash_table_add(list->unwatched, target);
    else
        g_hash_table_remove(list->unwatched, target);
}

static ShieldDirwatched add_watch(SfsWatchlist *list, int fd, const char *path, ShieldDirwatchKind kind,
                                  SfsTarget *target)
{
    note(list, target, path, target->errnum); /* events may come before the next line is done */

    ShieldDirwatched watched = shield_dirwatch_add(list->watch, fd, kind, target);
    note(list, target, path, watched == SHIELD_DIRWATCH_REFUSED ? errno : 0);
    list->placed |= watched == SHIELD_DIRWATCH_PLACED && !target->container;
    return watched;
}

static void remove_watch(SfsWatchlist *list, SfsTarget *target)
{
    shield_dirwatch_remove(list->watch, target);
    note(list, target, NULL, 0);
}

/* Lock held. */
static void add_degraded(const SfsWatchlist *list, GPtrArray *lines, const SfsTarget *target)
{
    const char *why = target->errnum == ENOSPC
                          ? "the limit of inotify watches is reached, raise fs.inotify.max_user_watches"
                      : target->errnum == EOPNOTSUPP ? "its filesystem does not tell of changes"
                                                     : g_strerror(target->errnum);
    g_autofree char *text = g_strdup_printf("not watched (%s): compared every %u s", why, list->poll_sec);
    shield_error_add_line(lines, NULL, target->path, text);
}

static void target_free(void *data)
{
    SfsTarget *target = data;

    g_free(target->below);
    g_free(target->only);
    g_free(target->path);
    g_free(target);
}

/* A directory may have several targets: one for each reason, what, to watch it. */
static SfsTarget *holder(SfsWatchlist *list, const char *what, const char *path, const char *only)
{
    g_autofree char *key = g_strconcat(what, path, NULL);
    SfsTarget *target = g_hash_table_lookup(list->holders, key);

    if (!target) {
        target = g_new0(SfsTarget, 1);
        target->only = g_strdup(only);
        g_hash_table_insert(list->holders, g_steal_pointer(&key), target);
    }
    target->generation = list->generation;
    return target;
}

static void watch_holder(int fd, const char *path, guint source, const char *below, void *data)
{
    SfsWatchlist *list = data;
    SfsTarget *target = holder(list, "", path, NULL);

    if (!target->below) { /* it is nobody else's yet */
        target->source = source;
        target->below = g_strdup(below);
    }
    add_watch(list, fd, path, SHIELD_DIRWATCH_NAMES, target);
}

void sfs_watchlist_visit_place(SfsWatchlist *list, guint source, const char *below)
{
    ShieldCatalog *catalog = sfs_view_catalog(list->view);

    if (!g_str_has_prefix(below, SHIELD_TASKS "/") ||
        shield_catalog_visit_task(catalog, source, below, watch_holder, list))
        return;

    g_autofree char *root = shield_sources_resolved(shield_catalog_sources(catalog), source);
    g_autofree char *path = g_build_filename(root ? root : "/", below, NULL);
    SfsTarget *target = g_hash_table_lookup(list->holders, path);
    if (target) {
        remove_watch(list, target);
        g_hash_table_remove(list->holders, path);
    }
}

static void watch_way(int fd, const char *path, const char *awaited, void *data)
{
    SfsWatchlist *list = data;

    if (awaited) {
        g_autofree char *way = g_build_filename(path, awaited, NULL);

        add_watch(list, fd, path, SHIELD_DIRWATCH_ENTRIES, holder(list, "to:", way, awaited));
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
        if (((SfsTarget *)target)->generation == list->generation)
            continue;
        remove_watch(list, target);
        g_hash_table_iter_remove(&iter);
    }
}

static void unwatch_bundle(SfsWatchlist *list, BundleWatch *bw)
{
    SfsContainer *container = bw->bundle.container;

    remove_watch(list, &bw->bundle);
    if (bw->hooks)
        remove_watch(list, bw->hooks);
    shield_bundle_set_watched(container->bundle, FALSE);
    g_mutex_lock(&list->lock);
    g_hash_table_remove(list->bundles, container->place->name);
    g_mutex_unlock(&list->lock);
    sfs_container_unref(container);
    g_clear_pointer(&bw->hooks, target_free);
    g_free(bw); /* the bundle's path is the container's */
}

gboolean sfs_watchlist_know_bundle(SfsWatchlist *list, const SfsContainer *container)
{
    const BundleWatch *bw = g_hash_table_lookup(list->bundles, container->place->name);

    return bw && bw->bundle.container == container;
}

void sfs_watchlist_retain_bundle(SfsWatchlist *list, const char *name, const SfsContainer *container)
{
    BundleWatch *bw = g_hash_table_lookup(list->bundles, name);

    if (bw && bw->bundle.container != container)
        unwatch_bundle(list, bw);
}

static BundleWatch *bundle_watch(SfsWatchlist *list, SfsContainer *container)
{
    sfs_watchlist_retain_bundle(list, container->place->name, container);

    BundleWatch *bw = g_hash_table_lookup(list->bundles, container->place->name);
    if (bw)
        return bw;
    bw = g_new0(BundleWatch, 1);
    bw->bundle.container = sfs_container_ref(container);
    bw->bundle.path = container->place->name;
    bw->bundle.source = container->place->source;
    g_mutex_lock(&list->lock);
    g_hash_table_insert(list->bundles, container->place->name, bw);
    g_mutex_unlock(&list->lock);
    return bw;
}

static SfsTarget *hooks_of(BundleWatch *bw)
{
    if (!bw->hooks) {
        bw->hooks = g_new0(SfsTarget, 1);
        bw->hooks->container = bw->bundle.container;
        bw->hooks->hooks = TRUE;
    }
    return bw->hooks;
}

static gboolean add_hooks(SfsWatchlist *list, BundleWatch *bw, int dirfd)
{
    const char *hooks = shield_layout_name(SHIELD_HOOKS_DIR);
    g_autofree char *path = g_build_filename(bw->bundle.container->place->name, hooks, NULL);
    g_auto(ShieldFd) fd = shield_open_within(dirfd, hooks);

    if (fd >= 0)
        return add_watch(list, fd, path, SHIELD_DIRWATCH_CONTENT, hooks_of(bw)) == SHIELD_DIRWATCH_PLACED;

    int errnum = shield_error_is_shortage(errno) ? errno : 0;
    if (errnum || bw->hooks)
        note(list, hooks_of(bw), errnum ? path : NULL, errnum);
    return FALSE;
}

gboolean sfs_watchlist_add_bundle(SfsWatchlist *list, SfsContainer *container)
{
    gboolean news = !sfs_watchlist_know_bundle(list, container);
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(list->view, container);
    const char *name = container->place->name;

    if (!directory && !shield_error_is_shortage(errno))
        return FALSE;

    int errnum = errno;
    BundleWatch *bw = bundle_watch(list, container);
    if (!directory) {
        note(list, &bw->bundle, name, errnum);
        return FALSE;
    }

    ShieldDirwatched watched = add_watch(list, directory->fd, name, SHIELD_DIRWATCH_CONTENT, &bw->bundle);
    if (watched == SHIELD_DIRWATCH_REFUSED)
        shield_bundle_set_watched(container->bundle, FALSE);
    news |= watched == SHIELD_DIRWATCH_PLACED;
    news |= add_hooks(list, bw, directory->fd);
    return news;
}

void sfs_watchlist_retain_bundles(SfsWatchlist *list, GPtrArray *nodes)
{
    g_autoptr(GHashTable) living = g_hash_table_new(NULL, NULL);
    g_autoptr(GList) known = g_hash_table_get_values(list->bundles);

    for (guint i = 0; i < nodes->len; i++) {
        SfsNode *node = g_ptr_array_index(nodes, i);

        if (node->kind == SFS_CONTAINER && sfs_tree_is_attached(sfs_view_tree(list->view), node))
            g_hash_table_add(living, node->container);
    }
    for (GList *l = known; l; l = l->next) {
        if (!g_hash_table_contains(living, ((BundleWatch *)l->data)->bundle.container))
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
    if (sfs_ways_have_changed(list->ways) && !shield_fault(SHIELD_FAULT_MOUNTS))
        sfs_marking_everything(&list->marking);
}

gboolean sfs_watchlist_are_degraded(SfsWatchlist *list)
{
    SHIELD_AUTO_LOCK(&list->lock);

    return g_hash_table_size(list->unwatched) > 0;
}

void sfs_watchlist_degraded(SfsWatchlist *list, GPtrArray *lines)
{
    SHIELD_AUTO_LOCK(&list->lock);

    GHashTableIter iter;
    void *target;

    g_hash_table_iter_init(&iter, list->unwatched);
    while (g_hash_table_iter_next(&iter, &target, NULL))
        add_degraded(list, lines, target);
}

gboolean sfs_watchlist_take_placed(SfsWatchlist *list)
{
    gboolean placed = list->placed;

    list->placed = FALSE;
    return placed;
}

gboolean sfs_watchlist_is_exact(SfsWatchlist *list)
{
    SHIELD_AUTO_LOCK(&list->lock);

    return list->blind == 0;
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
    list->marking = (SfsMarking){.view = view, .marks = marks};
    list->poll_sec = poll_sec;
    list->ways = sfs_ways_new(shield_catalog_sources(sfs_view_catalog(view)));
    list->holders = g_hash_table_new_full(shield_hash_name, g_str_equal, g_free, target_free);
    list->bundles = g_hash_table_new(shield_hash_name, g_str_equal);
    list->unwatched = g_hash_table_new(NULL, NULL);
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
    g_hash_table_unref(list->unwatched);
    g_mutex_clear(&list->lock);
    g_free(list);
}

static guint count_unwatched(SfsWatchlist *list)
{
    SHIELD_AUTO_LOCK(&list->lock);

    return g_hash_table_size(list->unwatched);
}

void sfs_watchlist_tell(SfsWatchlist *list, SfsOpenMetrics *out)
{
    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_watches", NULL, "Directories that are watched.",
                           shield_dirwatch_count(list->watch));
    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_unwatched_directories", NULL,
                           "Directories that can't be watched and are compared now and then.",
                           count_unwatched(list));
}
