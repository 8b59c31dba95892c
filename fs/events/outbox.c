/* SPDX-License-Identifier: Apache-2.0 */
/* outbox: comparing, and one request at a time; see outbox.h. */
#include "events/outbox.h"

#include <errno.h>

#include "events/asking.h"
#include "events/ghosts.h"
#include "events/outcome.h"
#include "events/trace.h"
#include "fault.h"
#include "open.h"
#include "view/attributes.h"

/* Between two announcements of one node: at first, and at most while it goes on changing. */
#define HOT_MIN_USEC (10 * 1000)
#define HOT_MAX_USEC (80 * 1000)
#define RETRY_MAX_USEC (1000 * 1000)

#define AT_ONCE 64 /* comparisons, before marks are looked at again */

SfsOutbox *sfs_outbox_new(SfsView *view, SfsAnnouncerClient *announcer, const char *mountpoint)
{
    SfsOutbox *outbox = g_new0(SfsOutbox, 1);

    outbox->view = view;
    outbox->client = announcer;
    outbox->backlog = sfs_backlog_new(mountpoint);
    outbox->rechecks = sfs_rechecks_new(sfs_view_tree(view));
    return outbox;
}

void sfs_outbox_free(SfsOutbox *outbox)
{
    sfs_rechecks_free(outbox->rechecks);
    sfs_backlog_free(outbox->backlog);
    g_free(outbox);
}

void sfs_outbox_set_overdue(SfsOutbox *outbox, void (*overdue)(void *data, pid_t pid), void *data)
{
    outbox->overdue = overdue;
    outbox->overdue_data = data;
}

void sfs_outbox_set_cold(SfsOutbox *outbox, void (*cold)(void *data, SfsNode *node), void *data)
{
    outbox->cold = cold;
    outbox->cold_data = data;
}

const char *sfs_outbox_state(SfsOutbox *outbox)
{
    const char *state = sfs_announcer_client_state(outbox->client);

    return g_str_equal(state, "ok") && sfs_backlog_is_stuck(outbox->backlog) ? "stuck" : state;
}

guint64 sfs_outbox_degraded(SfsOutbox *outbox, GPtrArray *lines)
{
    if (lines)
        sfs_backlog_lines(outbox->backlog, lines);
    return sfs_backlog_serial(outbox->backlog);
}

int sfs_outbox_socket(SfsOutbox *outbox)
{
    return sfs_announcer_client_socket(outbox->client);
}

/* When the node may be announced again. */
static gint64 cool(const Recheck *recheck)
{
    return recheck->last ? recheck->last + MAX(recheck->rest, HOT_MIN_USEC) : 0;
}

/* It is about to be told of another content. What has changed again so soon, goes on changing. */
static void back_off(Recheck *recheck)
{
    gint64 rest = MAX(recheck->rest, HOT_MIN_USEC);
    gboolean hot = recheck->last && g_get_monotonic_time() < recheck->last + 2 * rest;

    recheck->rest = hot ? MIN(2 * rest, HOT_MAX_USEC) : HOT_MIN_USEC;
}

/* A change of what waits to be told already: both are told as one. */
static void note_joined(SfsOutbox *outbox, const Recheck *recheck)
{
    if (recheck->queued)
        shield_counter_add(&outbox->joined, 1);
}

void sfs_outbox_recheck(SfsOutbox *outbox, SfsNode *node, gboolean written)
{
    Recheck *recheck = recheck_of(outbox, node);

    note_joined(outbox, recheck);
    recheck->written |= written;
    recheck->stale = node->kind == SFS_COMPUTED;
    queue(outbox, recheck, MAX(g_get_monotonic_time(), cool(recheck)));
}

void sfs_outbox_found(SfsOutbox *outbox, SfsNode *node)
{
    Recheck *recheck = recheck_of(outbox, node);

    queue(outbox, recheck, MAX(g_get_monotonic_time(), cool(recheck)));
}

void sfs_outbox_recheck_times(SfsOutbox *outbox, SfsNode *node)
{
    recheck_of(outbox, node)->touched = TRUE;
    sfs_outbox_recheck(outbox, node, FALSE);
}

