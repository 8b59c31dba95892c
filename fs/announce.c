/* SPDX-License-Identifier: Apache-2.0 */
/* announce: comparing, and one request at a time; see announce.h. */
#include "announce.h"

#include <errno.h>

#include "fault.h"
#include "open.h"
#include "outcome.h"

#define HOT_USEC (10 * 1000) /* between two announcements of one node */
#define RETRY_MAX_USEC (1000 * 1000)

SfsAnnounce *sfs_announce_new(SfsView *view, const char *mountpoint)
{
    SfsAnnounce *announce = g_new0(SfsAnnounce, 1);

    announce->view = view;
    announce->wire = sfs_wire_new();
    announce->backlog = sfs_backlog_new(mountpoint);
    announce->looks = sfs_looks_new();
    return announce;
}

void sfs_announce_free(SfsAnnounce *announce)
{
    sfs_looks_free(announce->looks);
    sfs_backlog_free(announce->backlog);
    sfs_wire_free(announce->wire);
    g_free(announce);
}

void sfs_announce_set_overdue(SfsAnnounce *announce, void (*overdue)(void *data, pid_t pid), void *data)
{
    announce->overdue = overdue;
    announce->overdue_data = data;
}

void sfs_announce_set_written(SfsAnnounce *announce, void (*written)(void *data, SfsNode *node), void *data)
{
    announce->written = written;
    announce->written_data = data;
}

const char *sfs_announce_state(SfsAnnounce *announce)
{
    const char *state = sfs_wire_state(announce->wire);

    return g_str_equal(state, "ok") && sfs_backlog_is_stuck(announce->backlog) ? "stuck" : state;
}

guint64 sfs_announce_degraded(SfsAnnounce *announce, GPtrArray *lines)
{
    if (lines)
        sfs_backlog_lines(announce->backlog, lines);
    return sfs_backlog_serial(announce->backlog);
}

SfsWire *sfs_announce_wire(SfsAnnounce *announce)
{
    return announce->wire;
}

void sfs_announce_look(SfsAnnounce *announce, SfsNode *node, gboolean written)
{
    Look *look = look_at(announce, node);

    look->written |= written;
    queue(announce, look, MAX(g_get_monotonic_time(), look->last ? look->last + HOT_USEC : 0));
}

void sfs_announce_look_at_times(SfsAnnounce *announce, SfsNode *node)
{
    look_at(announce, node)->touched = TRUE;
    sfs_announce_look(announce, node, FALSE);
}

static gboolean content_differs(const Look *look, const SfsTold *a, const SfsTold *b)
{
    if (look->node->kind == SFS_COMPUTED || look->node->kind == SFS_STATUS)
        return a->serial != b->serial &&
               !(shield_fault(SHIELD_FAULT_MEMORY) && a->st.st_size == b->st.st_size);
    return look->written || a->dev != b->dev || a->ino != b->ino || a->st.st_size != b->st.st_size ||
           (!look->touched && !shield_time_equal(a->st.st_mtim, b->st.st_mtim));
}

void sfs_announce_ask(SfsAnnounce *announce, Look *look, SfsAnnounceOp op, const SfsTold *now)
{
    announce->op = op;
    announce->telling = *now;
    look->last = g_get_monotonic_time();
    if (sfs_wire_ask(announce->wire, look->node, op, now)) {
        announce->out = look;
    } else { /* the announcer is gone: the supervisor will send another */
        look->written |= op == SFS_ANNOUNCE_MODIFY;
        queue(announce, look, g_get_monotonic_time() + SFS_RETRY_USEC);
    }
}

/* The node is to be looked at before another: when that will be done. One that fails again and again keeps
 * its pace. */
static gint64 look_first(SfsAnnounce *announce, SfsNode *node)
{
    Look *look = look_at(announce, node);

    if (sfs_backlog_holds(announce->backlog, node))
        return sfs_backlog_due(announce->backlog);
    if (!look->retries || !look->queued)
        queue(announce, look, g_get_monotonic_time());
    return look->due;
}

/* When all will have been looked at that watchers still believe to be in the directory; 0: nothing is. */
static gint64 look_at_announced_children(SfsAnnounce *announce, SfsNode *directory)
{
    g_autoptr(GPtrArray) children = sfs_tree_children(announce->view->tree, directory);
    gint64 due = 0;

    for (guint i = 0; i < children->len; i++) {
        SfsNode *child = g_ptr_array_index(children, i);

        if (sfs_tree_is_announced(announce->view->tree, child)) {
            gint64 first = look_first(announce, child);

            due = MAX(due, first);
        }
    }
    return due;
}

