/* SPDX-License-Identifier: Apache-2.0 */
/* bundle: readings brought up to date, one cut, snapshots; see bundle.h. */
#include "bundle.h"

#include <errno.h>
#include <sys/stat.h>

#include "error.h"
#include "fault.h"
#include "kept.h"
#include "lock.h"
#include "open.h"

/* How long, at least, a list without a lease counts as being written if nobody closes it. */
#define DOUBT_SEC 5

/* For how long a list that nobody leaves alone is tried to be read in nobody's way, at most. */
#define PROBE_USEC (500 * 1000)

/* Pauses between two looks at a list that is being written. */
#define LOOK_MIN_USEC (20 * 1000)
#define LOOK_MAX_USEC (2000 * 1000)

/* A list that could not be read whole when that was tried last: somebody writes it, or has moved it. Times
 * are monotonic. */
typedef struct {
    gint64 doubt_ends; /* see is_unsure; 0: there is none */
    gint64 since;      /* 0: nobody has waited for it yet */
    gint64 due;        /* when to look again, though no event may tell: not every writer's end makes one */
    gint64 pause;
    gboolean refused; /* somebody has been given an error for it since */
} Busy;

struct ShieldBundle {
    gatomicrefcount refs;
    const char *label;
    const ShieldPolicy *policy;
    int changed[SHIELD_N_LISTS]; /* atomic: marked, and not read since */
    int writing[SHIELD_N_LISTS]; /* atomic: when it was written last, if not closed since; else 0 */
    int watched;                 /* atomic */
    guint version;               /* atomic */
    ShieldKept kept;             /* its lock protects all below, too */
    Busy *busy[SHIELD_N_LISTS];  /* NULL: it was read whole */
};

ShieldBundle *shield_bundle_new(const char *label, const ShieldPolicy *policy)
{
    ShieldBundle *bundle = g_new0(ShieldBundle, 1);

    g_atomic_ref_count_init(&bundle->refs);
    bundle->label = label;
    bundle->policy = policy;
    shield_kept_init(&bundle->kept, policy->budget);
    return bundle;
}

ShieldBundle *shield_bundle_ref(ShieldBundle *bundle)
{
    g_atomic_ref_count_inc(&bundle->refs);
    return bundle;
}

void shield_bundle_unref(ShieldBundle *bundle)
{
    if (!g_atomic_ref_count_dec(&bundle->refs))
        return;
    shield_kept_clear(&bundle->kept);
    for (int i = 0; i < SHIELD_N_LISTS; i++)
        g_free(bundle->busy[i]);
    g_free(bundle);
}

const char *shield_bundle_label(const ShieldBundle *bundle)
{
    return bundle->label;
}

void shield_bundle_forget(ShieldBundle *bundle)
{
    SHIELD_AUTO_LOCK(&bundle->kept.lock);

    shield_kept_forget(&bundle->kept);
}

/* The monotonic clock; never 0. */
static int seconds_now(void)
{
    return (int)(g_get_monotonic_time() / G_USEC_PER_SEC) + 1;
}

gboolean shield_bundle_invalidate(ShieldBundle *bundle, const char *name, ShieldMark mark)
{
    ShieldFile file;

    if (!shield_layout_find_name(name, &file) || file >= SHIELD_N_LISTS)
        return FALSE;
    if (mark == SHIELD_MARK_WRITING)
        g_atomic_int_set(&bundle->writing[file], seconds_now());
    if (mark == SHIELD_MARK_WRITTEN)
        g_atomic_int_set(&bundle->writing[file], 0);
    g_atomic_int_set(&bundle->changed[file], TRUE);
    return TRUE;
}

void shield_bundle_mark_all(ShieldBundle *bundle)
{
    for (int i = 0; i < SHIELD_N_LISTS; i++) {
        g_atomic_int_set(&bundle->writing[i], 0); /* nobody knows */
        g_atomic_int_set(&bundle->changed[i], TRUE);
    }
}

void shield_bundle_set_watched(ShieldBundle *bundle, gboolean watched)
{
    g_atomic_int_set(&bundle->watched, watched);
}

