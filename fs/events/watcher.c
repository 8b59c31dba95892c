/* SPDX-License-Identifier: Apache-2.0 */
/* watcher: the thread that works marks off; see watcher.h. */
#include "events/watcher.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "error.h"
#include "events/marks.h"
#include "events/trace.h"
#include "events/watchlist.h"
#include "fault.h"
#include "inspect.h"
#include "view/attributes.h"
#include "view/index.h"

#define STATUS_USEC (100 * 1000) /* between a change and a look at the status file, at least */

#define WRITTEN (IN_MODIFY | IN_CREATE | IN_MOVED_TO)

struct SfsWatcher {
    SfsView *view;
    SfsOutbox *outbox;
    guint poll_sec; /* between two comparisons of what makes no events */
    int wake;       /* an eventfd */
    GThread *thread;
    int stop;                    /* atomic */
    void (*changed)(void *data); /* wakes who polls */
    void *changed_data;
    SfsMarks *marks;
    SfsWatchlist *watchlist;
    /* The thread's own. */
    gint64 recheck_due; /* 0: nothing is compared now and then */
    gint64 status_due;  /* 0: nothing has changed */
    gint64 status_cost;
    gint64 close_due; /* when to close unused directories; 0: none is open */
    gboolean
        missed; /* since all bundles were looked for last, something could not be, for want of descriptors */
    gboolean complete;     /* and then everything could be looked into */
    const char *announcer; /* its state when the loop last came by, */
    guint64 backlog;       /* and what could not be announced */
    gboolean idle;
};

void sfs_watcher_wake(SfsWatcher *watcher)
{
    eventfd_write(watcher->wake, 1);
}

void sfs_watcher_drain(void *data)
{
    SfsWatcher *watcher = data;

    if (shield_dirwatch_drain(sfs_watchlist_queue(watcher->watchlist)))
        sfs_watcher_wake(watcher);
}

gboolean sfs_watcher_vouch(SfsWatcher *watcher, const SfsContainer *container)
{
    sfs_watcher_drain(watcher);
    return shield_bundle_is_watched(container->bundle);
}

void sfs_watcher_refresh(SfsWatcher *watcher)
{
    sfs_watchlist_mark_everything(watcher->watchlist);
    sfs_watcher_wake(watcher);
}

void sfs_watcher_recheck(SfsWatcher *watcher, SfsNode *node)
{
    if (!sfs_marks_node(watcher->marks, node))
        return;
    sfs_trace_node(node, "somebody saw what watchers were not told: marked");
    sfs_watcher_wake(watcher);
}

void sfs_watcher_degraded(SfsWatcher *watcher, GPtrArray *lines)
{
    sfs_watchlist_degraded(watcher->watchlist, lines);
}

/* Working marks off. */

/* What can't be watched, or could not be found, is compared now and then. */
static void compare_later(SfsWatcher *watcher, gboolean missed)
{
    if (!watcher->recheck_due && (missed || sfs_watchlist_are_degraded(watcher->watchlist)))
        watcher->recheck_due = g_get_monotonic_time() + (gint64)watcher->poll_sec * G_USEC_PER_SEC;
}

static void list(SfsWatcher *watcher, SfsNode *directory)
{
    g_autoptr(GPtrArray) entries = NULL;
    int errnum = sfs_view_list(watcher->view, directory, &entries);

    if (shield_error_is_shortage(errnum)) /* after any other error the tree has noted what is gone */
        compare_later(watcher, TRUE);
}

static void list_container(SfsWatcher *watcher, SfsNode *node)
{
    g_autoptr(SfsNode) hooks = NULL;

    list(watcher, node);
    hooks = sfs_tree_child(sfs_view_tree(watcher->view), node, shield_layout_name(SHIELD_HOOKS_DIR));
    if (hooks && hooks->kind == SFS_HOOKS)
        list(watcher, hooks);
}

static void look_at_container(SfsWatcher *watcher, SfsNode *node)
{
    g_autoptr(GPtrArray) children = sfs_tree_children(sfs_view_tree(watcher->view), node);

    for (guint i = 0; i < children->len; i++) {
        SfsNode *child = g_ptr_array_index(children, i);

        if (child->kind == SFS_HOOKS)
            sfs_outbox_recheck_children(watcher->outbox, child, 0);
    }
    sfs_outbox_recheck_children(watcher->outbox, node, 0);
}

