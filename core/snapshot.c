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
    for (guint i = 0; i < snapshot->n_readings; i++)
        shield_reading_unref(snapshot->readings[i]);
    g_free(snapshot);
}

/* FALSE: there is no memory for it. */
static gboolean compute(ShieldSnapshot *snapshot, ShieldList *const *lists, const ShieldComputed *row)
{
    g_autoptr(ShieldList) list = NULL;

    for (guint i = 0; i < row->n_sources; i++) {
        if (!lists[i])
            return FALSE;
    }
    list = row->compute(lists);
    snapshot->text = list ? shield_list_render(list) : NULL;
    if (!snapshot->text)
        return FALSE;
    snapshot->size = g_bytes_get_size(snapshot->text);
    snapshot->digest = shield_digest(snapshot->text);
    return TRUE;
}

ShieldSnapshot *shield_snapshot_new(ShieldReading *const *readings, const ShieldComputed *row)
{
    g_autoptr(ShieldSnapshot) snapshot = g_new0(ShieldSnapshot, 1);
    ShieldList *lists[SHIELD_COMPUTED_MAX_SOURCES];

    g_atomic_ref_count_init(&snapshot->refs);
    snapshot->n_readings = row->n_sources;
    for (guint i = 0; i < row->n_sources; i++) {
        ShieldReading *reading = shield_reading_ref(readings[i]);

        snapshot->readings[i] = reading;
        lists[i] = reading->list;
        if (reading->error && !snapshot->error)
            snapshot->error = g_error_copy(reading->error);
    }
    if (!snapshot->error && !compute(snapshot, lists, row))
        return NULL;
    return g_steal_pointer(&snapshot);
}

ShieldSnapshot *shield_snapshot_new_error(GError *error)
{
    ShieldSnapshot *snapshot = g_new0(ShieldSnapshot, 1);

    g_atomic_ref_count_init(&snapshot->refs);
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

    /* Not all at once: others may be counting its references. */
    *copy = (ShieldSnapshot){
        .n_readings = snapshot->n_readings,
        .size = snapshot->size,
        .digest = snapshot->digest,
        .error = snapshot->error ? g_error_copy(snapshot->error) : NULL,
        .mtime = snapshot->mtime,
        .serial = snapshot->serial,
    };
    g_atomic_ref_count_init(&copy->refs);
    for (guint i = 0; i < copy->n_readings; i++)
        copy->readings[i] = shield_reading_ref(snapshot->readings[i]);
    return copy;
}

gboolean shield_snapshot_equal(const ShieldSnapshot *a, const ShieldSnapshot *b)
{
    if (a->error || b->error)
        return a->error && b->error && a->error->code == b->error->code;
    return a->size == b->size && shield_digest_equal(&a->digest, &b->digest);
}