guint shield_bundle_version(ShieldBundle *bundle)
{
    return g_atomic_int_get(&bundle->version);
}

gboolean shield_bundle_is_watched(ShieldBundle *bundle)
{
    return g_atomic_int_get(&bundle->watched);
}

static void drain(const ShieldBundle *bundle)
{
    shield_fault_stop(SHIELD_FAULT_STOP_DRAIN);
    if (bundle->policy->drain && !shield_fault(SHIELD_FAULT_DRAIN))
        bundle->policy->drain(bundle->policy->drain_data);
}

/* Lock held. */
static Busy *busy_with(ShieldBundle *bundle, ShieldFile file)
{
    if (!bundle->busy[file])
        bundle->busy[file] = g_new0(Busy, 1);
    return bundle->busy[file];
}

/* May somebody be in the middle of writing a list of which no lease tells? Then it was written and not closed
 * since; but truncate(2) never closes, so that counts only for a while. Lock held. */
static gboolean is_unsure(ShieldBundle *bundle, ShieldFile file, const ShieldReading *fresh)
{
    int writing = g_atomic_int_get(&bundle->writing[file]);
    gboolean unsure = fresh->without_lease && bundle->policy->settle_ms > 0 && writing != 0 &&
                      seconds_now() - writing <= DOUBT_SEC;

    if (unsure)
        busy_with(bundle, file)->doubt_ends = (gint64)(writing + DOUBT_SEC) * G_USEC_PER_SEC;
    else if (bundle->busy[file])
        bundle->busy[file]->doubt_ends = 0;
    return unsure;
}

/* file could not be read whole. The pauses grow only when they are over, however often that is noted. Lock
 * held. */
static void note_busy(ShieldBundle *bundle, ShieldFile file)
{
    Busy *busy = busy_with(bundle, file);
    gint64 now = g_get_monotonic_time();

    if (!busy->since)
        busy->since = now;
    if (now < busy->due)
        return;
    busy->pause = CLAMP(busy->pause * 2, LOOK_MIN_USEC, LOOK_MAX_USEC);
    busy->due = MAX(now + busy->pause, busy->doubt_ends);
}

/* May the lease be a probe alone, before and after the reading, so that it is in no writer's way? Only events
 * tell then of who comes and goes in between. If somebody does for most of the settle time, he has to wait
 * for once, else nobody would ever read. Lock held. */
static gboolean may_probe(ShieldBundle *bundle, ShieldFile file)
{
    gint64 since = bundle->busy[file] ? bundle->busy[file]->since : 0;
    gint64 patience = MIN((gint64)bundle->policy->settle_ms * 1000 / 2, PROBE_USEC);

    return bundle->policy->drain && g_atomic_int_get(&bundle->watched) &&
           (!since || g_get_monotonic_time() - since < patience);
}

typedef struct {
    ShieldBundle *bundle;
    ShieldFile file;
} Probed;

static gboolean left_alone(void *data)
{
    const Probed *probed = data;

    drain(probed->bundle);
    return !g_atomic_int_get(&probed->bundle->changed[probed->file]);
}

/* Reads file. NULL: it could not be read whole. Lock held. */
static ShieldReading *read_list(ShieldBundle *bundle, int dirfd, ShieldFile file)
{
    Probed probed = {bundle, file};
    const ShieldProbe probe = {left_alone, &probed};
    gboolean probes = may_probe(bundle, file);

    shield_fault_stop(SHIELD_FAULT_STOP_READING);
    if (probes) { /* what has happened so far is no news of the reading */
        drain(bundle);
        g_atomic_int_set(&bundle->changed[file], FALSE);
    }

    g_autoptr(ShieldReading) fresh =
        shield_reading_take(dirfd, bundle->label, shield_layout_name(file), shield_layout_kind(file),
                            bundle->policy, probes ? &probe : NULL);
    if (!is_unsure(bundle, file, fresh) && !(fresh->error && fresh->error->code == EBUSY))
        return g_steal_pointer(&fresh);
    g_atomic_int_set(&bundle->changed[file], TRUE);
    return NULL;
}

