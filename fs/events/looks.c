/* SPDX-License-Identifier: Apache-2.0 */
/* looks: see looks.h. */
#include "events/looks.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "error.h"
#include "events/trace.h"
#include "fault.h"
#include "hash.h"
#include "inspect.h"
#include "view/contents.h"
#include "view/index.h"
#include "view/status.h"

#define WRITTEN (IN_MODIFY | IN_CREATE | IN_MOVED_TO)

/* So many names of one bundle are looked at before it is another's turn. */
#define NAMES_AT_ONCE 128

/* Between two looks at one place: its owner may change it without a pause. */
#define PLACE_USEC (10 * 1000)
#define LOOKED_MAX                                                                                           \
    256 /* so many that were looked at are kept in mind before the older ones are forgotten                  \
         */

/* So long bundles are watched and listed before there is a mount; and so many are watched at a time later on.
 */
#define START_USEC (100 * 1000)
#define UNREAD_AT_ONCE 16

/* With so many to be listed the jobs are behind: more are watched only now and then, for a job that comes
 * soon finds the directory open that was opened for the watch. */
#define LISTS_MAX 128
#define UNREAD_USEC (10 * 1000)

/* Files are stamped by a clock that may be so late. What changes when there is a mount must have a time after
 * the start. */
#define TICK_USEC (10 * 1000)

/* What can't be watched, or could not be found, is compared now and then. */
static void compare_later(SfsLooks *looks, gboolean missed)
{
    if (!looks->recheck_due && (missed || sfs_watchlist_are_degraded(looks->watchlist)))
        looks->recheck_due = g_get_monotonic_time() + (gint64)looks->poll_sec * G_USEC_PER_SEC;
}

/* Queues all that is in a container. */
static void recheck_container(SfsLooks *looks, SfsNode *node)
{
    g_autoptr(GPtrArray) children = sfs_tree_children(sfs_view_tree(looks->view), node);

    for (guint i = 0; i < children->len; i++) {
        SfsNode *child = g_ptr_array_index(children, i);

        if (child->kind == SFS_HOOKS)
            sfs_outbox_recheck_children(looks->outbox, child, 0);
    }
    sfs_outbox_recheck_children(looks->outbox, node, 0);
}

/* Watches the bundle of a container, and has it listed if it was not watched before: what is in there may be
 * anything. later: it is listed in any case, in turn with others. */
static void look_at_bundle(SfsLooks *looks, SfsNode *node, gboolean later)
{
    sfs_outbox_recheck(looks->outbox, node, FALSE);
    if (!sfs_tree_is_attached(sfs_view_tree(looks->view), node))
        return;
    if (sfs_watchlist_add_bundle(looks->watchlist, node->container) || later)
        sfs_upkeep_list(looks->upkeep, node->container, later);
}

/* Brings the names in the root up to date, and what is watched of the way to them. */
static void scan(SfsLooks *looks)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(looks->view));
    g_autoptr(GPtrArray) found = NULL;
    ShieldScan scan = {0};

    g_debug("all bundles are looked for");
    looks->recheck_due = 0;
    sfs_watchlist_begin_scan(looks->watchlist, &scan);
    looks->missed |= sfs_index_scan(sfs_view_index(looks->view), root, &scan, &found) != 0;
    sfs_watchlist_end_scan(looks->watchlist, &scan);
    looks->complete = !scan.incomplete;
    sfs_node_unref(sfs_view_status_node(looks->view));
    compare_later(looks, scan.incomplete || scan.errnum);
}

/* Finds all bundles anew, watches the new ones, and queues what came or went. With everything, it queues all
 * there is. */
static void rescan(SfsLooks *looks, gboolean everything)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(looks->view));
    g_autoptr(GPtrArray) nodes = NULL;

    scan(looks);
    nodes = sfs_tree_children(sfs_view_tree(looks->view), root);
    for (guint i = 0; i < nodes->len; i++) {
        SfsNode *node = g_ptr_array_index(nodes, i);

        if (node->kind == SFS_CONTAINER)
            look_at_bundle(looks, node, everything);
    }
    sfs_watchlist_retain_bundles(looks->watchlist, nodes);
    compare_later(looks, FALSE);
}

