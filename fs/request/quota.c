/* SPDX-License-Identifier: Apache-2.0 */
/* quota: a table of who holds how many; see quota.h. */
#include "request/quota.h"

#include "lock.h"
#include "text.h"

/* A thing of which somebody holds shares. It is its own key. */
typedef struct {
    uid_t uid;
    const void *thing;
    gsize shares;
} Held;

#define TELL_USEC (60 * G_USEC_PER_SEC)

struct SfsQuota {
    gsize max;
    uid_t owner;
    const char *what;
    GMutex lock; /* a leaf; protects the rest */
    gsize held, held_by_others;
    GHashTable *others; /* uid to how many, of those who hold some */
    GHashTable *things; /* a set of Held */
    gint64 told;        /* monotonic time; 0: never */
};

static guint hash_held(const void *data)
{
    const Held *held = data;

    return g_direct_hash(held->thing) ^ held->uid;
}

static gboolean same_held(const void *data_a, const void *data_b)
{
    const Held *a = data_a, *b = data_b;

    return a->uid == b->uid && a->thing == b->thing;
}

SfsQuota *sfs_quota_new(gsize max, uid_t owner, const char *what)
{
    SfsQuota *quota = g_new0(SfsQuota, 1);

    quota->max = max;
    quota->owner = owner;
    quota->what = what;
    g_mutex_init(&quota->lock);
    quota->others = g_hash_table_new(NULL, NULL);
    quota->things = g_hash_table_new_full(hash_held, same_held, g_free, NULL);
    return quota;
}

void sfs_quota_free(SfsQuota *quota)
{
    g_hash_table_unref(quota->others);
    g_hash_table_unref(quota->things);
    g_mutex_clear(&quota->lock);
    g_free(quota);
}

static gboolean is_time_to_tell(SfsQuota *quota)
{
    gint64 now = g_get_monotonic_time();
    SHIELD_AUTO_LOCK(&quota->lock);

    if (quota->told && now < quota->told + TELL_USEC)
        return FALSE;
    quota->told = now;
    return TRUE;
}

void sfs_quota_tell(SfsQuota *quota, const char *path, uid_t uid)
{
    g_autofree char *subject = shield_text_escape(path, -1);

    if (is_time_to_tell(quota))
        g_message("%s: refused to user %u, as too many are open: there may be %" G_GSIZE_FORMAT
                  " %s in all, half of them for others than who mounted",
                  subject, uid, quota->max, quota->what);
}

static gboolean is_other(const SfsQuota *quota, uid_t uid)
{
    return uid != 0 && uid != quota->owner;
}

/* Lock held. */
static void set_held(SfsQuota *quota, uid_t uid, gsize n)
{
    void *key = GUINT_TO_POINTER(uid);

    if (n > 0)
        g_hash_table_insert(quota->others, key, GSIZE_TO_POINTER(n));
    else
        g_hash_table_remove(quota->others, key);
}

/* Lock held. */
static gsize held_by(const SfsQuota *quota, uid_t uid)
{
    return GPOINTER_TO_SIZE(g_hash_table_lookup(quota->others, GUINT_TO_POINTER(uid)));
}

/* Lock held. */
static gboolean may_take(const SfsQuota *quota, uid_t uid, gsize n)
{
    gsize left = quota->max / 2 - quota->held_by_others; /* to the others */

    if (n > quota->max - quota->held)
        return FALSE;
    return !is_other(quota, uid) || (n <= left && held_by(quota, uid) + n <= left - n);
}

/* Lock held. */
static gboolean take(SfsQuota *quota, uid_t uid, gsize n)
{
    if (!may_take(quota, uid, n))
        return FALSE;
    quota->held += n;
    if (is_other(quota, uid)) {
        quota->held_by_others += n;
        set_held(quota, uid, held_by(quota, uid) + n);
    }
    return TRUE;
}

gboolean sfs_share_take(SfsShare *share, SfsQuota *quota, uid_t uid, gsize n)
{
    SHIELD_AUTO_LOCK(&quota->lock);

    if (!take(quota, uid, n))
        return FALSE;
    *share = (SfsShare){quota, uid, n, NULL};
    return TRUE;
}

/* NULL: he may not have it. Lock held. */
static Held *hold(SfsQuota *quota, uid_t uid, const void *thing, gsize n)
{
    const Held key = {uid, thing, 0};
    Held *held = g_hash_table_lookup(quota->things, &key);

    if (!held && take(quota, uid, n)) {
        held = g_memdup2(&key, sizeof key);
        g_hash_table_add(quota->things, held);
    }
    return held;
}

gboolean sfs_share_take_of(SfsShare *share, SfsQuota *quota, uid_t uid, const void *thing, gsize n)
{
    SHIELD_AUTO_LOCK(&quota->lock);
    Held *held;

    if (!is_other(quota, uid))
        return TRUE;
    held = hold(quota, uid, thing, n);
    if (!held)
        return FALSE;
    held->shares++;
    *share = (SfsShare){quota, uid, n, thing};
    return TRUE;
}

/* Is it the last share of its thing, if it is of one? Lock held. */
static gboolean is_last(SfsQuota *quota, const SfsShare *share)
{
    const Held key = {share->uid, share->thing, 0};
    Held *held = share->thing ? g_hash_table_lookup(quota->things, &key) : NULL;

    return !held || (--held->shares == 0 && g_hash_table_remove(quota->things, held));
}

SfsShare sfs_share_steal(SfsShare *share)
{
    SfsShare stolen = *share;

    share->quota = NULL;
    return stolen;
}

void sfs_share_clear(SfsShare *share)
{
    SfsQuota *quota = share->quota;

    if (!quota)
        return;
    SHIELD_AUTO_LOCK(&quota->lock);

    share->quota = NULL;
    if (!is_last(quota, share))
        return;
    quota->held -= share->n;
    if (is_other(quota, share->uid)) {
        quota->held_by_others -= share->n;
        set_held(quota, share->uid, held_by(quota, share->uid) - share->n);
    }
}
