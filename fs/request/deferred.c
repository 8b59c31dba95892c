/* SPDX-License-Identifier: Apache-2.0 */
/* deferred: groups of deferred requests and the threads that try them; see deferred.h. */
#include "request/deferred.h"

#include <errno.h>

#include "fault.h"
#include "lock.h"
#include "request/pending.h"
#include "view/attributes.h"

#define THREADS 2

/* Those who wait for one bundle. One thread at a time tries for all of them, so that nothing is computed
 * twice; whoever comes meanwhile waits for the next try, as this one may have read before he came. */
typedef struct {
    SfsContainer *container; /* a reference */
    GQueue pending;          /* of SfsPending, those that are being tried too */
    gboolean busy;           /* a thread is trying */
    gint64 due;              /* monotonic time of the next try */
} Group;

/* Whoever takes a request out of its queue, with the lock held, answers it, without the lock. So each is
 * answered once, whether a try, an interruption or the end comes first, and an answer waits for no try. */
struct SfsDeferred {
    GMutex lock; /* of those here and libfuse's the last but the session's; protects the rest */
    GCond changed;
    GHashTable *groups;  /* SfsContainer to Group, none of them empty unless it is busy */
    GHashTable *waiting; /* request to SfsPending: all that are in groups */
    GCond interruption;
    GQueue interrupted; /* of SfsPending */
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

/* Takes those out of the group whom found answers. The others wait for the next try. Lock
 * held. */
static GQueue take_answered(SfsDeferred *deferred, Group *group, const SfsFound *found)
{
    gboolean busy = found->error && found->error->code == EBUSY && !shield_fault(SHIELD_FAULT_HOLD);
    GQueue answered = G_QUEUE_INIT;

    for (GList *link = group->pending.head, *next; link; link = next) {
        SfsPending *pending = link->data;

        next = link->next;
        if (!pending->tried || pending->node != found->node)
            continue;
        pending->tried = FALSE;

        gboolean waits = pending->kind != SFS_PENDING_GETATTR && (busy || pending->pinned);
        gint64 due = waits ? shield_retry_next(&pending->retry) : -1;
        if (due >= 0) {
            group->due = MIN(group->due, due);
        } else {
            g_hash_table_remove(deferred->waiting, pending->r.req);
            g_queue_unlink(&group->pending, link);
            g_queue_push_tail_link(&answered, link);
        }
    }
    return answered;
}

/* Tries node for all in the group who wait for it. view: theirs. Lock held, but for the try and the
 * answers.
 */
static void try_node(SfsDeferred *deferred, Group *group, SfsNode *node, SfsView *view, gboolean attributes)
{
    SfsFound found = {.node = node};
    GList *link;

    g_mutex_unlock(&deferred->lock);
    (void)sfs_contents_snapshot(view, node, &found.content, &found.error);
    if (attributes)
        found.errnum = sfs_attributes_get(view, node, &found.st);

    g_mutex_lock(&deferred->lock);
    GQueue answered = take_answered(deferred, group, &found);
    g_mutex_unlock(&deferred->lock);

    while ((link = g_queue_pop_head_link(&answered)))
        sfs_pending_answer_found(link->data, &found);
    g_clear_pointer(&found.content.text, g_bytes_unref);
    g_clear_error(&found.error);
    g_mutex_lock(&deferred->lock);
}

/* Likewise for the node of the first who is to be tried; FALSE: nobody is. */
static gboolean try_next(SfsDeferred *deferred, Group *group)
{
    const SfsPending *first = NULL;
    gboolean attributes = FALSE;

    for (GList *link = group->pending.head; link; link = link->next) {
        const SfsPending *pending = link->data;

        if (pending->tried && !first)
            first = pending;
        attributes |= pending->tried && pending->node == first->node && pending->kind == SFS_PENDING_GETATTR;
    }
    if (!first)
        return FALSE;

    g_autoptr(SfsNode) node = sfs_node_ref(first->node);
    try_node(deferred, group, node, sfs_request_session(&first->r)->view, attributes);
    return TRUE;
}

/* The one that is due first, or NULL; lock held. */
static Group *first_due(SfsDeferred *deferred)
{
    GHashTableIter iter;
    void *value;
    Group *first = NULL;

    g_hash_table_iter_init(&iter, deferred->groups);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Group *group = value;

        if (!group->busy && (!first || group->due < first->due))
            first = group;
    }
    return first;
}

