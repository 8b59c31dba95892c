/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot: computing, and comparing what was computed; see snapshot.h. */
#include "snapshot.h"

ShieldSnapshot *shield_snapshot_ref(ShieldSnapshot *snapshot)
{
    g_atomic_ref_count_inc(&snapshot->refs);
    return snapshot;
}

void shield_snapshot_unref(ShieldSnapshot *snapshot)
{
    if (!g_atomic_ref_count_dec(&snapshot->refs))
        return;
    g_clear_pointer(&snapshot->text, g_bytes_unref);
    g_clear_error(&snapshot->error);
    g_ptr_array_unref(snapshot->readings);
    g_free(snapshot);
}

ShieldSnapshot *shield_snapshot_new(GPtrArray *readings, const ShieldComputed *row)
{
    ShieldSnapshot *snapshot = g_new0(ShieldSnapshot, 1);
    ShieldList *lists[SHIELD_COMPUTED_MAX_SOURCES];

    g_atomic_ref_count_init(&snapshot->refs);
    snapshot->readings = g_ptr_array_ref(readings);
    for (guint i = 0; i < readings->len && !snapshot->error; i++) {
        const ShieldReading *reading = g_ptr_array_index(readings, i);

        lists[i] = reading->list;
        if (reading->error)
            snapshot->error = g_error_copy(reading->error);
    }
    if (!snapshot->error) {
        g_autoptr(ShieldList) list = row->compute(lists);

        snapshot->text = shield_list_render(list);
        snapshot->size = g_bytes_get_size(snapshot->text);
        snapshot->digest = shield_digest(snapshot->text);
    }
    return snapshot;
}

ShieldSnapshot *shield_snapshot_new_error(GError *error)
{
    ShieldSnapshot *snapshot = g_new0(ShieldSnapshot, 1);

    g_atomic_ref_count_init(&snapshot->refs);
    snapshot->readings = g_ptr_array_new();
    snapshot->error = error;
    return snapshot;
}

GBytes *shield_snapshot_open(ShieldSnapshot *snapshot)
{
    gsize size;
    const void *data = g_bytes_get_data(snapshot->text, &size);

    return g_bytes_new_with_free_func(data, size, (GDestroyNotify)shield_snapshot_unref,
                                      shield_snapshot_ref(snapshot));
}

gboolean shield_snapshot_is_open(ShieldSnapshot *snapshot)
{
    return !g_atomic_ref_count_compare(&snapshot->refs, 1);
}

ShieldSnapshot *shield_snapshot_without_text(const ShieldSnapshot *snapshot)
{
    ShieldSnapshot *copy = g_new(ShieldSnapshot, 1);

    *copy = *snapshot;
    g_atomic_ref_count_init(&copy->refs);
    copy->text = NULL;
    copy->error = snapshot->error ? g_error_copy(snapshot->error) : NULL;
    g_ptr_array_ref(copy->readings);
    return copy;
}

gboolean shield_snapshot_equal(const ShieldSnapshot *a, const ShieldSnapshot *b)
{
    if (a->error || b->error)
        return a->error && b->error && a->error->code == b->error->code;
    return a->size == b->size && shield_digest_equal(&a->digest, &b->digest);
}
