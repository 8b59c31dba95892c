/* SPDX-License-Identifier: Apache-2.0 */
/* upkeep: what is wanted of each bundle, and what was done; see upkeep.h. */
#include "events/upkeep.h"

#include <errno.h>

#include "error.h"
#include "lock.h"
#include "view/attributes.h"
#include "view/contents.h"
#include "view/findings.h"
#include "view/status.h"

#define AGAIN_USEC G_USEC_PER_SEC /* after a job for which something was wanting */

/* What is to be done for a bundle, and what is to be remembered between two jobs. */
typedef struct {
    guint rows;
    gboolean list, working;
    guint written; /* of these rows a list was being written */
} Work;

struct SfsUpkeep {
    SfsView *view;
    SfsUpkeepCalls calls;
    GMutex lock;      /* a leaf but for the jobs'; protects the rest */
    GHashTable *work; /* SfsContainer (a reference) to Work */
    guint lists;      /* so many are to be listed, or are being */
    guint status;     /* so many times the status file is to be put together, or is being */
    GPtrArray *done;  /* of SfsUpkept */
};

static void upkept_free(void *data)
{
    SfsUpkept *upkept = data;

    if (upkept->container)
        sfs_container_unref(upkept->container);
    g_free(upkept);
}

static GPtrArray *new_done(void)
{
    return g_ptr_array_new_with_free_func(upkept_free);
}

guint sfs_upkeep_row(const ShieldComputed *row)
{
    return 1U << (row - shield_computed);
}

/* Lock held. */
static Work *work_of(SfsUpkeep *upkeep, SfsContainer *container)
{
    Work *work = g_hash_table_lookup(upkeep->work, container);

    if (!work) {
        work = g_new0(Work, 1);
        g_hash_table_insert(upkeep->work, sfs_container_ref(container), work);
    }
    return work;
}

/* What is wanted is done at due. Lock held. */
static void want(SfsUpkeep *upkeep, SfsContainer *container, guint rows, gboolean list, SfsJobKind kind,
                 gint64 due)
{
    Work *work = work_of(upkeep, container);

    upkeep->lists += list && !work->list;
    work->rows |= rows;
    work->list |= list;
    sfs_jobs_queue(sfs_view_jobs(upkeep->view), container, kind, due);
}

void sfs_upkeep_rows(SfsUpkeep *upkeep, SfsContainer *container, guint rows)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);

    if (rows)
        want(upkeep, container, rows, FALSE, SFS_JOB_UPKEEP, g_get_monotonic_time());
}

void sfs_upkeep_list(SfsUpkeep *upkeep, SfsContainer *container, gboolean later)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);

    want(upkeep, container, 0, TRUE, later ? SFS_JOB_LATER : SFS_JOB_UPKEEP, g_get_monotonic_time());
}

void sfs_upkeep_status(SfsUpkeep *upkeep)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);

    if (upkeep->status++ == 0)
        sfs_jobs_queue(sfs_view_jobs(upkeep->view), NULL, SFS_JOB_UPKEEP, g_get_monotonic_time());
}

/* What is to be done now is not to be done any more. */
static Work begin(SfsUpkeep *upkeep, SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);
    Work *work = work_of(upkeep, container);
    Work now = *work;

    work->rows = 0;
    work->list = FALSE;
    work->working = TRUE;
    return now;
}

static void end(SfsUpkeep *upkeep, const SfsUpkept *upkept, guint written, gboolean listed)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);
    Work *work = work_of(upkeep, upkept->container);

    work->working = FALSE;
    work->written = written;
    if (!work->rows && !work->list && !work->written)
        g_hash_table_remove(upkeep->work, upkept->container);
    g_ptr_array_add(upkeep->done, g_memdup2(upkept, sizeof *upkept));
    upkeep->lists -= listed;
}

/* The node of the container, if that is what its name leads to. */
static SfsNode *node_of(SfsView *view, const SfsContainer *container)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(view));
    g_autoptr(SfsNode) node = sfs_tree_child(sfs_view_tree(view), root, container->place->name);

    return node && node->container == container ? g_steal_pointer(&node) : NULL;
}

/* TRUE: nothing was wanting. After any other error the tree has noted what is gone. */
static gboolean list(SfsView *view, SfsNode *directory)
{
    g_autoptr(GPtrArray) entries = NULL;

    return !shield_error_is_shortage(sfs_view_list(view, directory, NULL, &entries));
}