/* Is the reading of file what stands on disk? Lock held. */
static gboolean is_current(ShieldBundle *bundle, int dirfd, ShieldFile file)
{
    const ShieldReading *reading = bundle->kept.readings[file];

    return reading && !g_atomic_int_get(&bundle->changed[file]) &&
           shield_reading_is_current(reading, dirfd, shield_layout_name(file));
}

/* Brings the reading of file up to date, and with_text has its text too, at most by one reading. NULL: it
 * can't be read whole now; the last complete one stays in its place, for those who don't wait. Lock held. */
static ShieldReading *refresh(ShieldBundle *bundle, int dirfd, ShieldFile file, gboolean with_text)
{
    if (!is_current(bundle, dirfd, file) || (with_text && !shield_kept_has_text(&bundle->kept, file))) {
        /* Unset before the reading: a mark that comes meanwhile means one more. */
        g_atomic_int_set(&bundle->changed[file], FALSE);

        ShieldReading *fresh = read_list(bundle, dirfd, file);
        if (!fresh)
            return NULL;
        if (shield_kept_put(&bundle->kept, file, fresh))
            g_atomic_int_inc(&bundle->version);
    }
    if (bundle->busy[file] && bundle->busy[file]->refused)
        g_atomic_int_inc(&bundle->version);
    g_clear_pointer(&bundle->busy[file], g_free);
    return bundle->kept.readings[file];
}

gint64 shield_bundle_recheck_due(ShieldBundle *bundle, const ShieldComputed *row)
{
    SHIELD_AUTO_LOCK(&bundle->kept.lock);
    gint64 due = 0;

    for (guint i = 0; i < row->n_sources; i++) {
        const Busy *busy = bundle->busy[row->sources[i]];

        due = MAX(due, busy ? busy->due : 0);
    }
    return due ? MAX(due, g_get_monotonic_time() + LOOK_MIN_USEC) : 0;
}

gboolean shield_bundle_refuse(ShieldBundle *bundle, const ShieldComputed *row)
{
    SHIELD_AUTO_LOCK(&bundle->kept.lock);
    gboolean news = FALSE;

    for (guint i = 0; i < row->n_sources; i++) {
        Busy *busy = bundle->busy[row->sources[i]];

        if (!busy)
            continue;
        news |= busy->since && !busy->refused;
        busy->refused = busy->since != 0;
    }
    if (news)
        g_atomic_int_inc(&bundle->version);
    return news;
}

gboolean shield_bundle_has_refused(ShieldBundle *bundle, ShieldFile file)
{
    SHIELD_AUTO_LOCK(&bundle->kept.lock);

    return bundle->busy[file] && bundle->busy[file]->refused;
}

static void reading_free(void *data)
{
    if (data)
        shield_reading_unref(data);
}

GPtrArray *shield_bundle_readings(ShieldBundle *bundle, int dirfd)
{
    SHIELD_AUTO_LOCK(&bundle->kept.lock);
    GPtrArray *readings = g_ptr_array_new_with_free_func(reading_free);

    drain(bundle);
    for (int i = 0; i < SHIELD_N_LISTS; i++)
        (void)refresh(bundle, dirfd, (ShieldFile)i, FALSE); /* if it is being written, the last one stays */
    shield_kept_settle(&bundle->kept);
    for (int i = 0; i < SHIELD_N_LISTS; i++)
        g_ptr_array_add(readings,
                        bundle->kept.readings[i] ? shield_reading_ref(bundle->kept.readings[i]) : NULL);
    return readings;
}

/* Has a source moved since it was read? Where there are events, they tell; a stamp tells of what made none;
 * and a racy stamp proves nothing, so without events (and by another name of the file there are none) such a
 * list is read once more. Lock held. */