/* The same for one place. */
static void look_at_place(SfsLooks *looks, const SfsPlaceMark *place)
{
    SfsTree *tree = sfs_view_tree(looks->view);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsNode) before = sfs_tree_announced_child(tree, root, place->name);
    g_autoptr(SfsNode) now = NULL;

    sfs_watchlist_visit_place(looks->watchlist, place->source, place->below);
    if (sfs_watchlist_take_placed(looks->watchlist)) { /* who has looked before it was watched, looks again */
        sfs_index_mark(sfs_view_index(looks->view), place->name);
        looks->own++;
    }
    int errnum = sfs_view_lookup(looks->view, root, place->name, &now);
    if (shield_error_is_shortage(errnum) || errnum == EBUSY) {
        looks->missed = TRUE;
        return compare_later(looks, TRUE);
    }
    sfs_watchlist_retain_bundle(looks->watchlist, place->name, now ? now->container : NULL);
    if (before)
        sfs_outbox_recheck(looks->outbox, before, FALSE);
    if (now && now->kind == SFS_CONTAINER)
        look_at_bundle(looks, now, FALSE);
    compare_later(looks, FALSE);
}

static gboolean is_long_ago(void *name, void *when, void *now)
{
    (void)name;
    return *(gint64 *)when + PLACE_USEC <= *(gint64 *)now;
}

/* Has the place been looked at just now? If not, it will have been. */
static gboolean is_hot(SfsLooks *looks, const SfsPlaceMark *place, gint64 now)
{
    const gint64 *last = g_hash_table_lookup(looks->looked, place->name);

    if (last && !is_long_ago(NULL, (gint64 *)last, &now))
        return TRUE;
    if (g_hash_table_size(looks->looked) >= LOOKED_MAX)
        g_hash_table_foreach_remove(looks->looked, is_long_ago, &now);
    g_hash_table_replace(looks->looked, g_strdup(place->name), g_memdup2(&now, sizeof now));
    return FALSE;
}

/* Looks at the places, but leaves the hot ones for later. How many it has looked at. */
static guint look_at_places(SfsLooks *looks, GHashTable *places)
{
    guint n = 0;
    gint64 now = g_get_monotonic_time();
    GHashTableIter iter;
    void *key;

    looks->places_due = 0;
    g_hash_table_iter_init(&iter, places);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const SfsPlaceMark *place = key;

        if (!is_hot(looks, place, now)) {
            look_at_place(looks, place);
            n++;
            continue;
        }
        (void)sfs_marks_place(looks->marks, place->source, place->below, place->name);
        looks->places_due = now + PLACE_USEC;
    }
    return n;
}

/* TRUE if what is in there may be anything. */
static gboolean add_bundle(SfsLooks *looks, SfsContainer *container)
{
    gboolean news = sfs_watchlist_add_bundle(looks->watchlist, container);

    compare_later(looks, FALSE);
    return news;
}

/* Was the node there at the start, though it is seen only now? */
static gboolean was_there(const SfsNode *node, guint32 mask)
{
    return node->container && g_atomic_int_get(&node->container->unread) && !(mask & IN_CREATE);
}