static gboolean content_differs(const Recheck *recheck, const SfsState *a, const SfsState *b)
{
    if (recheck->node->kind == SFS_COMPUTED || recheck->node->kind == SFS_STATUS)
        return a->serial != b->serial &&
               !(shield_fault(SHIELD_FAULT_MEMORY) && a->st.st_size == b->st.st_size);
    return recheck->written || a->dev != b->dev || a->ino != b->ino || a->st.st_size != b->st.st_size ||
           (!recheck->touched && !shield_time_equal(a->st.st_mtim, b->st.st_mtim));
}

/* The node is to be looked at before another: when that will be done. One that fails again and again, or that
 * waits for others itself, keeps its pace. */
static gint64 recheck_first(SfsOutbox *outbox, SfsNode *node)
{
    Recheck *recheck = recheck_of(outbox, node);

    if (sfs_backlog_holds(outbox->backlog, node))
        return sfs_backlog_due(outbox->backlog);
    if (!recheck->queued || !(recheck->retries || recheck->waits))
        queue(outbox, recheck, g_get_monotonic_time());
    return recheck->due;
}

/* It is looked at again at that time, and not before. */
static void wait_until(SfsOutbox *outbox, Recheck *recheck, gint64 due)
{
    queue(outbox, recheck, due);
    recheck->waits = TRUE;
}

/* The same after pauses that grow, up to a second if there is something that can't be announced at present.
 */
static void wait_longer(SfsOutbox *outbox, Recheck *recheck, gint64 least)
{
    gint64 most = sfs_backlog_due(outbox->backlog) ? RETRY_MAX_USEC : HOT_MAX_USEC;

    recheck->pause = CLAMP(recheck->pause * 2, least, most);
    wait_until(outbox, recheck, g_get_monotonic_time() + recheck->pause);
}

/* When all will have been looked at that watchers still believe to be in the directory; 0: nothing is. */
static gint64 recheck_announced_children(SfsOutbox *outbox, SfsNode *directory)
{
    g_autoptr(GPtrArray) children = sfs_tree_children(sfs_view_tree(outbox->view), directory);
    gint64 due = 0;

    for (guint i = 0; i < children->len; i++) {
        SfsNode *child = g_ptr_array_index(children, i);

        if (sfs_tree_is_announced(sfs_view_tree(outbox->view), child)) {
            gint64 first = recheck_first(outbox, child);

            due = MAX(due, first);
        }
    }
    return due;
}

/* The name is gone, and watchers are to hear of it: of what was in a directory first. */
static void announce_removal(SfsOutbox *outbox, Recheck *recheck)
{
    static const SfsState nothing;
    gboolean directory = sfs_node_is_directory(recheck->node);
    gint64 stray = 0;

    gint64 before = directory ? recheck_announced_children(outbox, recheck->node) : 0;

    if (before) {
        sfs_trace_node(recheck->node, "gone: to be told after what was in it");
        wait_until(outbox, recheck, before + 1);
        return;
    }
    if (directory && recheck->ghosts > 0) {
        sfs_trace_node(recheck->node, "gone: to be told after what came and went in it");
        wait_longer(outbox, recheck, HOT_MIN_USEC);
        return;
    }
    if (directory && recheck->node->container)
        stray = sfs_container_stray_until(recheck->node->container);
    if (stray > g_get_monotonic_time()) {
        sfs_trace_node(recheck->node,
                       "gone: to be told when who came upon it has looked for what is there now");
        wait_until(outbox, recheck, stray);
        return;
    }
    sfs_trace_node(recheck->node, "gone");
    sfs_asking_ask(outbox, recheck, directory ? SFS_ANNOUNCER_RMDIR : SFS_ANNOUNCER_UNLINK, &nothing);
}

/* When its directory has been announced, all that is in it is looked at. But a ghost is not in it any more:
 * it waits here, also for a directory that is a ghost itself. */
