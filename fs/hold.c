/* SPDX-License-Identifier: Apache-2.0 */
/* hold: groups of held requests and the threads that try them; see hold.h. */
#include "hold.h"

#include <errno.h>

#include "fault.h"
#include "held.h"

#define THREADS 2

/* Those who wait for one bundle. One thread at a time tries for all of them, so that nothing is computed
 * twice; whoever comes meanwhile waits for the next try, as this one may have read before he came. */
typedef struct {
    SfsContainer *container; /* a reference */
    GQueue held;             /* of SfsHeld, those that are being tried too */
    gboolean busy;           /* a thread is trying */
    gint64 due;              /* monotonic time of the next try */
} Group;

/* Whoever takes one out of its queue, under the lock, answers it, after the lock. So a request is answered
 * once, whether a try, an interruption or the end comes first, and nobody waits for a try that takes long. */
struct SfsHold {
    GMutex lock; /* of those here and libfuse's the last but the session's; protects the rest */
    GCond changed;
    GHashTable *groups;  /* SfsContainer to Group, none of them empty unless it is busy */
    GHashTable *waiting; /* request to SfsHeld: all that are in groups */
    GCond interruption;
    GQueue interrupted; /* of SfsHeld */
    gboolean end;
    GThread *threads[THREADS];
    GThread *refuser; /* answers the interrupted */
};

static void group_free(void *data)
{
    Group *group = data;

    sfs_container_unref(group->container);
    g_free(group);
}

/* Takes those out of the group for whom found is the answer; the others of the try wait for the next. Lock
 * held. */
static GQueue take_answered(SfsHold *hold, Group *group, const SfsFound *found)
{
    gboolean busy = found->error && found->error->code == EBUSY && !shield_fault(SHIELD_FAULT_HOLD);
    GQueue answered = G_QUEUE_INIT;

    for (GList *link = group->held.head, *next; link; link = next) {
        SfsHeld *held = link->data;

        next = link->next;
        if (!held->tried || held->node != found->node)
            continue;
        held->tried = FALSE;

        gboolean waits = held->kind != SFS_HELD_GETATTR && (busy || held->pinned);
        gint64 due = waits ? shield_retry_next(&held->retry) : -1;
        if (due >= 0) {
            group->due = MIN(group->due, due);
        } else {
            g_hash_table_remove(hold->waiting, held->r.req);
            g_queue_unlink(&group->held, link);
            g_queue_push_tail_link(&answered, link);
        }
    }
    return answered;
}

/* Tries node for all in the group who wait for it. view: theirs. Lock held, but for the try and the answers.
 */
static void try_node(SfsHold *hold, Group *group, SfsNode *node, SfsView *view, gboolean attributes)
{
    SfsFound found = {.node = node};
    GList *link;

    g_mutex_unlock(&hold->lock);
    (void)sfs_contents_snapshot(view, node, &found.content, &found.error);
    if (attributes)
        found.errnum = sfs_view_attributes(view, node, &found.st);

    g_mutex_lock(&hold->lock);
    GQueue answered = take_answered(hold, group, &found);
    g_mutex_unlock(&hold->lock);

    while ((link = g_queue_pop_head_link(&answered)))
        sfs_held_answer_found(link->data, &found);
    g_clear_pointer(&found.content.text, g_bytes_unref);
    g_clear_error(&found.error);
    g_mutex_lock(&hold->lock);
}