/* The name is gone, and watchers are to hear of it: of what was in a directory first. */
static void announce_removal(SfsAnnounce *announce, Look *look)
{
    static const SfsTold nothing;
    gboolean directory = sfs_node_is_directory(look->node);

    gint64 before = directory ? look_at_announced_children(announce, look->node) : 0;

    if (before)
        queue(announce, look, before + 1);
    else
        sfs_announce_ask(announce, look, directory ? SFS_ANNOUNCE_RMDIR : SFS_ANNOUNCE_UNLINK, &nothing);
}

/* Its directory's arrival leads to all that is in it then; but not to what has gone by then, though somebody
 * saw it. */
static void wait_for_directory(SfsAnnounce *announce, Look *look)
{
    if (look->ghost && sfs_tree_is_attached(announce->view->tree, look->node->parent))
        queue(announce, look, g_get_monotonic_time() + SFS_NEW_DIRECTORY_USEC);
    else
        forget_look(announce, look);
}

/* Watchers are to hear of a new name: after its directory, with time to watch that, and after the end of what
 * had the name before. */
static void announce_arrival(SfsAnnounce *announce, Look *look, const SfsTold *now)
{
    SfsTree *tree = announce->view->tree;
    SfsNode *node = look->node;
    g_autoptr(SfsNode) before = sfs_tree_announced_child(tree, node->parent, node->name);
    const Look *parent = sfs_looks_find(announce->looks, node->parent);
    gint64 ready = parent && parent->born ? parent->born + SFS_NEW_DIRECTORY_USEC : 0;

    if (look->ghost && before && sfs_tree_is_attached(tree, before)) {
        forget_look(announce, look); /* too late: watchers have been told of the next one with its name */
    } else if (!sfs_tree_is_announced(tree, node->parent)) {
        wait_for_directory(announce, look);
    } else if (ready > g_get_monotonic_time()) {
        queue(announce, look, ready);
    } else if (before) {
        queue(announce, look, look_first(announce, before) + 1);
    } else {
        sfs_announce_ask(announce, look,
                         sfs_node_is_directory(node) ? SFS_ANNOUNCE_MKDIR : SFS_ANNOUNCE_CREATE, now);
    }
}

/* Watchers know it as it is. */
static void nothing_new(SfsAnnounce *announce, Look *look, const SfsTold *now)
{
    look->retries = 0;
    sfs_backlog_remove(announce->backlog, look->node);
    sfs_tree_tell(announce->view->tree, look->node, now);
}

static void announce_change(SfsAnnounce *announce, Look *look, const SfsTold *told, const SfsTold *now)
{
    gboolean content = !sfs_node_is_directory(look->node) && content_differs(look, told, now);
    gboolean access = sfs_told_access_differs(told, &now->st);
    gint64 ready = look->last ? look->last + HOT_USEC : 0;

    if ((content || look->unclosed || access) && ready > g_get_monotonic_time()) {
        queue(announce, look, ready); /* what changes until then is one change */
        return;
    }
    /* A computed file's owner is its directory's, and with allow_other so is much of every mode in it. */
    if (sfs_node_is_directory(look->node) && access)
        sfs_announce_look_at_children(announce, look->node, 0);
    look->written = look->touched = FALSE;
    if (content)
        sfs_announce_ask(announce, look, SFS_ANNOUNCE_MODIFY, now);
    else if (look->unclosed)
        sfs_announce_ask(announce, look, SFS_ANNOUNCE_CLOSE, now);
    else if (access)
        sfs_announce_ask(announce, look, SFS_ANNOUNCE_ATTRIB, now);
    else
        nothing_new(announce, look, now);
}

/* When to look again at what a computed file is made of, as somebody is writing it; 0: nobody is. */
static gint64 due_again(const SfsNode *node)
{
    return node->kind == SFS_COMPUTED ? shield_bundle_look_again(node->container->bundle, node->synth) : 0;
}

/* While a list is being written, the last complete one is what there is. That the writer is done need not
 * make an event; whoever comes upon it here tells of it as one would. */
static void look_again(SfsAnnounce *announce, Look *look)
{
    gint64 due = due_again(look->node);
    gboolean ended = look->being_written && !due;

    look->being_written = due != 0;
    if (due)
        queue(announce, look, due);
    if (ended && announce->written)
        announce->written(announce->written_data, look->node);
}

/* What there is to tell of a node. A name that a look finds gone is gone, whether it was detached by then or
 * not: else it might come back under a number that watchers were told is dead. */
static SfsSight see(SfsAnnounce *announce, SfsNode *node, SfsTold *now)
{
    SfsTree *tree = announce->view->tree;
    SfsSight sight = SFS_GONE;

    while (sight == SFS_GONE && sfs_tree_is_attached(tree, node)) {
        guint64 time = sfs_tree_time(tree);

        shield_fault_stop(SHIELD_FAULT_STOP_COMPARISON);
        sight = sfs_view_see(announce->view, node, now);
        shield_fault_stop(SHIELD_FAULT_STOP_COMPARISON);
        if (sight == SFS_GONE) /* no effect if somebody has seen it since: then it is looked at again */
            sfs_tree_detach(tree, node->parent, node->name, time);
    }
    return sight;
}

