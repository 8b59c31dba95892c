/* SPDX-License-Identifier: Apache-2.0 */
/* kept: readings and snapshots, charged to the budget; see kept.h. */
#include "kept.h"

#include <string.h>

#include "lock.h"
#include "open.h"

/* Bytes: of a text that is not longer no list is kept, as it is parsed again in no time. */
#define SHORT_MAX 256

enum { CHARGED_TEXT = 1, CHARGED_LIST = 2 };

/* It costs nothing to keep. */
static gboolean is_empty(const ShieldReading *reading)
{
    return reading->text && g_bytes_get_size(reading->text) == 0;
}

static void give_back(ShieldKept *kept, ShieldFile file, guint8 what, gsize bytes)
{
    if (kept->charged[file] & what)
        shield_budget_give_back(kept->budget, bytes);
    kept->charged[file] &= (guint8)~what;
}

/* Lock held. */
static void drop_list(ShieldKept *kept, ShieldFile file)
{
    ShieldReading *reading = kept->readings[file];

    if (!reading->list || is_empty(reading))
        return;
    give_back(kept, file, CHARGED_LIST, shield_list_memory(reading->list));
    g_clear_pointer(&reading->list, shield_list_unref);
}

/* The list goes with it, as its entries stand there. Lock held. */
static void drop_text(ShieldKept *kept, ShieldFile file)
{
    ShieldReading *reading = kept->readings[file];

    drop_list(kept, file);
    if (!reading->text || is_empty(reading))
        return;
    give_back(kept, file, CHARGED_TEXT, g_bytes_get_size(reading->text));
    g_clear_pointer(&reading->text, g_bytes_unref);
}

static void drop_reading(ShieldKept *kept, ShieldFile file)
{
    if (kept->readings[file] && kept->budget) /* a snapshot may still have the reading */
        drop_text(kept, file);
    kept->charged[file] = 0;
    g_clear_pointer(&kept->readings[file], shield_reading_unref);
}

static void set_last(ShieldKept *kept, ShieldTimes *times, ShieldSnapshot *snapshot)
{
    g_autoptr(ShieldSnapshot) before G_GNUC_UNUSED = times->last;
    SHIELD_AUTO_LOCK(&kept->last_lock);

    times->last = snapshot;
}

/* Lock held. */
static void drop(ShieldKept *kept, ShieldEvict what)
{
    for (int i = 0; i < SHIELD_N_LISTS; i++) {
        if (kept->readings[i] && what == SHIELD_EVICT_TEXTS)
            drop_text(kept, (ShieldFile)i);
        else if (kept->readings[i])
            drop_list(kept, (ShieldFile)i);
    }
    for (guint i = 0; what == SHIELD_EVICT_TEXTS && i < shield_computed_n; i++) {
        ShieldSnapshot *last = kept->times[i].last;

        if (last && last->text && !shield_snapshot_is_open(last)) /* else nothing would be won */
            set_last(kept, &kept->times[i], shield_snapshot_without_text(last));
    }
}

static gboolean evict(void *data, ShieldEvict what)
{
    ShieldKept *kept = data;

    if (!g_mutex_trylock(&kept->lock))
        return FALSE;
    drop(kept, what);
    g_mutex_unlock(&kept->lock);
    return TRUE;
}

void shield_kept_init(ShieldKept *kept, ShieldBudget *budget)
{
    kept->budget = budget;
    kept->keeper = (ShieldKeeper){.evict = evict, .data = kept};
    kept->times = g_new0(ShieldTimes, shield_computed_n);
    for (guint i = 0; i < shield_computed_n; i++)
        kept->times[i].floor.tv_sec = G_MINLONG; /* before 1970 too */
    g_mutex_init(&kept->lock);
    g_mutex_init(&kept->last_lock);
    shield_budget_join(budget, &kept->keeper);
}

void shield_kept_clear(ShieldKept *kept)
{
    shield_budget_leave(kept->budget, &kept->keeper);
    shield_kept_forget(kept);
    for (guint i = 0; i < shield_computed_n; i++)
        g_clear_pointer(&kept->times[i].last, shield_snapshot_unref);
    g_free(kept->times);
    g_mutex_clear(&kept->lock);
    g_mutex_clear(&kept->last_lock);
}

gboolean shield_kept_has_text(const ShieldKept *kept, ShieldFile file)
{
    return kept->readings[file]->text || kept->readings[file]->error;
}

static gboolean same_content(const ShieldReading *a, const ShieldReading *b)
{
    if (a->error || b->error)
        return a->error && b->error && strcmp(a->error->message, b->error->message) == 0;
    return shield_digest_equal(&a->digest, &b->digest);
}

/* What stands in a list twice, or is no domain in a list of domains, is not kept. */
static void shrink(ShieldReading *reading)
{
    if (!reading->list)
        return;
    g_bytes_unref(reading->text);
    reading->text = shield_list_text(reading->list);
}

static gboolean is_missing(const ShieldReading *reading)
{
    return reading->stamp.mode == 0 && !reading->error;
}

/* One missing file is like another: those of a bundle have one reading. Takes fresh. */
static ShieldReading *share(ShieldKept *kept, ShieldReading *fresh)
{
    for (int i = 0; is_missing(fresh) && i < SHIELD_N_LISTS; i++) {
        if (kept->readings[i] && is_missing(kept->readings[i])) {
            shield_reading_unref(fresh);
            return shield_reading_ref(kept->readings[i]);
        }
    }
    shrink(fresh);
    return fresh;
}

