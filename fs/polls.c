/* SPDX-License-Identifier: Apache-2.0 */
/* polls: the waiters of poll(2); see polls.h. */
#include "polls.h"

struct SfsPolls {
    GMutex lock;
    GHashTable *waiters; /* handle to fuse_pollhandle, each for one wake-up */
};

static GHashTable *new_waiters(void)
{
    return g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)fuse_pollhandle_destroy);
}

SfsPolls *sfs_polls_new(void)
{
    SfsPolls *polls = g_new0(SfsPolls, 1);

    g_mutex_init(&polls->lock);
    polls->waiters = new_waiters();
    return polls;
}

void sfs_polls_free(SfsPolls *polls)
{
    g_hash_table_unref(polls->waiters);
    g_mutex_clear(&polls->lock);
    g_free(polls);
}

void sfs_polls_set(SfsPolls *polls, void *handle, struct fuse_pollhandle *waiter)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&polls->lock);

    g_hash_table_insert(polls->waiters, handle, waiter);
}

void sfs_polls_drop(SfsPolls *polls, void *handle)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&polls->lock);

    g_hash_table_remove(polls->waiters, handle);
}

void sfs_polls_wake(SfsPolls *polls)
{
    g_autoptr(GHashTable) waiters = NULL;
    GHashTableIter iter;
    void *waiter;

    g_mutex_lock(&polls->lock);
    waiters = polls->waiters;
    polls->waiters = new_waiters();
    g_mutex_unlock(&polls->lock);

    g_hash_table_iter_init(&iter, waiters);
    while (g_hash_table_iter_next(&iter, NULL, &waiter))
        (void)fuse_lowlevel_notify_poll(waiter); /* fails if the file was closed meanwhile: as good */
}