/* Watches the bundle of a container, and queues what there is to tell of it: with all, of everything in it.
 */
static void look_at_bundle(SfsWatcher *watcher, SfsNode *node, gboolean all)
{
    sfs_outbox_recheck(watcher->outbox, node, FALSE);
    if (sfs_tree_is_attached(sfs_view_tree(watcher->view), node) &&
        (sfs_watchlist_add_bundle(watcher->watchlist, node->container) || all)) {
        list_container(watcher, node);
        look_at_container(watcher, node);
    }
}

/* Finds all bundles anew, watches the new ones, and queues what came or went. With everything, it queues all
 * there is. */
static void rescan(SfsWatcher *watcher, gboolean everything)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(watcher->view));
    ShieldScan scan = {0};
    g_autoptr(GPtrArray) nodes = NULL, found = NULL;

    g_debug("all bundles are looked for");
    watcher->recheck_due = 0;
    sfs_watchlist_begin_scan(watcher->watchlist, &scan);
    watcher->missed |= sfs_index_scan(sfs_view_index(watcher->view), root, &scan, &found) != 0;
    sfs_watchlist_end_scan(watcher->watchlist, &scan);
    watcher->complete = !scan.incomplete;
    sfs_node_unref(sfs_view_status_node(watcher->view));

    nodes = sfs_tree_children(sfs_view_tree(watcher->view), root);
    for (guint i = 0; i < nodes->len; i++) {
        SfsNode *node = g_ptr_array_index(nodes, i);

        if (node->kind == SFS_CONTAINER)
            look_at_bundle(watcher, node, everything);
    }
    sfs_watchlist_retain_bundles(watcher->watchlist, nodes);
    compare_later(watcher, scan.incomplete || scan.errnum);
}

/* The same for one place. */
static void look_at_place(SfsWatcher *watcher, const SfsPlaceMark *place)
{
    SfsTree *tree = sfs_view_tree(watcher->view);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsNode) before = sfs_tree_announced_child(tree, root, place->name);
    g_autoptr(SfsNode) now = NULL;

    sfs_watchlist_visit_place(watcher->watchlist, place->source, place->below);
    if (sfs_watchlist_take_placed(watcher->watchlist)) /* who has looked before it was watched, looks again */
        sfs_index_mark(sfs_view_index(watcher->view), place->name);
    int errnum = sfs_view_lookup(watcher->view, root, place->name, &now);
    if (shield_error_is_shortage(errnum) || errnum == EBUSY) {
        watcher->missed = TRUE;
        return compare_later(watcher, TRUE);
    }
    sfs_watchlist_retain_bundle(watcher->watchlist, place->name, now ? now->container : NULL);
    if (before)
        sfs_outbox_recheck(watcher->outbox, before, FALSE);
    if (now && now->kind == SFS_CONTAINER)
        look_at_bundle(watcher, now, FALSE);
    compare_later(watcher, FALSE);
}

/* TRUE if what is in there may be anything. */
static gboolean add_bundle(SfsWatcher *watcher, SfsContainer *container)
{
    gboolean news = sfs_watchlist_add_bundle(watcher->watchlist, container);

    compare_later(watcher, FALSE);
    return news;
}

static void look_at_hooks(SfsWatcher *watcher, SfsNode *hooks)
{
    list(watcher, hooks);
    sfs_outbox_recheck_children(watcher->outbox, hooks, 0);
}

