/* SPDX-License-Identifier: Apache-2.0 */
/* ghosts: see ghosts.h. */
#include "events/ghosts.h"

#include "events/outbox.h"
#include "events/trace.h"
#include "fault.h"
#include "view/wrong.h"

/* So many ghosts of one directory wait at most, as many as inotify keeps events for a watcher that does not
 * read them; and so many of all together. */
#define OF_ONE_MAX (16 * 1024)
#define OF_ALL_MAX (64 * 1024)

/* Is there no room for one more? Then watchers are told neither that it came nor that it went: what is there
 * they are told all the same. */
static gboolean are_too_many(SfsOutbox *outbox, SfsNode *ghost)
{
    const Recheck *above = sfs_rechecks_find(outbox->rechecks, ghost->parent);
    guint most = shield_fault(SHIELD_FAULT_CROWD) ? 100 : OF_ONE_MAX;

    if ((!above || above->ghosts < most) && sfs_rechecks_count_ghosts(outbox->rechecks) < OF_ALL_MAX)
        return FALSE;
    shield_counter_add(&outbox->untold, 1);
    sfs_trace_node(ghost, "gone before it was told, with too many others: not to be told");
    if (!outbox->crowded)
        sfs_wrong_log(ghost->parent, G_LOG_LEVEL_MESSAGE,
                      "names come and go faster than watchers can be told: list it to know what is there");
    outbox->crowded = TRUE;
    return TRUE;
}

/* When it is its turn: in that of its container, but before what has its name now. */
static gint64 due_of(SfsOutbox *outbox, SfsNode *ghost)
{
    g_autoptr(SfsNode) next = sfs_tree_child(sfs_view_tree(outbox->view), ghost->parent, ghost->name);
    const Recheck *recheck = next ? sfs_rechecks_find(outbox->rechecks, next) : NULL;
    gint64 now = g_get_monotonic_time();

    return recheck && recheck->queued ? MIN(now, recheck->due - 1) : now;
}

/* Its directory has to be told of before it, though nobody may be waiting for the end of that one. */
static void become_ghost(SfsOutbox *outbox, SfsNode *node)
{
    do {
        Recheck *recheck = recheck_of(outbox, node);

        sfs_rechecks_set_ghost(outbox->rechecks, recheck, TRUE);
        queue(outbox, recheck, due_of(outbox, node));
        node = node->parent;
    } while (sfs_tree_is_untold(sfs_view_tree(outbox->view), node));
}

/* It is gone, and watchers have not been told of it. What came and went in a directory is told of after that
 * came: so it has to be. */
static void take(SfsOutbox *outbox, SfsNode *node)
{
    Recheck *recheck = sfs_rechecks_find(outbox->rechecks, node);

    if (!sfs_tree_is_untold(sfs_view_tree(outbox->view), node) || (recheck && recheck->ghost))
        return; /* or they have been told since */
    gboolean needed = recheck && (recheck->out || recheck->ghosts > 0);
    if (needed || !(sfs_tree_is_unmissed(sfs_view_tree(outbox->view), node) || are_too_many(outbox, node)))
        become_ghost(outbox, node);
    else if (recheck)
        forget_recheck(outbox, recheck);
}

void sfs_outbox_recheck_ghosts(SfsOutbox *outbox)
{
    g_autoptr(GPtrArray) gone = sfs_tree_take_untold(sfs_view_tree(outbox->view));

    for (guint i = 0; i < gone->len; i++)
        take(outbox, g_ptr_array_index(gone, i));
}

/* What nobody waits for any more costs no request, and so is not its container's turn. */
gboolean sfs_ghosts_forget(SfsOutbox *outbox, Recheck *recheck)
{
    if (recheck->ghosts > 0 || !sfs_tree_is_unmissed(sfs_view_tree(outbox->view), recheck->node))
        return FALSE;
    sfs_trace_node(recheck->node, "gone, and nobody waits to hear of it");
    forget_recheck(outbox, recheck);
    return TRUE;
}