static gboolean has_moved(ShieldBundle *bundle, int dirfd, ShieldFile file)
{
    const ShieldReading *read = bundle->kept.readings[file];

    if (g_atomic_int_get(&bundle->changed[file]))
        return TRUE;
    if (shield_bundle_is_watched(bundle) && read->stamp.nlink <= 1)
        return !shield_reading_stamp_holds(read, dirfd, shield_layout_name(file));
    return refresh(bundle, dirfd, file, FALSE) != read;
}

/* Must the row be computed, for which its sources' texts are needed? with_text: its own is. Lock held. */
static gboolean must_compute(ShieldBundle *bundle, int dirfd, const ShieldComputed *row, gboolean with_text)
{
    const ShieldSnapshot *standing = shield_kept_standing(&bundle->kept, dirfd, row);

    return !standing || (with_text && !standing->text && !standing->error);
}

/* Reads what has its text no more of the sources. The last one that was read is *last. Lock held. */
static gboolean fetch_texts(ShieldBundle *bundle, int dirfd, const ShieldComputed *row, guint *last)
{
    for (guint i = 0; i < row->n_sources; i++) {
        if (shield_kept_has_text(&bundle->kept, row->sources[i]))
            continue;
        *last = i;
        if (!refresh(bundle, dirfd, row->sources[i], TRUE))
            return FALSE;
    }
    return TRUE;
}

/* Reads what must be read of the row's sources. TRUE if all that is now in the cache stood on disk at one
 * moment: when the last was read, none of the others had moved. Else *culprit is the file that is in the way.
 * Lock held. */
static gboolean refresh_all(ShieldBundle *bundle, int dirfd, const ShieldComputed *row, gboolean with_text,
                            ShieldFile *culprit)
{
    guint last = row->n_sources - 1;

    drain(bundle);
    for (guint i = 0; i < row->n_sources; i++) {
        *culprit = row->sources[i];
        if (!refresh(bundle, dirfd, *culprit, FALSE))
            return FALSE;
    }
    if (must_compute(bundle, dirfd, row, with_text) && !fetch_texts(bundle, dirfd, row, &last)) {
        *culprit = row->sources[last];
        return FALSE;
    }
    if (bundle->policy->settle_ms == 0)
        return TRUE; /* taken as it stands */
    if (shield_fault(SHIELD_FAULT_SECOND_DRAIN))
        return TRUE;
    drain(bundle);
    for (guint i = 0; i < row->n_sources; i++) {
        *culprit = row->sources[i];
        if (i != last && has_moved(bundle, dirfd, *culprit))
            return FALSE;
    }
    return TRUE;
}

/* Is all that row needs in the cache as it is on disk, so that there is nothing to read? It then stood
 * there like that at one moment, the one of the drain. Lock held. */
static gboolean is_warm(ShieldBundle *bundle, int dirfd, const ShieldComputed *row)
{
    drain(bundle);
    for (guint i = 0; i < row->n_sources; i++) {
        if (!is_current(bundle, dirfd, row->sources[i]))
            return FALSE;
    }
    return TRUE;
}

ShieldSnapshot *shield_bundle_last(ShieldBundle *bundle, const ShieldComputed *row)
{
    return shield_kept_last(&bundle->kept, row);
}

/* What an open is told of a file for the text of which there is no room; but for the error it is that one. */
static ShieldSnapshot *no_room(ShieldBundle *bundle, const ShieldComputed *row, ShieldTake take)
{
    g_autofree char *limit = shield_budget_limit(bundle->policy->budget);
    g_autoptr(ShieldSnapshot) last = shield_kept_last(&bundle->kept, row);
    GError *error = NULL;

    if (take == SHIELD_NO_MEMORY)
        shield_error_set_errno(&error, ENOMEM, bundle->label, row->name);
    else if (take == SHIELD_BUSY)
        shield_error_set(&error, EBUSY, bundle->label, row->name, "the cache is in use: try again");
    else
        shield_error_set(&error, ENOMEM, bundle->label, row->name,
                         "not enough of the cache (cache=%s): close files or raise it", limit);

    ShieldSnapshot *snapshot = shield_snapshot_new_error(error);
    if (last) {
        snapshot->serial = last->serial;
        snapshot->mtime = last->mtime;
    }
    return snapshot;
}