/* Lock held. */
static void drop_if_empty(SfsDeferred *deferred, Group *group)
{
    if (g_queue_is_empty(&group->pending) && !group->busy)
        g_hash_table_remove(deferred->groups, group->container);
}

/* One try for a group. Lock held, but for the try. */
static void work_on(SfsDeferred *deferred, Group *group)
{
    for (GList *link = group->pending.head; link; link = link->next)
        ((SfsPending *)link->data)->tried = TRUE;
    group->busy = TRUE;
    group->due = G_MAXINT64; /* earlier, if somebody comes, or a list is written, while it is tried */
    while (try_next(deferred, group))
        ;
    group->busy = FALSE;
    g_cond_signal(&deferred->changed); /* the other thread may wait for a later one */
    drop_if_empty(deferred, group);
}

static void *work(void *data)
{
    SfsDeferred *deferred = data;
    SHIELD_AUTO_LOCK(&deferred->lock);

    while (!deferred->end) {
        Group *group = first_due(deferred);

        if (!group)
            g_cond_wait(&deferred->changed, &deferred->lock);
        else if (group->due > g_get_monotonic_time())
            g_cond_wait_until(&deferred->changed, &deferred->lock, group->due);
        else
            work_on(deferred, group);
    }
    return NULL;
}

/* A thread of its own: those that try may be in the middle of something long. */
static void *refuse_interrupted(void *data)
{
    SfsDeferred *deferred = data;
    GList *link;
    SHIELD_AUTO_LOCK(&deferred->lock);

    for (;;) {
        if ((link = g_queue_pop_head_link(&deferred->interrupted))) {
            g_mutex_unlock(&deferred->lock);
            sfs_pending_interrupt(link->data);
            g_mutex_lock(&deferred->lock);
        } else if (deferred->end) {
            return NULL;
        } else {
            g_cond_wait(&deferred->interruption, &deferred->lock);
        }
    }
}

SfsDeferred *sfs_deferred_new(void)
{
    SfsDeferred *deferred = g_new0(SfsDeferred, 1);

    g_mutex_init(&deferred->lock);
    g_cond_init(&deferred->changed);
    g_cond_init(&deferred->interruption);
    deferred->groups = g_hash_table_new_full(NULL, NULL, NULL, group_free);
    deferred->waiting = g_hash_table_new(NULL, NULL);
    for (int i = 0; i < THREADS; i++)
        deferred->threads[i] = g_thread_new("deferred", work, deferred);
    deferred->refuser = g_thread_new("interrupted", refuse_interrupted, deferred);
    return deferred;
}

static void answer_all(Group *group)
{
    GList *link;

    while ((link = g_queue_pop_head_link(&group->pending)))
        sfs_pending_interrupt(link->data);
}

void sfs_deferred_free(SfsDeferred *deferred)
{
    GHashTableIter iter;
    void *group;

    g_mutex_lock(&deferred->lock);
    deferred->end = TRUE;
    g_cond_broadcast(&deferred->changed);
    g_cond_signal(&deferred->interruption);
    g_mutex_unlock(&deferred->lock);
    for (int i = 0; i < THREADS; i++)
        g_thread_join(deferred->threads[i]);
    g_thread_join(deferred->refuser);

    g_hash_table_iter_init(&iter, deferred->groups);
    while (g_hash_table_iter_next(&iter, NULL, &group))
        answer_all(group);
    g_hash_table_unref(deferred->groups);
    g_hash_table_unref(deferred->waiting);
    g_cond_clear(&deferred->changed);
    g_cond_clear(&deferred->interruption);
    g_mutex_clear(&deferred->lock);
    g_free(deferred);
}

/* Lock held. */
static void try_now(SfsDeferred *deferred, Group *group)
{
    group->due = MIN(group->due, g_get_monotonic_time());
    g_cond_signal(&deferred->changed);
}