/* Queues the node that had this name, the one that has it now, and what is computed from it. */
static void look_at_name(SfsLooks *looks, SfsNode *parent, const char *name, guint32 mask)
{
    SfsTree *tree = sfs_view_tree(looks->view);
    g_autoptr(SfsNode) before = sfs_tree_announced_child(tree, parent, name);
    g_autoptr(SfsNode) now = NULL;
    int errnum = sfs_view_lookup(looks->view, parent, name, &now);

    compare_later(looks, shield_error_is_shortage(errnum));
    if (now && !before && was_there(now, mask)) {
        sfs_tree_set_announced(tree, now, TRUE);
        before = sfs_node_ref(now);
    }
    if (before)
        sfs_outbox_recheck(looks->outbox, before, (mask & WRITTEN) != 0);
    if (before && (mask & IN_ATTRIB))
        sfs_outbox_recheck_times(looks->outbox, before);
    if (now && now != before)
        sfs_outbox_recheck(looks->outbox, now, FALSE);
    if (parent->kind != SFS_CONTAINER)
        return;
    if (now && now->kind == SFS_HOOKS) {
        (void)add_bundle(looks, now->container);
        sfs_upkeep_list(looks->upkeep, now->container, FALSE);
    }
    for (guint i = 0; i < shield_computed_n; i++) {
        g_autoptr(SfsNode) computed = sfs_tree_child(tree, parent, shield_computed[i].name);

        if (computed && shield_computed_needs(&shield_computed[i], name))
            sfs_outbox_recheck(looks->outbox, computed, FALSE);
    }
}

static void work_off_container(SfsLooks *looks, SfsContainer *container, GHashTable *names)
{
    SfsTree *tree = sfs_view_tree(looks->view);
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
            look_at_name(looks, node, name, GPOINTER_TO_UINT(mask));
        else if (hooks && hooks->kind == SFS_HOOKS)
            look_at_name(looks, hooks, name + strlen(SFS_MARKS_HOOKS), GPOINTER_TO_UINT(mask));
    }
}

/* A name in hooks that has come without an event: another directory may be mounted there. */
static void find_hooks(SfsLooks *looks, SfsNode *node)
{
    if (node->parent->kind == SFS_HOOKS && sfs_tree_is_attached(sfs_view_tree(looks->view), node) &&
        !sfs_tree_is_announced(sfs_view_tree(looks->view), node) && add_bundle(looks, node->container))
        sfs_upkeep_list(looks->upkeep, node->container, FALSE);
}

static gboolean recheck_nodes(SfsLooks *looks, GHashTable *nodes)
{
    gboolean structure = FALSE;
    GHashTableIter iter;
    void *key;

    g_hash_table_iter_init(&iter, nodes);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        SfsNode *node = key;

        if (node->kind == SFS_CONTAINER && !sfs_watchlist_know_bundle(looks->watchlist, node->container))
            look_at_bundle(looks, node, FALSE); /* it may have come without an event */
        /* What has gone without an event may be covered by a mount, and so may all that is beside it. */
        structure |= !sfs_index_is_exact(sfs_view_index(looks->view)) &&
                     sfs_tree_is_announced(sfs_view_tree(looks->view), node) &&
                     !sfs_tree_is_attached(sfs_view_tree(looks->view), node) &&
                     (node->kind == SFS_CONTAINER || node->parent->kind == SFS_HOOKS);
        find_hooks(looks, node);
        sfs_outbox_recheck(looks->outbox, node, FALSE);
    }
    return structure;
}

/* All marks up to this one have been worked off, unless something was wanting; and our own, if there are no
 * others. */
static void note_scanned(SfsLooks *looks, guint64 until)
{
    guint64 now = sfs_index_now(sfs_view_index(looks->view)), own = until + looks->own;

    looks->own = 0;
    if (now == own)
        until = now;

    const SfsScanned scanned = {.mark = looks->missed || looks->places_due ? 0 : until,
                                .exact = sfs_watchlist_is_exact(looks->watchlist),
                                .anew = sfs_watchlist_take_placed(looks->watchlist),
                                .complete = looks->complete && !looks->missed};

    sfs_index_set_scanned(sfs_view_index(looks->view), &scanned);
}

/* Takes all that is in a directory for known to watchers. */
static void assume_listed(SfsLooks *looks, SfsNode *directory)
{
    g_autoptr(GPtrArray) entries = NULL;

    if (sfs_view_list(looks->view, directory, NULL, &entries) == 0)
        sfs_tree_assume_children(sfs_view_tree(looks->view), directory);
}