/* The snapshot that the cached readings give. Lock held. */
static ShieldSnapshot *compute(ShieldBundle *bundle, int dirfd, const ShieldComputed *row, gboolean with_text)
{
    ShieldTake take = SHIELD_TAKEN;

    if (must_compute(bundle, dirfd, row, with_text))
        take = shield_kept_compute(&bundle->kept, dirfd, row);
    if (with_text)
        shield_kept_touch(&bundle->kept);
    if (take != SHIELD_TAKEN && (with_text || !bundle->kept.times[row - shield_computed].last))
        return no_room(bundle, row, take);
    return shield_kept_last(&bundle->kept, row);
}

/* NULL if a source is being written, or moved while another was read: then *culprit is that source. */
static ShieldSnapshot *try_snapshot(ShieldBundle *bundle, int dirfd, const ShieldComputed *row,
                                    gboolean with_text, ShieldFile *culprit)
{
    SHIELD_AUTO_LOCK(&bundle->kept.lock);
    ShieldSnapshot *snapshot = NULL;

    *culprit = row->sources[0];
    if (refresh_all(bundle, dirfd, row, with_text, culprit))
        snapshot = compute(bundle, dirfd, row, with_text);
    else
        note_busy(bundle, *culprit);
    shield_kept_settle(&bundle->kept);
    return snapshot;
}

static ShieldSnapshot *busy_snapshot(ShieldBundle *bundle, ShieldFile culprit)
{
    GError *error = NULL;

    shield_error_set(&error, EBUSY, bundle->label, shield_layout_name(culprit),
                     "still being written after %u ms: try again", bundle->policy->settle_ms);
    return shield_snapshot_new_error(error);
}

ShieldSnapshot *shield_bundle_try(ShieldBundle *bundle, int dirfd, const ShieldComputed *row)
{
    ShieldFile culprit;
    ShieldSnapshot *snapshot = try_snapshot(bundle, dirfd, row, TRUE, &culprit);

    return snapshot ? snapshot : busy_snapshot(bundle, culprit);
}

/* What is in the cache of row, if that is how it is on disk. */
static ShieldSnapshot *standing_snapshot(ShieldBundle *bundle, int dirfd, const ShieldComputed *row,
                                         gboolean with_text)
{
    ShieldSnapshot *snapshot = NULL;

    if (!g_mutex_trylock(&bundle->kept.lock))
        return NULL;
    if (is_warm(bundle, dirfd, row) && !must_compute(bundle, dirfd, row, with_text))
        snapshot = compute(bundle, dirfd, row, with_text);
    g_mutex_unlock(&bundle->kept.lock);
    return snapshot;
}

ShieldSnapshot *shield_bundle_warm(ShieldBundle *bundle, int dirfd, const ShieldComputed *row)
{
    return standing_snapshot(bundle, dirfd, row, TRUE);
}

ShieldSnapshot *shield_bundle_known(ShieldBundle *bundle, int dirfd, const ShieldComputed *row)
{
    return standing_snapshot(bundle, dirfd, row, FALSE);
}

ShieldSnapshot *shield_bundle_open(ShieldBundle *bundle, int dirfd, const ShieldComputed *row)
{
    ShieldRetry retry = shield_retry_start(bundle->policy);
    ShieldSnapshot *snapshot = shield_bundle_try(bundle, dirfd, row);

    while (snapshot->error && snapshot->error->code == EBUSY && shield_retry_again(&retry)) {
        shield_snapshot_unref(snapshot);
        snapshot = shield_bundle_try(bundle, dirfd, row);
    }
    return snapshot;
}

ShieldSnapshot *shield_bundle_peek(ShieldBundle *bundle, int dirfd, const ShieldComputed *row)
{
    ShieldFile culprit;
    ShieldSnapshot *snapshot = try_snapshot(bundle, dirfd, row, FALSE, &culprit);

    if (!snapshot)
        snapshot = shield_bundle_last(bundle, row);
    return snapshot ? snapshot : busy_snapshot(bundle, culprit);
}