static gboolean list_all(SfsView *view, SfsNode *node)
{
    gboolean complete = list(view, node);
    g_autoptr(SfsNode) hooks =
        sfs_tree_child(sfs_view_tree(view), node, shield_layout_name(SHIELD_HOOKS_DIR));

    if (hooks && hooks->kind == SFS_HOOKS)
        complete &= list(view, hooks);
    return complete;
}

/* What a job found being written, of which rows, and when to look at that again: not every writer's end makes
 * an event. */
typedef struct {
    guint rows;
    gint64 due; /* monotonic time */
} Written;

/* Brings the rows up to date. TRUE: nothing was wanting. */
static gboolean compute(SfsUpkeep *upkeep, SfsContainer *container, guint rows, Written *written)
{
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(upkeep->view, container);

    if (!directory)
        return !shield_error_is_shortage(errno);
    for (guint i = 0; i < shield_computed_n; i++) {
        const ShieldComputed *row = &shield_computed[i];

        if (!(rows & (1U << i)))
            continue;
        shield_snapshot_unref(shield_bundle_peek(container->bundle, directory->fd, row));

        gint64 due = shield_bundle_recheck_due(container->bundle, row);
        if (due) {
            written->rows |= 1U << i;
            written->due = MIN(written->due, due);
        }
    }
    return TRUE;
}

/* Tells of writers that are done, by the rows that are not waiting for one any more. */
static void tell_written(SfsUpkeep *upkeep, SfsContainer *container, guint rows)
{
    for (guint i = 0; i < shield_computed_n; i++) {
        if (rows & (1U << i))
            upkeep->calls.written(upkeep->calls.data, container, &shield_computed[i]);
    }
}

/* Asks for rows, and for the names with list, again at due. */
static void ask_again(SfsUpkeep *upkeep, SfsContainer *container, guint rows, gboolean list, gint64 due)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);

    want(upkeep, container, rows, list, SFS_JOB_UPKEEP, due);
}

/* rows: those that were computed just now, of lists that nobody was writing. */
static SfsFinding current_state(SfsView *view, SfsNode *node, guint rows, SfsState *now)
{
    return node->kind == SFS_COMPUTED && (rows & sfs_upkeep_row(node->computed))
               ? sfs_attributes_just_computed(view, node, now)
               : sfs_attributes_current_state(view, node, now);
}

/* As it is now, watchers know what was there at the start, if it has not changed since. TRUE: it is so; else
 * it is to be compared. */
static gboolean assume_state(SfsView *view, SfsNode *node, guint rows)
{
    SfsState announced_state = sfs_tree_announced_state(sfs_view_tree(view), node), now = {0};

    if (sfs_state_is_known(&announced_state) || current_state(view, node, rows, &now) != SFS_CLEAR ||
        sfs_attributes_changed_since_start(view, node, &now))
        return FALSE;
    sfs_tree_assume_state(sfs_view_tree(view), node, &now);
    return TRUE;
}

/* The same of a directory, and of all that is in it. */
static gboolean assume_states(SfsView *view, SfsNode *directory, guint rows)
{
    g_autoptr(GPtrArray) children = sfs_tree_attached_children(sfs_view_tree(view), directory);
    gboolean all = assume_state(view, directory, rows);

    for (guint i = 0; i < children->len; i++) {
        SfsNode *child = g_ptr_array_index(children, i);

        all &= child->kind == SFS_HOOKS ? assume_states(view, child, rows) : assume_state(view, child, rows);
    }
    return all;
}

static void keep_up_node(SfsUpkeep *upkeep, SfsNode *node, const Work *work, SfsUpkept *upkept,
                         Written *written)
{
    SfsFindings *findings = sfs_view_findings(upkeep->view);
    SfsContainer *container = node->container;

    upkept->listed = work->list;
    upkept->rows = work->list ? (1U << shield_computed_n) - 1 : work->rows;
    upkept->missed = work->list && !list_all(upkeep->view, node);
    if (compute(upkeep, container, upkept->rows, written) && !upkept->missed) {
        if (work->list)
            upkept->assumed = assume_states(upkeep->view, node, upkept->rows & ~written->rows);
        upkept->told = sfs_findings_check(findings, container);
        upkept->told |= sfs_findings_inspect(findings, container, work->list);
    } else {
        ask_again(upkeep, container, upkept->rows, work->list, g_get_monotonic_time() + AGAIN_USEC);
        upkept->rows = 0;
    }
}

