/* SPDX-License-Identifier: Apache-2.0 */
/* rechecks: see rechecks.h. */
#include "events/rechecks.h"

/* So long what was done last counts: for the pauses between two announcements, and after a directory's. */
#define COUNTS_USEC G_USEC_PER_SEC

/* So many are looked at, at most, when one is taken: more than are taken, so that their number shrinks. */
#define SWEPT 4

struct SfsRechecks {
    GHashTable *all;  /* node to SfsRecheck */
    GSequence *queue; /* of SfsRecheck, by due */
    GQueue resting;   /* of SfsRecheck: those not in the queue, the last one taken at the end */
};

static void look_free(void *data)
{
    SfsRecheck *recheck = data;

    sfs_node_unref(recheck->node);
    g_free(recheck);
}

SfsRechecks *sfs_rechecks_new(void)
{
    SfsRechecks *rechecks = g_new0(SfsRechecks, 1);

    rechecks->all = g_hash_table_new_full(NULL, NULL, NULL, look_free);
    rechecks->queue = g_sequence_new(NULL);
    return rechecks;
}

void sfs_rechecks_free(SfsRechecks *rechecks)
{
    g_sequence_free(rechecks->queue);
    g_hash_table_unref(rechecks->all);
    g_free(rechecks);
}

SfsRecheck *sfs_rechecks_find(SfsRechecks *rechecks, const SfsNode *node)
{
    return g_hash_table_lookup(rechecks->all, node);
}

SfsRecheck *sfs_rechecks_get(SfsRechecks *rechecks, SfsNode *node)
{
    SfsRecheck *recheck = sfs_rechecks_find(rechecks, node);

    if (!recheck) {
        recheck = g_new0(SfsRecheck, 1);
        recheck->node = sfs_node_ref(node);
        g_hash_table_insert(rechecks->all, node, recheck);
    }
    return recheck;
}

static void leave_queue(SfsRechecks *rechecks, SfsRecheck *recheck)
{
    if (recheck->queued)
        g_sequence_remove(recheck->queued);
    recheck->queued = NULL;
    if (recheck->resting.data)
        g_queue_unlink(&rechecks->resting, &recheck->resting);
    recheck->resting.data = NULL;
}

void sfs_rechecks_forget(SfsRechecks *rechecks, SfsRecheck *recheck)
{
    leave_queue(rechecks, recheck);
    g_hash_table_remove(rechecks->all, recheck->node);
}

static gboolean is_forgettable(const SfsRecheck *recheck, gint64 now)
{
    gboolean in_mind = recheck->written || recheck->touched || recheck->unclosed || recheck->ghost ||
                       recheck->unclear || recheck->being_written || recheck->failed || recheck->retries ||
                       recheck->out;

    return !in_mind && now > MAX(recheck->last, recheck->born) + COUNTS_USEC;
}

static void sweep(SfsRechecks *rechecks)
{
    gint64 now = g_get_monotonic_time();

    for (guint n = MIN(SWEPT, g_queue_get_length(&rechecks->resting)); n > 0; n--) {
        SfsRecheck *recheck = g_queue_peek_head(&rechecks->resting);

        if (is_forgettable(recheck, now)) {
            sfs_rechecks_forget(rechecks, recheck);
        } else {
            g_queue_unlink(&rechecks->resting, &recheck->resting);
            g_queue_push_tail_link(&rechecks->resting, &recheck->resting);
        }
    }
}

void sfs_rechecks_take(SfsRechecks *rechecks, SfsRecheck *recheck)
{
    sweep(rechecks);
    leave_queue(rechecks, recheck);
    recheck->resting.data = recheck;
    g_queue_push_tail_link(&rechecks->resting, &recheck->resting);
}

guint sfs_rechecks_count(const SfsRechecks *rechecks)
{
    return g_hash_table_size(rechecks->all);
}

static int compare_due(const void *pa, const void *pb, void *data)
{
    const SfsRecheck *a = pa, *b = pb;

    (void)data;
    return (a->due > b->due) - (a->due < b->due);
}

void sfs_rechecks_queue(SfsRechecks *rechecks, SfsRecheck *recheck, gint64 due)
{
    if (recheck->queued && recheck->due <= due)
        return;
    leave_queue(rechecks, recheck);
    recheck->due = due;
    recheck->queued = g_sequence_insert_sorted(rechecks->queue, recheck, compare_due, NULL);
}

void sfs_rechecks_queue_unclear(SfsRechecks *rechecks, gint64 due)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, rechecks->all);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SfsRecheck *recheck = value;

        if (recheck->unclear)
            sfs_rechecks_queue(rechecks, recheck, due);
    }
}

SfsRecheck *sfs_rechecks_first(const SfsRechecks *rechecks)
{
    GSequenceIter *first = g_sequence_get_begin_iter(rechecks->queue);

    return g_sequence_iter_is_end(first) ? NULL : g_sequence_get(first);
}