gboolean shield_kept_put(ShieldKept *kept, ShieldFile file, ShieldReading *fresh)
{
    ShieldReading *last = kept->readings[file];

    fresh = share(kept, fresh);
    if (!last || !same_content(last, fresh) || !shield_stamp_equal(&last->stamp, &fresh->stamp) ||
        !shield_rights_equal(&last->rights, &fresh->rights)) {
        drop_reading(kept, file);
        kept->readings[file] = fresh;
        return TRUE;
    }
    last->racy = fresh->racy; /* only ever from true to false: nothing new to compute */
    if (!last->text) {
        last->text = g_steal_pointer(&fresh->text);
        last->list = g_steal_pointer(&fresh->list);
    }
    shield_reading_unref(fresh);
    return FALSE;
}

void shield_kept_forget(ShieldKept *kept)
{
    for (int i = 0; i < SHIELD_N_LISTS; i++)
        drop_reading(kept, (ShieldFile)i);
}

ShieldSnapshot *shield_kept_last(ShieldKept *kept, const ShieldComputed *row)
{
    SHIELD_AUTO_LOCK(&kept->last_lock);
    ShieldSnapshot *last = kept->times[row - shield_computed].last;

    return last ? shield_snapshot_ref(last) : NULL;
}

ShieldSnapshot *shield_kept_standing(const ShieldKept *kept, int dirfd, const ShieldComputed *row)
{
    const ShieldTimes *times = &kept->times[row - shield_computed];

    for (guint i = 0; times->last && i < row->n_sources; i++) {
        if (times->last->readings[i] != kept->readings[row->sources[i]])
            return NULL;
    }
    if (!times->last)
        return NULL;

    struct timespec latest = shield_latest_time(dirfd, times->last->readings, row->n_sources);
    return shield_time_equal(latest, times->source) ? times->last : NULL;
}

/* Charges the text, for which all else that is kept of the bundle goes if it must. */
static ShieldTake take_text(ShieldKept *kept, ShieldSnapshot *snapshot)
{
    g_autoptr(GBytes) uncharged = snapshot->text;
    ShieldTake take = shield_budget_take(kept->budget, &kept->keeper, snapshot->size, SHIELD_EVICT_TEXTS);

    if (take != SHIELD_TAKEN) {
        drop(kept, SHIELD_EVICT_TEXTS);
        take = shield_budget_take(kept->budget, &kept->keeper, snapshot->size, SHIELD_EVICT_TEXTS);
    }
    snapshot->text = take == SHIELD_TAKEN ? shield_budget_bytes(kept->budget, uncharged) : NULL;
    return take;
}

/* The text of a snapshot that is to take last's place is that one's, if it is the same, and else a new one
 * that is charged. */
static ShieldTake place_text(ShieldKept *kept, ShieldTimes *times, ShieldSnapshot *snapshot)
{
    ShieldSnapshot *last = times->last;

    if (!snapshot->text)
        return SHIELD_TAKEN;
    if (last && last->text && shield_snapshot_equal(last, snapshot)) {
        g_bytes_unref(snapshot->text);
        snapshot->text = g_bytes_ref(last->text);
        return SHIELD_TAKEN;
    }
    if (last && last->text)
        set_last(kept, times, shield_snapshot_without_text(last));
    return take_text(kept, snapshot);
}

ShieldTake shield_kept_compute(ShieldKept *kept, int dirfd, const ShieldComputed *row)
{
    ShieldTimes *times = &kept->times[row - shield_computed];
    ShieldReading *readings[SHIELD_COMPUTED_MAX_SOURCES];

    for (guint i = 0; i < row->n_sources; i++) {
        ShieldReading *reading = kept->readings[row->sources[i]];

        if (reading->text && !reading->list)
            reading->list = shield_list_parse(reading->text);
        readings[i] = reading;
    }

    struct timespec source = shield_latest_time(dirfd, readings, row->n_sources);
    ShieldSnapshot *snapshot = shield_snapshot_new(readings, row);
    if (!snapshot)
        return SHIELD_NO_MEMORY;

    ShieldTake take = place_text(kept, times, snapshot);

    shield_times_stamp(times, snapshot, source);
    times->source = source;
    set_last(kept, times, snapshot);
    return take;
}

static void settle(ShieldKept *kept, ShieldFile file)
{
    ShieldReading *reading = kept->readings[file];

    if (is_empty(reading))
        return;
    if (reading->text && !(kept->charged[file] & CHARGED_TEXT)) {
        if (shield_budget_take(kept->budget, &kept->keeper, g_bytes_get_size(reading->text),
                               SHIELD_EVICT_TEXTS) != SHIELD_TAKEN)
            return drop_text(kept, file);
        kept->charged[file] |= CHARGED_TEXT;
    }
    if (reading->text && g_bytes_get_size(reading->text) <= SHORT_MAX)
        return drop_list(kept, file);
    if (reading->list && !(kept->charged[file] & CHARGED_LIST)) {
        if (shield_budget_take(kept->budget, &kept->keeper, shield_list_memory(reading->list),
                               SHIELD_EVICT_LISTS) != SHIELD_TAKEN)
            return drop_list(kept, file);
        kept->charged[file] |= CHARGED_LIST;
    }
}

void shield_kept_settle(ShieldKept *kept)
{
    for (int i = 0; i < SHIELD_N_LISTS; i++) {
        if (kept->readings[i])
            settle(kept, (ShieldFile)i);
    }
}

void shield_kept_touch(ShieldKept *kept)
{
    shield_budget_touch(kept->budget, &kept->keeper);
}
