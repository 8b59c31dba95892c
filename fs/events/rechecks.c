/* SPDX-License-Identifier: Apache-2.0 */
/* rechecks: see rechecks.h. */
#include "events/rechecks.h"

struct SfsRechecks {
    GHashTable *all;  /* node to SfsRecheck */
    GSequence *queue; /* of SfsRecheck, by due */
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

void sfs_rechecks_take(SfsRecheck *recheck)
{
    if (recheck->queued)
        g_sequence_remove(recheck->queued);
    recheck->queued = NULL;
}

void sfs_rechecks_forget(SfsRechecks *rechecks, SfsRecheck *recheck)
{
    sfs_rechecks_take(recheck);
    g_hash_table_remove(rechecks->all, recheck->node);
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
    sfs_rechecks_take(recheck);
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