static SfsNode *hooks_of(SfsLooks *looks, SfsNode *node)
{
    return sfs_tree_child(sfs_view_tree(looks->view), node, shield_layout_name(SHIELD_HOOKS_DIR));
}

/* What is in a container was there at the start, if it was not seen to come. */
static void assume_container(SfsLooks *looks, SfsNode *node)
{
    g_autoptr(SfsNode) hooks = hooks_of(looks, node);

    sfs_tree_assume_children(sfs_view_tree(looks->view), node);
    if (hooks && hooks->kind == SFS_HOOKS)
        sfs_tree_assume_children(sfs_view_tree(looks->view), hooks);
    g_atomic_int_set(&node->container->unread, FALSE);
}

/* Watches and lists a container before there is a mount. */
static void start_container(SfsLooks *looks, SfsNode *node)
{
    g_autoptr(SfsNode) hooks = NULL;

    (void)sfs_watchlist_add_bundle(looks->watchlist, node->container);
    assume_listed(looks, node);
    hooks = hooks_of(looks, node);
    if (hooks && hooks->kind == SFS_HOOKS)
        assume_listed(looks, hooks);
    sfs_upkeep_list(looks->upkeep, node->container, TRUE);
}

static void start_meta(SfsLooks *looks, SfsNode *meta)
{
    g_autoptr(GPtrArray) children = NULL;

    g_autoptr(GBytes) status = NULL;
    guint64 serial;

    status = sfs_status_text(sfs_view_status(looks->view), &serial);
    assume_listed(looks, meta);
    children = sfs_tree_children(sfs_view_tree(looks->view), meta);
    for (guint i = 0; i < children->len; i++)
        sfs_outbox_assume(looks->outbox, g_ptr_array_index(children, i));
}

void sfs_looks_start(SfsLooks *looks)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(looks->view));
    guint64 until = sfs_index_now(sfs_view_index(looks->view));
    gint64 begin = g_get_monotonic_time();
    gint64 end = shield_fault(SHIELD_FAULT_UNREAD) ? 0 : begin + START_USEC;
    g_autoptr(GPtrArray) nodes = NULL;

    looks->unread = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    looks->looked = g_hash_table_new_full(shield_hash_name, g_str_equal, g_free, g_free);
    scan(looks);
    (void)sfs_watchlist_take_placed(looks->watchlist); /* nobody else has looked yet */
    note_scanned(looks, until);
    sfs_tree_assume_children(sfs_view_tree(looks->view), root);
    nodes = sfs_tree_children(sfs_view_tree(looks->view), root);
    for (guint i = 0; i < nodes->len; i++) {
        SfsNode *node = g_ptr_array_index(nodes, i);

        if (node->kind == SFS_META) {
            start_meta(looks, node);
        } else if (g_get_monotonic_time() < end) {
            start_container(looks, node);
        } else {
            g_atomic_int_set(&node->container->unread, TRUE);
            g_ptr_array_add(looks->unread, sfs_node_ref(node));
        }
    }
    compare_later(looks, FALSE);
    if (g_get_monotonic_time() < begin + TICK_USEC)
        g_usleep(TICK_USEC);
}

/* The next of those that were there at the start are watched, and then listed. TRUE: others are left. */
static gboolean look_at_unread(SfsLooks *looks, gboolean everything)
{
    gint64 now = g_get_monotonic_time();

    if (shield_fault(SHIELD_FAULT_UNREAD) && !everything)
        return FALSE;
    if (now < looks->unread_due && sfs_upkeep_count_lists(looks->upkeep) >= LISTS_MAX)
        return FALSE;
    for (guint i = 0; i < UNREAD_AT_ONCE && looks->unread->len > 0; i++) {
        g_autoptr(SfsNode) node = g_ptr_array_steal_index_fast(looks->unread, looks->unread->len - 1);

        if (sfs_tree_is_attached(sfs_view_tree(looks->view), node)) { /* else its place was marked */
            (void)sfs_watchlist_add_bundle(looks->watchlist, node->container);
            sfs_upkeep_list(looks->upkeep, node->container, TRUE);
        }
    }
    looks->unread_due = looks->unread->len > 0 ? now + UNREAD_USEC : 0;
    return looks->unread->len > 0;
}