static void wait_for_directory(SfsOutbox *outbox, Recheck *recheck)
{
    SfsNode *directory = recheck->node->parent;
    const Recheck *above = sfs_rechecks_find(outbox->rechecks, directory);

    if (recheck->ghost && sfs_tree_is_attached(sfs_view_tree(outbox->view), directory))
        wait_longer(outbox, recheck, SFS_NEW_DIRECTORY_USEC);
    else if (recheck->ghost && above && above->ghost)
        wait_until(outbox, recheck, recheck_first(outbox, directory) + 1);
    else
        forget_recheck(outbox, recheck);
}

/* Watchers are to hear of a new name: after its directory, with time to watch that, and after the end of what
 * had the name before. */
static void announce_arrival(SfsOutbox *outbox, Recheck *recheck, const SfsState *now)
{
    SfsTree *tree = sfs_view_tree(outbox->view);
    SfsNode *node = recheck->node;
    g_autoptr(SfsNode) before = sfs_tree_announced_child(tree, node->parent, node->name);
    const Recheck *parent = sfs_rechecks_find(outbox->rechecks, node->parent);
    gint64 ready = parent && parent->born ? parent->born + SFS_NEW_DIRECTORY_USEC : 0;

    if (recheck->ghost && before && sfs_tree_is_attached(tree, before)) {
        sfs_trace_node(node, "gone before it was told, and watchers know the next of its name");
        forget_recheck(outbox, recheck); /* too late: watchers have been told of the next one with its name */
    } else if (!sfs_tree_is_announced(tree, node->parent)) {
        sfs_trace_node(node, "new: to be told after its directory");
        wait_for_directory(outbox, recheck);
    } else if (ready > g_get_monotonic_time()) {
        sfs_trace_node(node, "new, in a new directory: watchers get some time to watch that first");
        wait_until(outbox, recheck, ready);
    } else if (before) {
        sfs_trace_node(node, "new: to be told after the end of what had its name");
        wait_until(outbox, recheck, recheck_first(outbox, before) + 1);
    } else if (!recheck->ghost && sfs_rechecks_has_ghost(outbox->rechecks, node)) {
        sfs_trace_node(node, "new: to be told after what came and went by its name");
        wait_longer(outbox, recheck, HOT_MIN_USEC);
    } else {
        sfs_trace_node(node, "new");
        sfs_asking_ask(outbox, recheck,
                       sfs_node_is_directory(node) ? SFS_ANNOUNCER_MKDIR : SFS_ANNOUNCER_CREATE, now);
    }
}

/* Watchers know it as it is. */
static void nothing_new(SfsOutbox *outbox, Recheck *recheck, const SfsState *now)
{
    sfs_trace_node(recheck->node, "as it was told: nothing to announce");
    recheck->retries = 0;
    sfs_backlog_remove(outbox->backlog, recheck->node);
    sfs_tree_set_announced_state(sfs_view_tree(outbox->view), recheck->node, now);
}

static void announce_change(SfsOutbox *outbox, Recheck *recheck, const SfsState *announced_state,
                            const SfsState *now)
{
    gboolean content =
        !sfs_node_is_directory(recheck->node) && content_differs(recheck, announced_state, now);
    gboolean access = sfs_state_access_differs(announced_state, &now->st);
    gint64 ready = cool(recheck);

    if ((content || recheck->unclosed || access) && ready > g_get_monotonic_time()) {
        sfs_trace_node(recheck->node, "changed, and was told of just now: again in a moment");
        queue(outbox, recheck, ready); /* what changes until then is one change */
        return;
    }
    /* A computed file's owner is its directory's, and with allow_other so is much of every mode in it. */
    if (sfs_node_is_directory(recheck->node) && access)
        sfs_outbox_recheck_children(outbox, recheck->node, 0);
    recheck->written = recheck->touched = FALSE;
    if (content || access)
        sfs_trace_node(recheck->node, "differs from what was told in its %s%s%s", content ? "content" : "",
                       content && access ? ", and in its " : "", access ? "mode or owner" : "");
    if (content)
        back_off(recheck);
    if (content)
        sfs_asking_ask(outbox, recheck, SFS_ANNOUNCER_MODIFY, now);
    else if (recheck->unclosed)
        sfs_asking_ask(outbox, recheck, SFS_ANNOUNCER_CLOSE, now);
    else if (access)
        sfs_asking_ask(outbox, recheck, SFS_ANNOUNCER_ATTRIB, now);
    else
        nothing_new(outbox, recheck, now);
}