static void keep_up_bundle(SfsUpkeep *upkeep, SfsContainer *container)
{
    SfsUpkept upkept = {.container = sfs_container_ref(container)};
    Written written = {0, G_MAXINT64};
    Work work = begin(upkeep, container);
    g_autoptr(SfsNode) node = node_of(upkeep->view, container);

    if (node)
        keep_up_node(upkeep, node, &work, &upkept, &written);
    else
        sfs_findings_forget(sfs_view_findings(upkeep->view), container);
    if (written.rows)
        ask_again(upkeep, container, written.rows, FALSE, written.due);
    tell_written(upkeep, container, work.written & upkept.rows & ~written.rows);
    end(upkeep, &upkept, node ? written.rows | (work.written & ~upkept.rows) : 0, work.list);
}

static void put_status_together(SfsUpkeep *upkeep)
{
    gint64 start = g_get_monotonic_time();
    SfsUpkept upkept = {0};
    guint64 serial;
    guint wanted;

    g_mutex_lock(&upkeep->lock);
    wanted = upkeep->status;
    g_mutex_unlock(&upkeep->lock);
    (void)sfs_findings_ask(sfs_view_findings(upkeep->view));
    g_bytes_unref(sfs_status_text(sfs_view_status(upkeep->view), &serial));
    upkept.took = g_get_monotonic_time() - start;

    SHIELD_AUTO_LOCK(&upkeep->lock);
    upkeep->status -= wanted;
    if (upkeep->status > 0)
        sfs_jobs_queue(sfs_view_jobs(upkeep->view), NULL, SFS_JOB_UPKEEP, g_get_monotonic_time());
    g_ptr_array_add(upkeep->done, g_memdup2(&upkept, sizeof upkept));
}

/* The job. */
static void keep_up(void *data, SfsContainer *container)
{
    SfsUpkeep *upkeep = data;

    if (container)
        keep_up_bundle(upkeep, container);
    else
        put_status_together(upkeep);
    upkeep->calls.done(upkeep->calls.data);
}

GPtrArray *sfs_upkeep_take(SfsUpkeep *upkeep)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);
    GPtrArray *done = upkeep->done;

    upkeep->done = new_done();
    return done;
}

/* What a list's writer is in the way of is not waited for. Lock held. */
static gboolean is_done(const Work *work)
{
    return !work->working && !work->list && (work->rows & ~work->written) == 0;
}

gboolean sfs_upkeep_is_idle(SfsUpkeep *upkeep)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);
    GHashTableIter iter;
    void *work;

    if (upkeep->done->len > 0 || upkeep->status > 0)
        return FALSE;
    g_hash_table_iter_init(&iter, upkeep->work);
    while (g_hash_table_iter_next(&iter, NULL, &work)) {
        if (!is_done(work))
            return FALSE;
    }
    return TRUE;
}

guint sfs_upkeep_count_lists(SfsUpkeep *upkeep)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);

    return upkeep->lists;
}

gboolean sfs_upkeep_has_listed_all(SfsUpkeep *upkeep)
{
    SHIELD_AUTO_LOCK(&upkeep->lock);

    return upkeep->lists == 0 && upkeep->done->len == 0;
}

void sfs_upkeep_set_calls(SfsUpkeep *upkeep, const SfsUpkeepCalls *calls)
{
    upkeep->calls = *calls;
}

SfsUpkeep *sfs_upkeep_new(SfsView *view)
{
    SfsUpkeep *upkeep = g_new0(SfsUpkeep, 1);

    upkeep->view = view;
    g_mutex_init(&upkeep->lock);
    upkeep->work = g_hash_table_new_full(NULL, NULL, (GDestroyNotify)sfs_container_unref, g_free);
    upkeep->done = new_done();
    sfs_jobs_set(sfs_view_jobs(view), SFS_JOB_UPKEEP, keep_up, upkeep);
    sfs_jobs_set(sfs_view_jobs(view), SFS_JOB_LATER, keep_up, upkeep);
    return upkeep;
}

void sfs_upkeep_free(SfsUpkeep *upkeep)
{
    g_hash_table_unref(upkeep->work);
    g_ptr_array_unref(upkeep->done);
    g_mutex_clear(&upkeep->lock);
    g_free(upkeep);
}