/* Likewise for the node of the first who is to be tried; FALSE: nobody is. */
static gboolean try_next(SfsHold *hold, Group *group)
{
    const SfsHeld *first = NULL;
    gboolean attributes = FALSE;

    for (GList *link = group->held.head; link; link = link->next) {
        const SfsHeld *held = link->data;

        if (held->tried && !first)
            first = held;
        attributes |= held->tried && held->node == first->node && held->kind == SFS_HELD_GETATTR;
    }
    if (!first)
        return FALSE;

    g_autoptr(SfsNode) node = sfs_node_ref(first->node);
    try_node(hold, group, node, sfs_request_session(&first->r)->view, attributes);
    return TRUE;
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

/* Lock held. */
static void drop_if_empty(SfsHold *hold, Group *group)
{
    if (g_queue_is_empty(&group->held) && !group->busy)
        g_hash_table_remove(hold->groups, group->container);
}

/* One try for a group. Lock held, but for the try. */
static void work_on(SfsHold *hold, Group *group)
{
    for (GList *link = group->held.head; link; link = link->next)
        ((SfsHeld *)link->data)->tried = TRUE;
    group->busy = TRUE;
    group->due = G_MAXINT64; /* earlier, if somebody comes, or a list is written, while it is tried */
    while (try_next(hold, group))
        ;
    group->busy = FALSE;
    g_cond_signal(&hold->changed); /* the other thread may wait for a later one */
    drop_if_empty(hold, group);
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

/* A thread of its own: those that try may be in the middle of something long. */
static void *refuse_interrupted(void *data)
{
    SfsHold *hold = data;
    GList *link;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&hold->lock);

    for (;;) {
        if ((link = g_queue_pop_head_link(&hold->interrupted))) {
            g_mutex_unlock(&hold->lock);
            sfs_held_interrupt(link->data);
            g_mutex_lock(&hold->lock);
        } else if (hold->end) {
            return NULL;
        } else {
            g_cond_wait(&hold->interruption, &hold->lock);
        }
    }
}

SfsHold *sfs_hold_new(void)
{
    SfsHold *hold = g_new0(SfsHold, 1);

    g_mutex_init(&hold->lock);
    g_cond_init(&hold->changed);
    g_cond_init(&hold->interruption);
    hold->groups = g_hash_table_new_full(NULL, NULL, NULL, group_free);
    hold->waiting = g_hash_table_new(NULL, NULL);
    for (int i = 0; i < THREADS; i++)
        hold->threads[i] = g_thread_new("hold", work, hold);
    hold->refuser = g_thread_new("interrupted", refuse_interrupted, hold);
    return hold;
}

static void answer_all(Group *group)
{
    GList *link;

    while ((link = g_queue_pop_head_link(&group->held)))
        sfs_held_interrupt(link->data);
}

void sfs_hold_free(SfsHold *hold)
{
    GHashTableIter iter;
    void *group;

    g_mutex_lock(&hold->lock);
    hold->end = TRUE;
    g_cond_broadcast(&hold->changed);
    g_cond_signal(&hold->interruption);
    g_mutex_unlock(&hold->lock);
    for (int i = 0; i < THREADS; i++)
        g_thread_join(hold->threads[i]);
    g_thread_join(hold->refuser);

    g_hash_table_iter_init(&iter, hold->groups);
    while (g_hash_table_iter_next(&iter, NULL, &group))
        answer_all(group);
    g_hash_table_unref(hold->groups);
    g_hash_table_unref(hold->waiting);
    g_cond_clear(&hold->changed);
    g_cond_clear(&hold->interruption);
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

/* Lock held. */
static Group *group_of(SfsHold *hold, SfsContainer *container)
{
    Group *group = g_hash_table_lookup(hold->groups, container);

    if (!group) {
        group = g_new0(Group, 1);
        group->container = sfs_container_ref(container);
        group->due = G_MAXINT64;
        g_hash_table_insert(hold->groups, group->container, group);
    }
    return group;
}

/* Lock held. */
static void refuse(SfsHold *hold, SfsHeld *held)
{
    g_queue_push_tail_link(&hold->interrupted, &held->link);
    g_cond_signal(&hold->interruption);
}

/* The kernel interrupts a request: its caller got a signal. Called by libfuse under a lock of the request's,
 * which stays valid that long, even if it has been answered meanwhile: then it is not waiting. */
static void on_interrupt(fuse_req_t req, void *data)
{
    SfsHold *hold = data;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&hold->lock);
    SfsHeld *held = g_hash_table_lookup(hold->waiting, req);

    if (!held)
        return;

    Group *group = g_hash_table_lookup(hold->groups, held->node->container);
    g_hash_table_remove(hold->waiting, req);
    g_queue_unlink(&group->held, &held->link);
    drop_if_empty(hold, group);
    refuse(hold, held);
}

static void enqueue(SfsHold *hold, SfsHeld *held)
{
    /* Before others can answer it, after which there is no request. */
    fuse_req_interrupt_func(held->r.req, on_interrupt, hold);

    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&hold->lock);
    if (fuse_req_interrupted(held->r.req)) /* and from now on on_interrupt finds it */
        return refuse(hold, held);

    Group *group = group_of(hold, held->node->container);
    g_hash_table_insert(hold->waiting, held->r.req, held);
    g_queue_push_tail_link(&group->held, &held->link);
    try_now(hold, group);
}

/* Answers at once if that can be done, else holds it. */
static void take(SfsHold *hold, SfsHeld *held)
{
    SfsView *view = sfs_request_session(&held->r)->view;
    g_autoptr(GError) error = NULL;
    SfsContent content = {0};

    held->retry = shield_retry_start(&view->policy);
    held->pinned = held->node->kind == SFS_COMPUTED && shield_fault(SHIELD_FAULT_HOLD_OPEN);
    if (!held->pinned && sfs_contents_at_once(view, held->node, &content, &error))
        sfs_held_answer(held, content);
    else if (error)
        sfs_held_answer_error(held, error, content.serial);
    else
        enqueue(hold, held);
}

void sfs_hold_open(SfsHold *hold, const SfsRequest *r, SfsNode *node, const struct fuse_file_info *fi)
{
    take(hold,
         sfs_held_new((SfsHeld){.kind = SFS_HELD_OPEN, .r = *r, .node = sfs_node_ref(node), .fi = *fi}));
}

void sfs_hold_read(SfsHold *hold, const SfsRequest *r, SfsNode *node, SfsFileHandle *handle, gsize size)
{
    take(hold,
         sfs_held_new((SfsHeld){
             .kind = SFS_HELD_READ, .r = *r, .node = sfs_node_ref(node), .handle = handle, .size = size}));
}

void sfs_hold_getattr(SfsHold *hold, const SfsRequest *r, SfsNode *node)
{
    SfsView *view = sfs_request_session(r)->view;
    SfsHeld *held = sfs_held_new((SfsHeld){.kind = SFS_HELD_GETATTR, .r = *r, .node = sfs_node_ref(node)});
    g_autoptr(GError) error = NULL;
    SfsContent content = {0};
    struct stat st;

    if (sfs_contents_at_once(view, node, &content, &error) || error)
        sfs_held_answer_attributes(held, sfs_view_attributes(view, node, &st), &st);
    else
        enqueue(hold, held);
    g_clear_pointer(&content.text, g_bytes_unref);
}