/* Queues the node that had this name, the one that has it now, and what is computed from it. */
static void look_at_name(SfsWatcher *watcher, SfsNode *parent, const char *name, guint32 mask)
{
    SfsTree *tree = sfs_view_tree(watcher->view);
    g_autoptr(SfsNode) before = sfs_tree_announced_child(tree, parent, name);
    g_autoptr(SfsNode) now = NULL;
    int errnum = sfs_view_lookup(watcher->view, parent, name, &now);

    compare_later(watcher, shield_error_is_shortage(errnum));
    if (before)
        sfs_outbox_recheck(watcher->outbox, before, (mask & WRITTEN) != 0);
    if (before && (mask & IN_ATTRIB))
        sfs_outbox_recheck_times(watcher->outbox, before);
    if (now && now != before)
        sfs_outbox_recheck(watcher->outbox, now, FALSE);
    if (now && now->kind == SFS_HOOKS && parent->kind == SFS_CONTAINER) {
        (void)add_bundle(watcher, now->container);
        look_at_hooks(watcher, now);
    }
    if (parent->kind != SFS_CONTAINER)
        return;
    for (guint i = 0; i < shield_computed_n; i++) {
        g_autoptr(SfsNode) computed = sfs_tree_child(tree, parent, shield_computed[i].name);

        if (computed && shield_computed_needs(&shield_computed[i], name))
            sfs_outbox_recheck(watcher->outbox, computed, FALSE);
    }
}

static void work_off_container(SfsWatcher *watcher, SfsContainer *container, GHashTable *names)
{
    SfsTree *tree = sfs_view_tree(watcher->view);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsNode) node = sfs_tree_child(tree, root, container->place->name);
    GHashTableIter iter;
    void *key, *mask;

    if (!node || node->container != container)
        return; /* gone: another mark tells of that */

    g_autoptr(SfsNode) hooks = sfs_tree_child(tree, node, shield_layout_name(SHIELD_HOOKS_DIR));
    g_hash_table_iter_init(&iter, names);
    while (g_hash_table_iter_next(&iter, &key, &mask)) {
        const char *name = key;

        if (!g_str_has_prefix(name, SFS_MARKS_HOOKS))
            look_at_name(watcher, node, name, GPOINTER_TO_UINT(mask));
        else if (hooks && hooks->kind == SFS_HOOKS)
            look_at_name(watcher, hooks, name + strlen(SFS_MARKS_HOOKS), GPOINTER_TO_UINT(mask));
    }
}

/* A name in hooks that has come without an event: another directory may be mounted there. */
static void find_hooks(SfsWatcher *watcher, SfsNode *node)
{
    if (node->parent->kind == SFS_HOOKS && sfs_tree_is_attached(sfs_view_tree(watcher->view), node) &&
        !sfs_tree_is_announced(sfs_view_tree(watcher->view), node) && add_bundle(watcher, node->container))
        look_at_hooks(watcher, node->parent);
}

static gboolean recheck_nodes(SfsWatcher *watcher, GHashTable *nodes)
{
    gboolean structure = FALSE;
    GHashTableIter iter;
    void *key;

    g_hash_table_iter_init(&iter, nodes);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        SfsNode *node = key;

        if (node->kind == SFS_CONTAINER && !sfs_watchlist_know_bundle(watcher->watchlist, node->container))
            look_at_bundle(watcher, node, FALSE); /* it may have come without an event */
        /* What has gone without an event may be covered by a mount, and so may all that is beside it. */
        structure |= !sfs_index_is_exact(sfs_view_index(watcher->view)) &&
                     sfs_tree_is_announced(sfs_view_tree(watcher->view), node) &&
                     !sfs_tree_is_attached(sfs_view_tree(watcher->view), node) &&
                     (node->kind == SFS_CONTAINER || node->parent->kind == SFS_HOOKS);
        find_hooks(watcher, node);
        sfs_outbox_recheck(watcher->outbox, node, FALSE);
    }
    return structure;
}

/* All marks up to this one have been worked off, unless something was wanting. */
static void note_scanned(SfsWatcher *watcher, guint64 until)
{
    const SfsScanned scanned = {.mark = watcher->missed ? 0 : until,
                                .exact = sfs_watchlist_is_exact(watcher->watchlist),
                                .anew = sfs_watchlist_take_placed(watcher->watchlist),
                                .complete = watcher->complete && !watcher->missed};

    sfs_index_set_scanned(sfs_view_index(watcher->view), &scanned);
}

