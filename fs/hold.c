/* SPDX-License-Identifier: Apache-2.0 */
/* hold: groups of held requests and the threads that try them; see hold.h. */
#include "hold.h"

#include <errno.h>

#include "contents.h"
#include "error.h"
#include "fault.h"

#define THREADS 2

typedef enum { OPEN, READ, GETATTR } Kind;

typedef struct {
    Kind kind;
    SfsRequest r;
    SfsNode *node;            /* a reference */
    struct fuse_file_info fi; /* of an OPEN */
    SfsFileHandle *handle;    /* of a READ from the start */
    gsize size;               /* of the READ */
    ShieldRetry retry;
    gboolean pinned; /* by a fault: not answered before its time is up */
} Held;

/* Those who wait for one bundle. One thread at a time tries for all of them, so that nothing is computed
 * twice; whoever comes meanwhile waits for the next try, as this one may have read before he came. */
typedef struct {
    SfsContainer *container; /* a reference */
    GQueue held;             /* of Held, but for those that are being tried */
    gboolean busy;           /* a thread is trying */
    gint64 due;              /* monotonic time of the next try */
} Group;

struct SfsHold {
    GMutex lock; /* a leaf; protects the rest */
    GCond changed;
    GHashTable *groups; /* SfsContainer to Group, none of them empty unless it is busy */
    gboolean end;
    GThread *threads[THREADS];
};

static void held_free(Held *held)
{
    sfs_node_unref(held->node);
    g_free(held);
}

static void group_free(void *data)
{
    Group *group = data;

    sfs_container_unref(group->container);
    g_free(group);
}

/* What has changed without an event is announced when an open finds it. */
static void note_shown(const Held *held, guint64 serial)
{
    const SfsSession *own = sfs_request_session(&held->r);

    if (held->node->kind != SFS_VERSION && sfs_tree_is_announced(own->view->tree, held->node) &&
        sfs_tree_told(own->view->tree, held->node).serial != serial)
        sfs_watcher_suspect(own->watcher, held->node);
}

/* Answers with content, whose text is given up, and frees held. */
static void answer(Held *held, SfsContent content)
{
    int errnum = 0;

    note_shown(held, content.serial);
    if (held->kind == READ) {
        sfs_file_handle_renew(held->handle, content, 0);
        g_autoptr(GBytes) bytes = sfs_file_handle_read(held->handle, held->size, 0, &errnum);
        if (bytes)
            sfs_reply_bytes(&held->r, bytes);
        else /* another thread's read has found an error since */
            sfs_reply_errno(&held->r, errnum);
    } else {
        sfs_reply_open(&held->r, &held->fi, sfs_file_handle_new_computed(content));
    }
    held_free(held);
}

/* An error is news too, of which a poller is told once. But that a writer keeps everyone waiting is none. */
static void answer_error(Held *held, const GError *error, guint64 serial)
{
    if (held->kind == READ && error->code != EBUSY)
        sfs_file_handle_renew(held->handle, (SfsContent){NULL, serial}, shield_error_errno(error));
    if (serial)
        note_shown(held, serial);
    sfs_reply_error(&held->r, error);
    held_free(held);
}

/* Whatever was found, and at once: during a rewrite it is the last complete version that has a size. */
static void answer_attributes(Held *held)
{
    struct stat st;
    int errnum = sfs_view_attributes(sfs_request_session(&held->r)->view, held->node, &st);

    if (errnum)
        sfs_reply_errno(&held->r, errnum);
    else
        sfs_reply_attributes_of(&held->r, held->node, &st);
    held_free(held);
}

/* Tries node for all in held who wait for it. Who is to be tried again is put into again; the time of the
 * first is returned, G_MAXINT64 if there is none. */
static gint64 try_node(SfsNode *node, GQueue *held, GQueue *again)
{
    const Held *first = g_queue_peek_head(held);
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) text = NULL;
    SfsContent content = {0};
    gint64 due = G_MAXINT64;

    if (sfs_contents_snapshot(sfs_request_session(&first->r)->view, node, &content, &error))
        text = content.text;
    for (guint left = g_queue_get_length(held); left > 0; left--) {
        Held *one = g_queue_pop_head(held);

        if (one->node != node) {
            g_queue_push_tail(held, one);
            continue;
        }
        if (one->kind == GETATTR) {
            answer_attributes(one);
            continue;
        }

        gboolean waits = one->pinned || (error && error->code == EBUSY && !shield_fault(SHIELD_FAULT_HOLD));
        gint64 next = waits ? shield_retry_next(&one->retry) : -1;
        if (next >= 0) {
            g_queue_push_tail(again, one);
            due = MIN(due, next);
        } else if (text) {
            answer(one, (SfsContent){g_bytes_ref(text), content.serial});
        } else if (error) {
            answer_error(one, error, content.serial);
        }
    }
    return due;
}

/* Likewise for each node that somebody in held waits for. */
static gint64 try_all(GQueue *held, GQueue *again)
{
    gint64 due = G_MAXINT64;

    while (!g_queue_is_empty(held)) {
        const Held *first = g_queue_peek_head(held);
        g_autoptr(SfsNode) node = sfs_node_ref(first->node);

        gint64 next = try_node(node, held, again); /* not in MIN, which would try twice */
        due = MIN(due, next);
    }
    return due;
}

