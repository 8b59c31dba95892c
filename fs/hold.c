/* SPDX-License-Identifier: Apache-2.0 */
/* hold: the list of held opens and the threads that try them again; see hold.h. */
#include "hold.h"

#include <errno.h>

#include "contents.h"
#include "fault.h"

#define THREADS 2

typedef struct {
    SfsRequest r;
    SfsNode *node; /* a reference */
    struct fuse_file_info fi;
    SfsFileHandle *handle; /* of a READ from the start; NULL: an OPEN */
    gsize size;            /* of the READ */
    ShieldRetry retry;
    gint64 due; /* monotonic time */
} Held;

struct SfsHold {
    GMutex lock; /* protects the rest; held by nobody who waits for anything else */
    GCond changed;
    GQueue held; /* of Held; one that a thread is trying is not in it */
    gboolean end;
    GThread *threads[THREADS];
};

static void held_free(Held *held)
{
    sfs_node_unref(held->node);
    g_free(held);
}

static void answer(Held *held, SfsContent content)
{
    int errnum = 0;

    if (!held->handle) {
        sfs_reply_open(&held->r, &held->fi, sfs_file_handle_new_computed(content));
        return;
    }
    sfs_file_handle_renew(held->handle, content);
    g_autoptr(GBytes) bytes = sfs_file_handle_read(held->handle, held->size, 0, &errnum);
    sfs_reply_bytes(&held->r, bytes);
}

/* TRUE if it has been answered. */
static gboolean try_now(Held *held)
{
    SfsView *view = sfs_request_session(&held->r)->view;
    g_autoptr(GError) error = NULL;
    SfsContent content = {0};

    if (sfs_contents_snapshot(view, held->node, &content, &error)) {
        answer(held, content);
        return TRUE;
    }
    if (error->code == EBUSY && !shield_fault(SHIELD_FAULT_HOLD)) {
        held->due = shield_retry_next(&held->retry);
        if (held->due >= 0)
            return FALSE;
    }
    sfs_reply_error(&held->r, error);
    return TRUE;
}

/* The one that is due first, or NULL; lock held. */
static Held *first_due(SfsHold *hold)
{
    Held *first = NULL;

    for (GList *l = hold->held.head; l; l = l->next) {
        Held *held = l->data;

        if (!first || held->due < first->due)
            first = held;
    }
    return first;
}

static void *work(void *data)
{
    SfsHold *hold = data;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&hold->lock);

    while (!hold->end) {
        Held *held = first_due(hold);

        if (!held) {
            g_cond_wait(&hold->changed, &hold->lock);
        } else if (held->due > g_get_monotonic_time()) {
            g_cond_wait_until(&hold->changed, &hold->lock, held->due);
        } else {
            g_queue_remove(&hold->held, held);
            g_mutex_unlock(&hold->lock);
            gboolean answered = try_now(held);
            g_mutex_lock(&hold->lock);
            if (answered)
                held_free(held);
            else
                g_queue_push_tail(&hold->held, held);
        }
    }
    return NULL;
}

SfsHold *sfs_hold_new(void)
{
    SfsHold *hold = g_new0(SfsHold, 1);

    g_mutex_init(&hold->lock);
    g_cond_init(&hold->changed);
    g_queue_init(&hold->held);
    for (int i = 0; i < THREADS; i++)
        hold->threads[i] = g_thread_new("hold", work, hold);
    return hold;
}

void sfs_hold_free(SfsHold *hold)
{
    Held *held;

    g_mutex_lock(&hold->lock);
    hold->end = TRUE;
    g_cond_broadcast(&hold->changed);
    g_mutex_unlock(&hold->lock);
    for (int i = 0; i < THREADS; i++)
        g_thread_join(hold->threads[i]);
    while ((held = g_queue_pop_head(&hold->held))) {
        sfs_reply_errno(&held->r, EINTR);
        held_free(held);
    }
    g_cond_clear(&hold->changed);
    g_mutex_clear(&hold->lock);
    g_free(hold);
}

/* Answers at once if that can be done, else holds it. */
static void take(SfsHold *hold, Held *held)
{
    held->retry = shield_retry_start(&sfs_request_session(&held->r)->view->policy);
    if (try_now(held)) {
        held_free(held);
        return;
    }

    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&hold->lock);
    g_queue_push_tail(&hold->held, held);
    g_cond_signal(&hold->changed);
}

void sfs_hold_open(SfsHold *hold, const SfsRequest *r, SfsNode *node, const struct fuse_file_info *fi)
{
    Held *held = g_new0(Held, 1);

    *held = (Held){.r = *r, .node = sfs_node_ref(node), .fi = *fi};
    take(hold, held);
}

void sfs_hold_read(SfsHold *hold, const SfsRequest *r, SfsNode *node, SfsFileHandle *handle, gsize size)
{
    Held *held = g_new0(Held, 1);

    *held = (Held){.r = *r, .node = sfs_node_ref(node), .handle = handle, .size = size};
    take(hold, held);
}