static void work_off_marks(SfsWatcher *watcher)
{
    g_auto(SfsMarked) marked = {0};
    guint64 until = sfs_index_now(sfs_view_index(watcher->view)); /* its marks are among those: watchlist */
    GHashTableIter iter;
    void *container, *names, *place;

    sfs_marks_take(watcher->marks, &marked);
    if (marked.structure)
        watcher->missed = FALSE;
    if (recheck_nodes(watcher, marked.nodes) || marked.structure) {
        rescan(watcher, marked.everything);
        sfs_outbox_recheck_unclear(watcher->outbox);
    }
    g_hash_table_iter_init(&iter, marked.places);
    while (g_hash_table_iter_next(&iter, &place, NULL))
        look_at_place(watcher, place);
    note_scanned(watcher, until);
    g_hash_table_iter_init(&iter, marked.containers);
    while (g_hash_table_iter_next(&iter, &container, &names))
        work_off_container(watcher, container, names);
    sfs_outbox_recheck_ghosts(watcher->outbox);
    if (!marked.structure && g_hash_table_size(marked.containers) == 0 &&
        g_hash_table_size(marked.nodes) == 0 && g_hash_table_size(marked.places) == 0)
        return;
    watcher->changed(watcher->changed_data);
    if (!watcher->status_due)
        watcher->status_due = g_get_monotonic_time() + MAX(STATUS_USEC, 10 * watcher->status_cost);
}

/* To render the status file, every bundle is looked at. That may take a tenth of the thread's time at most.
 */
static void look_at_status(SfsWatcher *watcher)
{
    SfsTree *tree = sfs_view_tree(watcher->view);
    g_autoptr(SfsNode) status = sfs_view_status_node(watcher->view);
    gint64 start = g_get_monotonic_time();
    SfsState announced_state = sfs_tree_announced_state(tree, status), now = {0};

    watcher->status_due = 0;
    if (!sfs_tree_is_shown(tree, status))
        sfs_outbox_assume(watcher->outbox, status); /* nobody has seen another */
    else if (sfs_attributes_current_state(watcher->view, status, &now) == SFS_CLEAR &&
             now.serial != announced_state.serial)
        sfs_outbox_recheck(watcher->outbox, status, FALSE);
    watcher->changed(watcher->changed_data); /* there may be pollers of it */
    watcher->status_cost = g_get_monotonic_time() - start;
}

static int msec_until(gint64 a, gint64 b, gint64 c, gint64 d)
{
    gint64 first = -1, all[] = {a, b, c, d};

    for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
        if (all[i] > 0 && (first < 0 || all[i] < first))
            first = all[i];
    }
    return first < 0 ? -1 : (int)((MAX(first - g_get_monotonic_time(), 0) + 999) / 1000);
}

static void wait_for_work(SfsWatcher *watcher, gint64 announce_due)
{
    struct pollfd fds[] = {
        {.fd = watcher->wake, .events = POLLIN},
        {.fd = shield_dirwatch_descriptor(sfs_watchlist_queue(watcher->watchlist)), .events = POLLIN},
        {.fd = sfs_outbox_socket(watcher->outbox), .events = POLLIN},
        {.fd = sfs_watchlist_mounts(watcher->watchlist), .events = POLLPRI}};
    eventfd_t ignored;

    if (poll(fds, G_N_ELEMENTS(fds),
             msec_until(announce_due, watcher->recheck_due, watcher->status_due, watcher->close_due)) < 0)
        return; /* EINTR */
    if (fds[0].revents)
        (void)eventfd_read(watcher->wake, &ignored);
    if (fds[3].revents)
        sfs_watchlist_look_at_mounts(watcher->watchlist);
}

/* The status file tells of the announcer too. */
static void note_announcer(SfsWatcher *watcher)
{
    const char *state = sfs_outbox_state(watcher->outbox);
    guint64 backlog = sfs_outbox_degraded(watcher->outbox, NULL);

    if ((state != watcher->announcer || backlog != watcher->backlog) && !watcher->status_due)
        watcher->status_due = g_get_monotonic_time();
    watcher->announcer = state;
    watcher->backlog = backlog;
}

/* For who reads the log: from here on nothing is announced until something changes. */
static void note_idle(SfsWatcher *watcher)
{
    gboolean idle = watcher->announcer && strcmp(watcher->announcer, "ok") == 0 && !watcher->status_due &&
                    sfs_outbox_is_idle(watcher->outbox);

    if (idle && !watcher->idle)
        g_debug("all is announced, %u nodes are kept in mind", sfs_outbox_count(watcher->outbox));
    watcher->idle = idle;
}