/* The one that is due first, or NULL; lock held. */
static Group *first_due(SfsHold *hold)
{
    GHashTableIter iter;
    void *value;
    Group *first = NULL;

    g_hash_table_iter_init(&iter, hold->groups);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Group *group = value;

        if (!group->busy && (!first || group->due < first->due))
            first = group;
    }
    return first;
}

/* One try for a group. Lock held, but for the try. */
static void work_on(SfsHold *hold, Group *group)
{
    GQueue trying = group->held, again = G_QUEUE_INIT;

    g_queue_init(&group->held);
    group->busy = TRUE;
    group->due = G_MAXINT64; /* earlier, if somebody comes, or a list is written, while it is tried */
    g_mutex_unlock(&hold->lock);
    gint64 due = try_all(&trying, &again);
    g_mutex_lock(&hold->lock);
    group->busy = FALSE;
    group->due = MIN(group->due, due);
    while (!g_queue_is_empty(&again))
        g_queue_push_head(&group->held, g_queue_pop_tail(&again));
    if (g_queue_is_empty(&group->held))
        g_hash_table_remove(hold->groups, group->container);
    else
        g_cond_signal(&hold->changed); /* the other thread may wait for a later one */
}

static void *work(void *data)
{
    SfsHold *hold = data;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&hold->lock);

    while (!hold->end) {
        Group *group = first_due(hold);

        if (!group)
            g_cond_wait(&hold->changed, &hold->lock);
        else if (group->due > g_get_monotonic_time())
            g_cond_wait_until(&hold->changed, &hold->lock, group->due);
        else
            work_on(hold, group);
    }
    return NULL;
}

SfsHold *sfs_hold_new(void)
{
    SfsHold *hold = g_new0(SfsHold, 1);

    g_mutex_init(&hold->lock);
    g_cond_init(&hold->changed);
    hold->groups = g_hash_table_new_full(NULL, NULL, NULL, group_free);
    for (int i = 0; i < THREADS; i++)
        hold->threads[i] = g_thread_new("hold", work, hold);
    return hold;
}

void sfs_hold_free(SfsHold *hold)
{
    GHashTableIter iter;
    void *group;
    Held *held;

    g_mutex_lock(&hold->lock);
    hold->end = TRUE;
    g_cond_broadcast(&hold->changed);
    g_mutex_unlock(&hold->lock);
    for (int i = 0; i < THREADS; i++)
        g_thread_join(hold->threads[i]);

    g_hash_table_iter_init(&iter, hold->groups);
    while (g_hash_table_iter_next(&iter, NULL, &group)) {
        while ((held = g_queue_pop_head(&((Group *)group)->held))) {
            sfs_reply_errno(&held->r, EINTR);
            held_free(held);
        }
    }
    g_hash_table_unref(hold->groups);
    g_cond_clear(&hold->changed);
    g_mutex_clear(&hold->lock);
    g_free(hold);
}

/* Lock held. */
static void try_now(SfsHold *hold, Group *group)
{
    group->due = MIN(group->due, g_get_monotonic_time());
    g_cond_signal(&hold->changed);
}

void sfs_hold_written(void *data, const SfsContainer *container)
{
    SfsHold *hold = data;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&hold->lock);
    Group *group = g_hash_table_lookup(hold->groups, container);

    if (group)
        try_now(hold, group);
}

static void enqueue(SfsHold *hold, Held *held)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&hold->lock);
    Group *group = g_hash_table_lookup(hold->groups, held->node->container);

    if (!group) {
        group = g_new0(Group, 1);
        group->container = sfs_container_ref(held->node->container);
        group->due = G_MAXINT64;
        g_hash_table_insert(hold->groups, group->container, group);
    }
    g_queue_push_tail(&group->held, held);
    try_now(hold, group);
}

/* Answers at once if that can be done, else holds it. */
static void take(SfsHold *hold, Held *held)
{
    SfsView *view = sfs_request_session(&held->r)->view;
    g_autoptr(GError) error = NULL;
    SfsContent content = {0};

    held->retry = shield_retry_start(&view->policy);
    held->pinned = held->node->kind == SFS_COMPUTED && shield_fault(SHIELD_FAULT_HOLD_OPEN);
    if (!held->pinned && sfs_contents_at_once(view, held->node, &content, &error))
        answer(held, content);
    else if (error)
        answer_error(held, error, content.serial);
    else
        enqueue(hold, held);
}

void sfs_hold_open(SfsHold *hold, const SfsRequest *r, SfsNode *node, const struct fuse_file_info *fi)
{
    Held *held = g_new0(Held, 1);

    *held = (Held){.kind = OPEN, .r = *r, .node = sfs_node_ref(node), .fi = *fi};
    take(hold, held);
}

void sfs_hold_read(SfsHold *hold, const SfsRequest *r, SfsNode *node, SfsFileHandle *handle, gsize size)
{
    Held *held = g_new0(Held, 1);

    *held = (Held){.kind = READ, .r = *r, .node = sfs_node_ref(node), .handle = handle, .size = size};
    take(hold, held);
}

void sfs_hold_getattr(SfsHold *hold, const SfsRequest *r, SfsNode *node)
{
    Held *held = g_new0(Held, 1);
    g_autoptr(GError) error = NULL;
    SfsContent content = {0};

    *held = (Held){.kind = GETATTR, .r = *r, .node = sfs_node_ref(node)};
    if (sfs_contents_at_once(sfs_request_session(r)->view, node, &content, &error) || error)
        answer_attributes(held);
    else
        enqueue(hold, held);
    g_clear_pointer(&content.text, g_bytes_unref);
}
