/* SPDX-License-Identifier: Apache-2.0 */
/* pollers: the waiters of poll(2); see pollers.h. */
#include "request/pollers.h"

#include "lock.h"

struct SfsPollers {
    GMutex lock;
    GHashTable *waiters; /* handle to fuse_pollhandle, each for one wake-up */
};

static GHashTable *new_waiters(void)
{
    return g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)fuse_pollhandle_destroy);
}

SfsPollers *sfs_pollers_new(void)
{
    SfsPollers *pollers = g_new0(SfsPollers, 1);

    g_mutex_init(&pollers->lock);
    pollers->waiters = new_waiters();
    return pollers;
}

void sfs_pollers_free(SfsPollers *pollers)
{
    g_hash_table_unref(pollers->waiters);
    g_mutex_clear(&pollers->lock);
    g_free(pollers);
}

void sfs_pollers_set(SfsPollers *pollers, void *handle, struct fuse_pollhandle *waiter)
{
    SHIELD_AUTO_LOCK(&pollers->lock);

    g_hash_table_insert(pollers->waiters, handle, waiter);
}

void sfs_pollers_drop(SfsPollers *pollers, void *handle)
{
    SHIELD_AUTO_LOCK(&pollers->lock);

    g_hash_table_remove(pollers->waiters, handle);
}

void sfs_pollers_wake(SfsPollers *pollers)
{
    g_autoptr(GHashTable) waiters = NULL;
    GHashTableIter iter;
    void *waiter;

    g_mutex_lock(&pollers->lock);
    waiters = pollers->waiters;
    pollers->waiters = new_waiters();
    g_mutex_unlock(&pollers->lock);

    g_hash_table_iter_init(&iter, waiters);
    while (g_hash_table_iter_next(&iter, NULL, &waiter))
        (void)fuse_lowlevel_notify_poll(waiter); /* fails if the file was closed meanwhile: as good */
}