static void *work(void *data)
{
    SfsWatcher *watcher = data;

    while (!g_atomic_int_get(&watcher->stop)) {
        sfs_outbox_answered(watcher->outbox);

        gint64 now, announce_due = sfs_outbox_work(watcher->outbox);

        note_idle(watcher);
        wait_for_work(watcher, announce_due);
        if (shield_fault(SHIELD_FAULT_DRAIN))
            g_usleep(STATUS_USEC); /* else it would be nearly as good as an open's own drain */
        (void)shield_dirwatch_drain(sfs_watchlist_queue(watcher->watchlist));
        watcher->close_due = sfs_view_close_unused(watcher->view);
        now = g_get_monotonic_time();
        if (watcher->recheck_due && now >= watcher->recheck_due)
            sfs_watchlist_mark_unwatched(watcher->watchlist);
        work_off_marks(watcher);
        note_announcer(watcher);
        if (watcher->status_due && now >= watcher->status_due)
            look_at_status(watcher);
    }
    return NULL;
}

static void assume_below(SfsWatcher *watcher, SfsNode *directory)
{
    g_autoptr(GPtrArray) children = NULL;

    list(watcher, directory);
    children = sfs_tree_children(sfs_view_tree(watcher->view), directory);
    for (guint i = 0; i < children->len; i++) {
        SfsNode *child = g_ptr_array_index(children, i);

        sfs_outbox_assume(watcher->outbox, child);
        if (sfs_node_is_directory(child))
            assume_below(watcher, child);
    }
}

/* As if an event had told that the writer of one of node's lists is done. */
static void note_written(void *data, SfsNode *node)
{
    SfsWatcher *watcher = data;
    gboolean news = FALSE;

    for (guint i = 0; i < node->computed->n_sources; i++)
        news |= sfs_marks_name(watcher->marks, node->container, FALSE,
                               shield_layout_name(node->computed->sources[i]), IN_CLOSE_WRITE);
    if (news)
        sfs_watcher_wake(watcher);
}

static void kept(void *data)
{
    sfs_watcher_wake(data);
}

SfsWatcher *sfs_watcher_new(SfsView *view, SfsOutbox *outbox, guint poll_sec)
{
    SfsWatcher *watcher = g_new0(SfsWatcher, 1);

    watcher->view = view;
    watcher->outbox = outbox;
    watcher->poll_sec = poll_sec;
    watcher->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    watcher->marks = sfs_marks_new();
    watcher->watchlist = sfs_watchlist_new(view, watcher->marks, poll_sec);
    if (!watcher->watchlist || watcher->wake < 0) {
        g_message("inotify: %s: raise fs.inotify.max_user_instances", g_strerror(errno));
        sfs_watcher_free(watcher);
        return NULL;
    }

    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(view));
    sfs_outbox_set_written(outbox, note_written, watcher);
    sfs_view_set_drain(view, sfs_watcher_drain, watcher);
    sfs_view_set_kept(view, kept, watcher);

    guint64 until = sfs_index_now(sfs_view_index(view));
    rescan(watcher, TRUE);
    (void)sfs_watchlist_take_placed(watcher->watchlist); /* nobody else has looked yet */
    note_scanned(watcher, until);
    assume_below(watcher, root);
    return watcher;
}

void sfs_watcher_set_wake(SfsWatcher *watcher, void (*wake)(void *data), void *data)
{
    watcher->changed = wake;
    watcher->changed_data = data;
}

void sfs_watcher_set_written(SfsWatcher *watcher, SfsWrittenFunc func, void *data)
{
    sfs_watchlist_set_written(watcher->watchlist, func, data);
}

void sfs_watcher_start(SfsWatcher *watcher)
{
    watcher->thread = g_thread_new("watcher", work, watcher);
}

void sfs_watcher_stop(SfsWatcher *watcher)
{
    g_atomic_int_set(&watcher->stop, TRUE);
    sfs_watcher_wake(watcher);
    g_thread_join(watcher->thread);
}

void sfs_watcher_free(SfsWatcher *watcher)
{
    if (watcher->watchlist)
        sfs_watchlist_free(watcher->watchlist);
    sfs_marks_free(watcher->marks);
    shield_fd_close(watcher->wake);
    g_free(watcher);
}
