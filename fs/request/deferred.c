/* SPDX-License-Identifier: Apache-2.0 */
/* deferred: groups of deferred requests, and the jobs that try them; see deferred.h. */
#include "request/deferred.h"

#include <errno.h>

#include "fault.h"
#include "lock.h"
#include "request/pending.h"
#include "view/attributes.h"
#include "view/findings.h"
#include "view/jobs.h"

#define STATUS_USEC G_USEC_PER_SEC /* for so long who asks for the status file waits for what has changed */

/* Those who wait for one bundle, or for the status file. One job at a time tries for all of them, so that
 * nothing is computed twice; whoever comes meanwhile waits for the next try, as this one may have read before
 * he came. */
typedef struct {
    SfsContainer *container; /* a reference; NULL: the status file */
    GQueue pending;          /* of SfsPending, those that are being tried too */
    gboolean busy;           /* a job is trying */
    gint64 due;              /* monotonic time of the next try */
} Group;

/* Whoever takes a request out of its queue, with the lock held, answers it, without the lock. So each is
 * answered once, whether a try, an interruption or the end comes first, and an answer waits for no try. */
struct SfsDeferred {
    SfsJobs *jobs;
    SfsFindings *findings;
    GMutex lock;         /* of those here and libfuse's the last but the jobs'; protects the rest */
    GHashTable *groups;  /* SfsContainer to Group, none of them empty unless it is busy */
    GHashTable *waiting; /* request to SfsPending: all that are in groups */
    GCond interruption;
    GQueue interrupted; /* of SfsPending */
    gboolean end;
    GThread *refuser; /* answers the interrupted */
};

static void group_free(void *data)
{
    Group *group = data;

    if (group->container)
        sfs_container_unref(group->container);
    g_free(group);
}

/* Is there still something to wait for? Only an OPEN, and a READ that is to renew what a handle has, wait for
 * a writer: he who has what was complete last keeps that. All who ask for the status file wait until what had
 * changed by then has been looked into. */
static gboolean waits(const SfsPending *pending, const SfsFound *found)
{
    if (pending->pinned)
        return TRUE;
    if (found->node->kind == SFS_STATUS)
        return !pending->ready;
    if (!found->error || found->error->code != EBUSY || shield_fault(SHIELD_FAULT_HOLD))
        return FALSE;
    return pending->kind == SFS_PENDING_OPEN ||
           (pending->kind == SFS_PENDING_READ && sfs_pending_is_old(pending, found->serial));
}