/* What is computed is computed elsewhere, and not before it is to be compared: what changes and changes back
 * meanwhile is no change. It comes back as found. TRUE: it will. */
static gboolean has_it_computed(const SfsOutbox *outbox, Recheck *recheck)
{
    if (!outbox->cold || !sfs_tree_is_attached(sfs_view_tree(outbox->view), recheck->node))
        return FALSE;
    recheck->stale = FALSE;
    outbox->cold(outbox->cold_data, recheck->node);
    return TRUE;
}

/* What there is to tell of a node. A name that a look finds gone is gone, whether it was detached by then or
 * not: else it might come back under a number that watchers were told is dead. */
static SfsFinding current_state(SfsOutbox *outbox, SfsNode *node, SfsState *now)
{
    SfsTree *tree = sfs_view_tree(outbox->view);
    SfsFinding finding = SFS_GONE;

    while (finding == SFS_GONE && sfs_tree_is_attached(tree, node)) {
        guint64 time = sfs_tree_time(tree);

        shield_fault_stop(SHIELD_FAULT_STOP_COMPARISON);
        finding = sfs_attributes_current_state(outbox->view, node, now);
        shield_fault_stop(SHIELD_FAULT_STOP_COMPARISON);
        if (finding == SFS_GONE) /* no effect if somebody has seen it since: then it is looked at again */
            sfs_tree_detach(tree, node->parent, node->name, time);
    }
    return finding;
}

/* It was there before anybody could watch it, and nobody has been told of it since: as it was then watchers
 * know it. */
static void assume_state(SfsOutbox *outbox, Recheck *recheck, SfsState *announced_state, const SfsState *now)
{
    *announced_state = *now;
    if (sfs_attributes_changed_since_start(outbox->view, recheck->node, now)) {
        announced_state->serial = 0;
        recheck->written = recheck->node->kind == SFS_RAW;
    }
    sfs_tree_assume_state(sfs_view_tree(outbox->view), recheck->node, announced_state);
}

/* One step for one node. */
static void compare(SfsOutbox *outbox, Recheck *recheck)
{
    SfsTree *tree = sfs_view_tree(outbox->view);
    g_autoptr(SfsNode) node = sfs_node_ref(recheck->node);
    gboolean announced = sfs_tree_is_announced(tree, node);
    SfsState announced_state = sfs_tree_announced_state(tree, recheck->node), now = {0};
    SfsFinding finding;

    if (recheck->stale && has_it_computed(outbox, recheck))
        return;
    finding = current_state(outbox, node, &now);

    sfs_outbox_recheck_ghosts(outbox);
    recheck = sfs_rechecks_find(outbox->rechecks, node);
    if (!recheck)
        return; /* it is gone, and nobody waits to hear of it */
    if (finding == SFS_COLD && has_it_computed(outbox, recheck))
        return;
    recheck->unclear = finding == SFS_UNCLEAR;
    if (recheck->unclear)
        sfs_backlog_remove(outbox->backlog, recheck->node);
    if (recheck->unclear) {
        sfs_trace_node(recheck->node, "what it is can't be said: its next change leads here again");
        return; /* the end of what makes it so is a change, and leads here again */
    }
    if (finding == SFS_FAILED) {
        sfs_trace_node(recheck->node, "could not be looked at: again in a second");
        queue(outbox, recheck, g_get_monotonic_time() + RETRY_MAX_USEC);
    } else if (finding == SFS_GONE && announced) {
        announce_removal(outbox, recheck);
    } else if (finding == SFS_GONE && !recheck->ghost) {
        sfs_trace_node(recheck->node, "gone, and nobody was told of it");
        forget_recheck(outbox, recheck);
    } else if (!announced) {
        announce_arrival(outbox, recheck, &now);
    } else {
        if (!sfs_state_is_known(&announced_state))
            assume_state(outbox, recheck, &announced_state, &now);
        announce_change(outbox, recheck, &announced_state, &now);
    }
}