void sfs_deferred_written(void *data, const SfsContainer *container)
{
    SfsDeferred *deferred = data;
    SHIELD_AUTO_LOCK(&deferred->lock);
    Group *group = g_hash_table_lookup(deferred->groups, container);

    if (group)
        try_now(deferred, group);
}

/* Lock held. */
static Group *group_of(SfsDeferred *deferred, SfsContainer *container)
{
    Group *group = g_hash_table_lookup(deferred->groups, container);

    if (!group) {
        group = g_new0(Group, 1);
        group->container = sfs_container_ref(container);
        group->due = G_MAXINT64;
        g_hash_table_insert(deferred->groups, group->container, group);
    }
    return group;
}

/* Lock held. */
static void refuse(SfsDeferred *deferred, SfsPending *pending)
{
    g_queue_push_tail_link(&deferred->interrupted, &pending->link);
    g_cond_signal(&deferred->interruption);
}

/* The kernel interrupts a request: its caller got a signal. Called by libfuse under a lock of the request's,
 * which stays valid that long, even if it has been answered meanwhile: then it is not waiting. */
static void on_interrupt(fuse_req_t req, void *data)
{
    SfsDeferred *deferred = data;
    SHIELD_AUTO_LOCK(&deferred->lock);
    SfsPending *pending = g_hash_table_lookup(deferred->waiting, req);

    if (!pending)
        return;

    Group *group = g_hash_table_lookup(deferred->groups, pending->node->container);
    g_hash_table_remove(deferred->waiting, req);
    g_queue_unlink(&group->pending, &pending->link);
    drop_if_empty(deferred, group);
    refuse(deferred, pending);
}

static void enqueue(SfsDeferred *deferred, SfsPending *pending)
{
    /* Before others can answer it, after which there is no request. */
    fuse_req_interrupt_func(pending->r.req, on_interrupt, deferred);

    SHIELD_AUTO_LOCK(&deferred->lock);
    if (fuse_req_interrupted(pending->r.req)) /* and from now on on_interrupt finds it */
        return refuse(deferred, pending);

    Group *group = group_of(deferred, pending->node->container);
    g_hash_table_insert(deferred->waiting, pending->r.req, pending);
    g_queue_push_tail_link(&group->pending, &pending->link);
    try_now(deferred, group);
}

/* Answers at once if that can be done, else holds it. */
static void take(SfsDeferred *deferred, SfsPending *pending)
{
    SfsView *view = sfs_request_session(&pending->r)->view;
    g_autoptr(GError) error = NULL;
    SfsContent content = {0};

    pending->retry = shield_retry_start(sfs_view_policy(view));
    pending->pinned = pending->node->kind == SFS_COMPUTED && shield_fault(SHIELD_FAULT_HOLD_OPEN);
    if (!pending->pinned && sfs_contents_at_once(view, pending->node, &content, &error))
        sfs_pending_answer(pending, content);
    else if (error)
        sfs_pending_answer_error(pending, error, content.serial);
    else
        enqueue(deferred, pending);
}

void sfs_deferred_open(SfsDeferred *deferred, const SfsRequest *r, SfsNode *node,
                       const struct fuse_file_info *fi)
{
    take(deferred, sfs_pending_new((SfsPending){
                       .kind = SFS_PENDING_OPEN, .r = *r, .node = sfs_node_ref(node), .fi = *fi}));
}

void sfs_deferred_read(SfsDeferred *deferred, const SfsRequest *r, SfsNode *node, SfsFileHandle *handle,
                       gsize size)
{
    take(deferred,
         sfs_pending_new((SfsPending){
             .kind = SFS_PENDING_READ, .r = *r, .node = sfs_node_ref(node), .handle = handle, .size = size}));
}

void sfs_deferred_getattr(SfsDeferred *deferred, const SfsRequest *r, SfsNode *node)
{
    SfsView *view = sfs_request_session(r)->view;
    SfsPending *pending =
        sfs_pending_new((SfsPending){.kind = SFS_PENDING_GETATTR, .r = *r, .node = sfs_node_ref(node)});
    struct stat st;
    int errnum;

    if (sfs_attributes_warm(view, node, &st, &errnum))
        sfs_pending_answer_attributes(pending, errnum, &st);
    else
        enqueue(deferred, pending);
}