/* One step for one node. */
static void compare(SfsAnnounce *announce, Look *look)
{
    SfsTree *tree = announce->view->tree;
    gboolean announced = sfs_tree_is_announced(tree, look->node);
    SfsTold told = sfs_tree_told(tree, look->node), now = {0};
    SfsSight sight = see(announce, look->node, &now);

    sfs_announce_look_at_ghosts(announce);
    if (sight == SFS_CLEAR || sight == SFS_UNCLEAR)
        look_again(announce, look);
    look->unclear = sight == SFS_UNCLEAR;
    if (look->unclear)
        sfs_backlog_remove(announce->backlog, look->node);
    if (look->unclear)
        return; /* the end of what makes it so is a change, and leads here again */
    if (sight == SFS_FAILED)
        queue(announce, look, g_get_monotonic_time() + RETRY_MAX_USEC);
    else if (sight == SFS_GONE && announced)
        announce_removal(announce, look);
    else if (sight == SFS_GONE && !look->ghost)
        forget_look(announce, look);
    else if (!announced)
        announce_arrival(announce, look, &now);
    else
        announce_change(announce, look, &told, &now);
}

void sfs_announce_look_at_unclear(SfsAnnounce *announce)
{
    sfs_looks_queue_unclear(announce->looks, g_get_monotonic_time());
}

void sfs_announce_look_at_children(SfsAnnounce *announce, SfsNode *directory, gint64 delay)
{
    g_autoptr(GPtrArray) children = sfs_tree_children(announce->view->tree, directory);

    for (guint i = 0; i < children->len; i++)
        queue(announce, look_at(announce, g_ptr_array_index(children, i)), g_get_monotonic_time() + delay);
}

void sfs_announce_look_at_ghosts(SfsAnnounce *announce)
{
    g_autoptr(GPtrArray) ghosts = sfs_tree_take_ghosts(announce->view->tree);

    for (guint i = 0; i < ghosts->len; i++) {
        Look *look = look_at(announce, g_ptr_array_index(ghosts, i));

        look->ghost = TRUE;
        queue(announce, look, 0); /* before what has its name now, which may be in the queue */
    }
}

void sfs_announce_assume(SfsAnnounce *announce, SfsNode *node)
{
    SfsTold now = {0};

    sfs_tree_set_announced(announce->view->tree, node, TRUE);
    if (sfs_view_see(announce->view, node, &now) == SFS_CLEAR)
        sfs_tree_tell(announce->view->tree, node, &now);
    if (due_again(node))
        look_again(announce, look_at(announce, node));
}

void sfs_announce_answered(SfsAnnounce *announce)
{
    int errnum;

    if (sfs_wire_answer(announce->wire, &errnum) && announce->out)
        sfs_outcome_finish(announce, errnum);
}

/* Tells whoever can replace it of an announcer that does not answer. */
static gint64 wait_for_answer(SfsAnnounce *announce)
{
    pid_t overdue = sfs_wire_overdue(announce->wire);

    if (overdue && announce->overdue)
        announce->overdue(announce->overdue_data, overdue);
    return sfs_wire_patience(announce->wire);
}

/* The next of the backlog joins the queue when its time has come. */
static void take_backlog(SfsAnnounce *announce)
{
    gint64 due = sfs_backlog_due(announce->backlog);

    if (due && due <= g_get_monotonic_time()) {
        g_autoptr(SfsNode) node = sfs_backlog_next(announce->backlog);

        sfs_outcome_try_again(announce, node);
    }
}

gint64 sfs_announce_work(SfsAnnounce *announce)
{
    while (!announce->out && sfs_wire_socket(announce->wire) >= 0) {
        take_backlog(announce);

        Look *look = sfs_looks_first(announce->looks);
        gint64 later = sfs_backlog_due(announce->backlog);
        if (!look)
            return later ? later : -1;

        gint64 due = MAX(look->due, sfs_wire_covered_until(announce->wire));
        if (due > g_get_monotonic_time())
            return later ? MIN(due, later) : due;
        sfs_looks_take(look);
        compare(announce, look);
    }
    return announce->out ? wait_for_answer(announce) : -1;
}

gboolean sfs_announce_is_idle(SfsAnnounce *announce)
{
    return !announce->out && !sfs_looks_first(announce->looks) && sfs_backlog_due(announce->backlog) == 0;
}

guint sfs_announce_count(SfsAnnounce *announce)
{
    return sfs_looks_count(announce->looks);
}