void sfs_outbox_recheck_unclear(SfsOutbox *outbox)
{
    g_autoptr(GPtrArray) unclear = sfs_rechecks_unclear(outbox->rechecks);

    for (guint i = 0; i < unclear->len; i++) {
        sfs_outbox_recheck(outbox, g_ptr_array_index(unclear, i), FALSE);
    }
}

void sfs_outbox_recheck_children(SfsOutbox *outbox, SfsNode *directory, gint64 delay)
{
    sfs_asking_recheck_children(outbox, directory, delay);
}

void sfs_outbox_assume(SfsOutbox *outbox, SfsNode *node)
{
    SfsState now = {0};

    sfs_tree_set_announced(sfs_view_tree(outbox->view), node, TRUE);
    if (sfs_attributes_current_state(outbox->view, node, &now) == SFS_CLEAR)
        sfs_tree_set_announced_state(sfs_view_tree(outbox->view), node, &now);
}

void sfs_outbox_answered(SfsOutbox *outbox)
{
    int errnum;

    if (sfs_announcer_client_answer(outbox->client, &errnum) && outbox->out)
        sfs_outcome_finish(outbox, errnum);
}

/* Tells whoever can replace it of an announcer that does not answer. */
static gint64 wait_for_answer(SfsOutbox *outbox)
{
    pid_t overdue = sfs_announcer_client_overdue(outbox->client);

    if (overdue && outbox->overdue)
        outbox->overdue(outbox->overdue_data, overdue);
    return sfs_announcer_client_patience(outbox->client);
}

/* The next of the backlog joins the queue when its time has come. */
static void take_backlog(SfsOutbox *outbox)
{
    gint64 due = sfs_backlog_due(outbox->backlog);

    if (due && due <= g_get_monotonic_time()) {
        g_autoptr(SfsNode) node = sfs_backlog_next(outbox->backlog);

        sfs_outcome_try_again(outbox, node);
    }
}

static gint64 work(SfsOutbox *outbox)
{
    for (int n = 0; !outbox->out && sfs_announcer_client_socket(outbox->client) >= 0; n++) {
        gint64 due = 0;

        if (n == AT_ONCE)
            return g_get_monotonic_time();
        take_backlog(outbox);

        Recheck *recheck = sfs_rechecks_first(outbox->rechecks, &due);
        gint64 later = sfs_backlog_due(outbox->backlog);
        if (!recheck)
            return later ? later : -1;

        due = MAX(due, sfs_announcer_client_covered_until(outbox->client));
        if (due > g_get_monotonic_time())
            return later ? MIN(due, later) : due;
        if (sfs_ghosts_forget(outbox, recheck))
            continue;
        sfs_rechecks_take(outbox->rechecks, recheck);
        compare(outbox, recheck);
    }
    return outbox->out ? wait_for_answer(outbox) : -1;
}

/* For who asks on another thread. */
static void note_length(SfsOutbox *outbox)
{
    gint64 oldest;
    guint n = sfs_rechecks_waiting(outbox->rechecks, &oldest);

    if (outbox->out && (!oldest || outbox->out->last < oldest))
        oldest = outbox->out->last;
    shield_counter_set(&outbox->length, n + (outbox->out != NULL));
    shield_counter_set(&outbox->oldest, (guint64)oldest);
    outbox->crowded &= n > 0;
}

gint64 sfs_outbox_work(SfsOutbox *outbox)
{
    gint64 next = work(outbox);

    note_length(outbox);
    return next;
}

gboolean sfs_outbox_is_idle(SfsOutbox *outbox)
{
    gint64 due;

    return !outbox->out && !sfs_rechecks_first(outbox->rechecks, &due) &&
           sfs_backlog_due(outbox->backlog) == 0;
}

guint sfs_outbox_count(SfsOutbox *outbox)
{
    return sfs_rechecks_count(outbox->rechecks);
}