void sfs_looks_clear(SfsLooks *looks)
{
    g_clear_pointer(&looks->unread, g_ptr_array_unref);
    g_clear_pointer(&looks->looked, g_hash_table_unref);
}

gboolean sfs_looks_is_starting(const SfsLooks *looks)
{
    return looks->unread->len > 0 || !sfs_upkeep_has_listed_all(looks->upkeep);
}

gboolean sfs_looks_work_off(SfsLooks *looks, gboolean *more)
{
    g_auto(SfsMarked) marked = {0};
    guint64 until = sfs_index_now(sfs_view_index(looks->view)); /* its marks are among those: marking.h */
    GHashTableIter iter;
    void *container, *names;
    guint n;

    *more = sfs_marks_take(looks->marks, &marked, NAMES_AT_ONCE);
    *more |= look_at_unread(looks, marked.everything);
    if (marked.structure)
        looks->missed = FALSE;
    if (recheck_nodes(looks, marked.nodes) || marked.structure) {
        rescan(looks, marked.everything);
        sfs_outbox_recheck_unclear(looks->outbox);
    }
    n = look_at_places(looks, marked.places);
    note_scanned(looks, until);
    g_hash_table_iter_init(&iter, marked.containers);
    while (g_hash_table_iter_next(&iter, &container, &names))
        work_off_container(looks, container, names);
    sfs_outbox_recheck_ghosts(looks->outbox);
    return marked.structure || g_hash_table_size(marked.containers) > 0 ||
           g_hash_table_size(marked.nodes) > 0 || n > 0;
}

/* Queues what a job has done for a container. What still has never been computed comes again. */
static void take(SfsLooks *looks, SfsNode *node, const SfsUpkept *upkept)
{
    if (upkept->missed)
        compare_later(looks, TRUE);
    if (upkept->listed) {
        if (g_atomic_int_get(&node->container->unread) && !upkept->missed)
            assume_container(looks, node);
        if (!upkept->assumed || !sfs_tree_is_told(sfs_view_tree(looks->view), node)) {
            sfs_outbox_recheck(looks->outbox, node, FALSE);
            recheck_container(looks, node);
        }
        return;
    }
    for (guint i = 0; i < shield_computed_n; i++) {
        g_autoptr(SfsNode) child = NULL;

        if (upkept->rows & (1U << i))
            child = sfs_tree_child(sfs_view_tree(looks->view), node, shield_computed[i].name);
        if (child && child->kind == SFS_COMPUTED && sfs_contents_serial(looks->view, child) != 0)
            sfs_outbox_found(looks->outbox, child);
    }
}

gboolean sfs_looks_take_done(SfsLooks *looks, gint64 *status_took)
{
    g_autoptr(GPtrArray) done = sfs_upkeep_take(looks->upkeep);
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(looks->view));
    gboolean told = FALSE;

    for (guint i = 0; i < done->len; i++) {
        const SfsUpkept *upkept = g_ptr_array_index(done, i);
        g_autoptr(SfsNode) node = NULL;

        if (!upkept->container) {
            *status_took = MAX(upkept->took, 1);
            continue;
        }
        node = sfs_tree_child(sfs_view_tree(looks->view), root, upkept->container->place->name);
        told |= upkept->told;
        if (node && node->container == upkept->container)
            take(looks, node, upkept);
    }
    sfs_outbox_recheck_ghosts(looks->outbox);
    return told;
}
