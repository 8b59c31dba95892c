/* SPDX-License-Identifier: Apache-2.0 */
/* looks: see looks.h. */
#include "looks.h"

struct SfsLooks {
    GHashTable *all;  /* node to SfsLook */
    GSequence *queue; /* of SfsLook, by due */
};

static void look_free(void *data)
{
    SfsLook *look = data;

    sfs_node_unref(look->node);
    g_free(look);
}

SfsLooks *sfs_looks_new(void)
{
    SfsLooks *looks = g_new0(SfsLooks, 1);

    looks->all = g_hash_table_new_full(NULL, NULL, NULL, look_free);
    looks->queue = g_sequence_new(NULL);
    return looks;
}

void sfs_looks_free(SfsLooks *looks)
{
    g_sequence_free(looks->queue);
    g_hash_table_unref(looks->all);
    g_free(looks);
}

SfsLook *sfs_looks_find(SfsLooks *looks, const SfsNode *node)
{
    return g_hash_table_lookup(looks->all, node);
}

SfsLook *sfs_looks_get(SfsLooks *looks, SfsNode *node)
{
    SfsLook *look = sfs_looks_find(looks, node);

    if (!look) {
        look = g_new0(SfsLook, 1);
        look->node = sfs_node_ref(node);
        g_hash_table_insert(looks->all, node, look);
    }
    return look;
}

void sfs_looks_take(SfsLook *look)
{
    if (look->queued)
        g_sequence_remove(look->queued);
    look->queued = NULL;
}

void sfs_looks_forget(SfsLooks *looks, SfsLook *look)
{
    sfs_looks_take(look);
    g_hash_table_remove(looks->all, look->node);
}

guint sfs_looks_count(const SfsLooks *looks)
{
    return g_hash_table_size(looks->all);
}

static int compare_due(const void *pa, const void *pb, void *data)
{
    const SfsLook *a = pa, *b = pb;

    (void)data;
    return (a->due > b->due) - (a->due < b->due);
}

void sfs_looks_queue(SfsLooks *looks, SfsLook *look, gint64 due)
{
    if (look->queued && look->due <= due)
        return;
    sfs_looks_take(look);
    look->due = due;
    look->queued = g_sequence_insert_sorted(looks->queue, look, compare_due, NULL);
}

void sfs_looks_queue_unclear(SfsLooks *looks, gint64 due)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, looks->all);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SfsLook *look = value;

        if (look->unclear)
            sfs_looks_queue(looks, look, due);
    }
}

SfsLook *sfs_looks_first(const SfsLooks *looks)
{
    GSequenceIter *first = g_sequence_get_begin_iter(looks->queue);

    return g_sequence_iter_is_end(first) ? NULL : g_sequence_get(first);
}
