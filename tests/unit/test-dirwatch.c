/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/dirwatch: whoever finds the queue empty finds applied what another has taken from it.
 */
#include <glib.h>
#include <sys/inotify.h>

#include "dirwatch.h"
#include "unit.h"

#define PATIENCE_USEC (100 * 1000)

/* One who is in the middle of applying an event. */
typedef struct {
    ShieldDirwatch *watch;
    GMutex lock; /* protects the rest */
    GCond changed;
    gboolean begun, applied;
    gboolean drained; /* another has returned from a drain meanwhile */
} Slow;

/* Applies slowly: it gives another drain time to return before this is done. */
static gboolean apply(void *target, guint32 mask, const char *name, void *data)
{
    Slow *slow = data;
    gint64 end = g_get_monotonic_time() + PATIENCE_USEC;

    (void)target, (void)name;
    if (mask == 0)
        return FALSE;
    g_mutex_lock(&slow->lock);
    slow->begun = TRUE;
    g_cond_broadcast(&slow->changed);
    while (!slow->drained && g_cond_wait_until(&slow->changed, &slow->lock, end))
        continue;
    slow->applied = TRUE;
    g_mutex_unlock(&slow->lock);
    return TRUE;
}

static void *drain(void *data)
{
    Slow *slow = data;

    g_assert_true(shield_dirwatch_drain(slow->watch));
    return NULL;
}

static void test_one_applies(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    Slow slow = {0};
    int target = 0;

    slow.watch = shield_dirwatch_new(apply, &slow);
    g_mutex_init(&slow.lock);
    g_cond_init(&slow.changed);
    g_assert_cmpint(shield_dirwatch_add(slow.watch, dir->fd, SHIELD_DIRWATCH_ENTRIES, &target), ==,
                    SHIELD_DIRWATCH_PLACED);
    g_assert_false(shield_dirwatch_drain(slow.watch)); /* there is nothing */

    unit_mkdir(dir, "new");
    GThread *other = g_thread_new("drain", drain, &slow);
    g_mutex_lock(&slow.lock);
    while (!slow.begun)
        g_cond_wait(&slow.changed, &slow.lock);
    g_mutex_unlock(&slow.lock);

    g_assert_false(shield_dirwatch_drain(slow.watch)); /* its event is the other's */
    g_mutex_lock(&slow.lock);
    g_assert_true(slow.applied);
    slow.drained = TRUE;
    g_cond_broadcast(&slow.changed);
    g_mutex_unlock(&slow.lock);
    g_thread_join(other);
    shield_dirwatch_remove(slow.watch, &target);
    shield_dirwatch_free(slow.watch);
    g_mutex_clear(&slow.lock);
    g_cond_clear(&slow.changed);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirwatch/one-applies", test_one_applies);
    return g_test_run();
}
