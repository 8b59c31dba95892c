/* SPDX-License-Identifier: Apache-2.0 */
/* asking: the queue, and the request that is out; see asking.h. */
#include "events/asking.h"

#include "events/trace.h"

void sfs_asking_ask(SfsOutbox *outbox, Recheck *recheck, SfsAnnouncerOp op, const SfsState *now)
{
    sfs_trace_node(recheck->node, "the announcer is asked for %s", sfs_trace_op(op));
    outbox->op = op;
    outbox->telling = *now;
    recheck->last = g_get_monotonic_time();
    if (sfs_announcer_client_ask(outbox->client, recheck->node, op, now)) {
        outbox->out = recheck;
        recheck->out = TRUE;
    } else {
        /* The supervisor will send another. */
        sfs_trace_node(recheck->node, "the announcer is gone: again when there is another");
        recheck->written |= op == SFS_ANNOUNCER_MODIFY;
        queue(outbox, recheck, g_get_monotonic_time() + SFS_RETRY_USEC);
    }
}

void sfs_asking_recheck_children(SfsOutbox *outbox, SfsNode *directory, gint64 delay)
{
    g_autoptr(GPtrArray) children = sfs_tree_children(sfs_view_tree(outbox->view), directory);

    for (guint i = 0; i < children->len; i++)
        queue(outbox, recheck_of(outbox, g_ptr_array_index(children, i)), g_get_monotonic_time() + delay);
}