/* Takes those out of the group whom found answers. The others wait for the next try. Lock held. */
static GQueue take_answered(SfsDeferred *deferred, Group *group, const SfsFound *found)
{
    GQueue answered = G_QUEUE_INIT;

    for (GList *link = group->pending.head, *next; link; link = next) {
        SfsPending *pending = link->data;

        next = link->next;
        if (!pending->tried || pending->node != found->node)
            continue;
        pending->tried = FALSE;

        gint64 due = waits(pending, found) ? shield_retry_next(&pending->retry) : -1;
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

/* What those who wait for a node ask for. */
typedef struct {
    gboolean content, attributes;
} Wanted;

/* Tries node for all in the group who wait for it. view: theirs. Lock held, but for the try and the
 * answers.
 */
static void try_node(SfsDeferred *deferred, Group *group, SfsNode *node, SfsView *view, Wanted wanted)
{
    SfsFound found = {.node = node};
    GList *link;

    g_mutex_unlock(&deferred->lock);
    if (wanted.content)
        (void)sfs_contents_snapshot(view, node, &found.content, &found.error);
    gboolean busy = found.error && found.error->code == EBUSY;
    found.serial = busy ? sfs_contents_serial(view, node) : found.content.serial;
    if (wanted.attributes)
        found.errnum = sfs_attributes_get(view, node, &found.sight);

    g_mutex_lock(&deferred->lock);
    GQueue answered = take_answered(deferred, group, &found);
    g_mutex_unlock(&deferred->lock);

    while ((link = g_queue_pop_head_link(&answered)))
        sfs_pending_answer_found(link->data, &found);
    sfs_found_clear(&found);
    g_mutex_lock(&deferred->lock);
}

/* Likewise for the node of the first who is to be tried; FALSE: nobody is. */
static gboolean try_next(SfsDeferred *deferred, Group *group)
{
    const SfsPending *first = NULL;
    Wanted wanted = {FALSE, FALSE};

    for (GList *link = group->pending.head; link; link = link->next) {
        const SfsPending *pending = link->data;

        if (pending->tried && !first)
            first = pending;
        if (!pending->tried || pending->node != first->node)
            continue;
        wanted.attributes |= pending->kind == SFS_PENDING_GETATTR;
        wanted.content |= pending->kind != SFS_PENDING_GETATTR;
    }
    if (!first)
        return FALSE;

    g_autoptr(SfsNode) node = sfs_node_ref(first->node);
    try_node(deferred, group, node, sfs_request_session(&first->r)->view, wanted);
    return TRUE;
}

/* Lock held. */
static void drop_if_empty(SfsDeferred *deferred, Group *group)
{
    if (g_queue_is_empty(&group->pending) && !group->busy)
        g_hash_table_remove(deferred->groups, group->container);
}

/* Lock held. */
static void try_at(SfsDeferred *deferred, const Group *group, gint64 due)
{
    sfs_jobs_queue(deferred->jobs, group->container, SFS_JOB_REQUESTS, due);
}

/* Those who ask for the status file need not be tried before it is ready, or their time is up. Lock held. */
static void begin_try(const SfsDeferred *deferred, Group *group)
{
    for (GList *link = group->pending.head; link; link = link->next) {
        SfsPending *pending = link->data;

        if (pending->node->kind == SFS_STATUS)
            pending->ready = sfs_findings_is_done(deferred->findings, pending->asked);
        pending->tried = pending->node->kind != SFS_STATUS || pending->ready ||
                         g_get_monotonic_time() >= pending->retry.deadline;
        if (!pending->tried)
            group->due = MIN(group->due, pending->retry.deadline);
    }
}

/* The job: one try for a group. */
static void try_group(void *data, SfsContainer *container)
{
    SfsDeferred *deferred = data;
    SHIELD_AUTO_LOCK(&deferred->lock);
    Group *group = g_hash_table_lookup(deferred->groups, container);

    if (!group)
        return;
    group->busy = TRUE;
    group->due = G_MAXINT64;
    begin_try(deferred, group);
    while (try_next(deferred, group))
        ;
    group->busy = FALSE;
    if (container)
        (void)sfs_findings_check(deferred->findings, container);
    if (group->due != G_MAXINT64)
        try_at(deferred, group, group->due);
    drop_if_empty(deferred, group);
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

SfsDeferred *sfs_deferred_new(SfsView *view)
{
    SfsDeferred *deferred = g_new0(SfsDeferred, 1);

    deferred->jobs = sfs_view_jobs(view);
    deferred->findings = sfs_view_findings(view);
    g_mutex_init(&deferred->lock);
    g_cond_init(&deferred->interruption);
    deferred->groups = g_hash_table_new_full(NULL, NULL, NULL, group_free);
    deferred->waiting = g_hash_table_new(NULL, NULL);
    sfs_jobs_set(deferred->jobs, SFS_JOB_REQUESTS, try_group, deferred);
    return deferred;
}

gboolean sfs_deferred_start(SfsDeferred *deferred, GError **error)
{
    deferred->refuser = g_thread_try_new("interrupted", refuse_interrupted, deferred, error);
    return deferred->refuser != NULL;
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
    g_cond_signal(&deferred->interruption);
    g_mutex_unlock(&deferred->lock);
    if (deferred->refuser)
        g_thread_join(deferred->refuser);

    g_hash_table_iter_init(&iter, deferred->groups);
    while (g_hash_table_iter_next(&iter, NULL, &group))
        answer_all(group);
    g_hash_table_unref(deferred->groups);
    g_hash_table_unref(deferred->waiting);
    g_cond_clear(&deferred->interruption);
    g_mutex_clear(&deferred->lock);
    g_free(deferred);
}

void sfs_deferred_written(void *data, const SfsContainer *container)
{
    SfsDeferred *deferred = data;
    SHIELD_AUTO_LOCK(&deferred->lock);
    const Group *group = g_hash_table_lookup(deferred->groups, container);

    if (group)
        try_at(deferred, group, g_get_monotonic_time());
}

void sfs_deferred_told(void *data)
{
    sfs_deferred_written(data, NULL);
}

/* Lock held. */
static Group *group_of(SfsDeferred *deferred, SfsContainer *container)
{
    Group *group = g_hash_table_lookup(deferred->groups, container);

    if (!group) {
        group = g_new0(Group, 1);
        group->container = container ? sfs_container_ref(container) : NULL;
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
    try_at(deferred, group, g_get_monotonic_time());
}

/* TRUE: what is asked for needs no job, and is in *found. Of the status file all must have been looked into
 * that has changed by now. */
static gboolean find_at_once(SfsPending *pending, SfsFound *found)
{
    SfsView *view = sfs_request_session(&pending->r)->view;
    SfsFindings *findings = sfs_view_findings(view);

    found->node = pending->node;
    if (pending->node->kind == SFS_STATUS) {
        pending->retry.deadline = g_get_monotonic_time() + STATUS_USEC;
        pending->asked = sfs_findings_ask(findings);
        if (!sfs_findings_is_done(findings, pending->asked))
            return FALSE;
    }
    if (pending->kind == SFS_PENDING_GETATTR)
        return sfs_attributes_warm(view, pending->node, &found->sight, &found->errnum);
    if (!sfs_contents_at_once(view, pending->node, &found->content, &found->error) && !found->error)
        return FALSE;
    found->serial = found->content.serial;
    return TRUE;
}

/* Answers at once if that can be done, else holds it. */
static void take(SfsDeferred *deferred, SfsPending *pending)
{
    const ShieldPolicy *policy = sfs_view_policy(sfs_request_session(&pending->r)->view);
    SfsFound found = {0};

    pending->retry = shield_retry_start(policy);
    pending->pinned = pending->kind == SFS_PENDING_OPEN && pending->node->kind == SFS_COMPUTED &&
                      shield_fault(SHIELD_FAULT_HOLD_OPEN);
    if (!pending->pinned && find_at_once(pending, &found))
        sfs_pending_answer_found(pending, &found);
    else
        enqueue(deferred, pending);
    sfs_found_clear(&found);
}

void sfs_deferred_take(SfsDeferred *deferred, SfsPending init)
{
    sfs_node_ref(init.node);
    take(deferred, sfs_pending_new(init));
}

static void count_waiting(SfsDeferred *deferred, guint n[])
{
    SHIELD_AUTO_LOCK(&deferred->lock);
    GHashTableIter iter;
    void *pending;

    g_hash_table_iter_init(&iter, deferred->waiting);
    while (g_hash_table_iter_next(&iter, NULL, &pending))
        n[((const SfsPending *)pending)->kind]++;
}

void sfs_deferred_tell(SfsDeferred *deferred, SfsOpenMetrics *out)
{
    static const char *const labels[SFS_N_PENDING] = {"open", "read", "getattr", "poll"};
    guint n[SFS_N_PENDING] = {0};

    count_waiting(deferred, n);
    sfs_openmetrics_family(out, SFS_GAUGE, "shieldfs_requests_held", NULL,
                           "Requests that wait for a writer, or for a list to be read, by kind.");
    for (int kind = 0; kind < SFS_N_PENDING; kind++)
        sfs_openmetrics_number(out, "request", labels[kind], n[kind]);
}
