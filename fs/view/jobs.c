/* SPDX-License-Identifier: Apache-2.0 */
/* jobs: a queue of bundles, and threads; see jobs.h. */
#include "view/jobs.h"

#include "lock.h"

/* A source that hangs keeps so many of the threads, at most. The others are for the other sources, and for
 * what concerns the whole view, which asks all of them. */
#define THREADS 5
#define THREADS_PER_SOURCE 3
#define NEVER G_MAXINT64

/* One in so many turns belongs to what can wait, if there is any. */
#define SHARE_LATER 4

/* There are two queues: of what somebody waits for, and of what can wait. */
typedef enum { SOON, LATER, N_QUEUES } Queue;

/* What there is to do for the bundles of one source; or for the whole view. */
typedef struct {
    GSequence *queues[N_QUEUES]; /* of Bundle, by the first that is due */
    guint working;               /* turns that are going on */
} Line;

/* A bundle that there is something to do for. Who has had his turn goes to the end: what is due at one time
 * is in the order in which it came. */
typedef struct {
    SfsContainer *container; /* a reference, or NULL */
    Line *line;
    gint64 due[SFS_N_JOBS];         /* NEVER: nothing is to be done */
    GSequenceIter *place[N_QUEUES]; /* NULL: not in that queue */
    gboolean working;               /* its turn is going on: it is in neither */
} Bundle;

struct SfsJobs {
    SfsJobFunc func[SFS_N_JOBS];
    void *data[SFS_N_JOBS];
    SfsHistogram times[SFS_N_JOBS];
    GMutex lock; /* a leaf; protects the rest */
    GCond changed;
    GHashTable *bundles; /* SfsContainer to Bundle */
    GPtrArray *lines;    /* of Line: the whole view's, then one for each source, as they come */
    guint turns;
    gboolean end;
    GThread *threads[THREADS];
};

static void bundle_free(void *data)
{
    Bundle *bundle = data;

    if (bundle->container)
        sfs_container_unref(bundle->container);
    g_free(bundle);
}

static Line *line_new(void)
{
    Line *line = g_new0(Line, 1);

    for (int queue = 0; queue < N_QUEUES; queue++)
        line->queues[queue] = g_sequence_new(NULL);
    return line;
}

static void line_free(void *data)
{
    Line *line = data;

    for (int queue = 0; queue < N_QUEUES; queue++)
        g_sequence_free(line->queues[queue]);
    g_free(line);
}

SfsJobs *sfs_jobs_new(void)
{
    SfsJobs *jobs = g_new0(SfsJobs, 1);

    g_mutex_init(&jobs->lock);
    g_cond_init(&jobs->changed);
    jobs->bundles = g_hash_table_new_full(NULL, NULL, NULL, bundle_free);
    jobs->lines = g_ptr_array_new_with_free_func(line_free);
    return jobs;
}

void sfs_jobs_free(SfsJobs *jobs)
{
    g_ptr_array_unref(jobs->lines);
    g_hash_table_unref(jobs->bundles);
    g_cond_clear(&jobs->changed);
    g_mutex_clear(&jobs->lock);
    g_free(jobs);
}

void sfs_jobs_set(SfsJobs *jobs, SfsJobKind kind, SfsJobFunc func, void *data)
{
    jobs->func[kind] = func;
    jobs->data[kind] = data;
}

static Queue queue_of(int kind)
{
    return kind == SFS_JOB_LATER ? LATER : SOON;
}

/* Of what belongs into that queue. */
static gint64 first_due(const Bundle *bundle, Queue queue)
{
    gint64 first = NEVER;

    for (int kind = 0; kind < SFS_N_JOBS; kind++) {
        if (queue_of(kind) == queue)
            first = MIN(first, bundle->due[kind]);
    }
    return first;
}

static int compare_due(const void *a, const void *b, void *data)
{
    Queue queue = GPOINTER_TO_INT(data);
    gint64 due_a = first_due(a, queue), due_b = first_due(b, queue);

    return (due_a > due_b) - (due_a < due_b);
}

static void take_out(Bundle *bundle, Queue queue)
{
    if (bundle->place[queue])
        g_sequence_remove(bundle->place[queue]);
    bundle->place[queue] = NULL;
}

/* Puts the bundle where it belongs. Lock held. */
static void put(Bundle *bundle, Queue queue)
{
    take_out(bundle, queue);
    if (first_due(bundle, queue) != NEVER)
        bundle->place[queue] = g_sequence_insert_sorted(bundle->line->queues[queue], bundle, compare_due,
                                                        GINT_TO_POINTER(queue));
}

/* Lock held. */
static Line *line_of(SfsJobs *jobs, const SfsContainer *container)
{
    guint i = container ? container->place->source + 1 : 0;

    while (jobs->lines->len <= i)
        g_ptr_array_add(jobs->lines, line_new());
    return g_ptr_array_index(jobs->lines, i);
}

/* Lock held. */
static Bundle *bundle_of(SfsJobs *jobs, SfsContainer *container)
{
    Bundle *bundle = g_hash_table_lookup(jobs->bundles, container);

    if (!bundle) {
        bundle = g_new0(Bundle, 1);
        bundle->container = container ? sfs_container_ref(container) : NULL;
        bundle->line = line_of(jobs, container);
        for (int kind = 0; kind < SFS_N_JOBS; kind++)
            bundle->due[kind] = NEVER;
        g_hash_table_insert(jobs->bundles, container, bundle);
    }
    return bundle;
}

void sfs_jobs_queue(SfsJobs *jobs, SfsContainer *container, SfsJobKind kind, gint64 due)
{
    SHIELD_AUTO_LOCK(&jobs->lock);
    Bundle *bundle = bundle_of(jobs, container);

    if (bundle->due[kind] <= due)
        return;
    bundle->due[kind] = due;
    if (bundle->working)
        return; /* it is queued at the end of its turn */
    put(bundle, queue_of(kind));
    g_cond_signal(&jobs->changed);
}

/* Its turn is over. Another thread is told of what is due later, for this one may be busy then: with what
 * there is for this bundle, and for its source, if that had all the threads it may. Lock held. */
static void end_turn(SfsJobs *jobs, Bundle *bundle)
{
    gboolean was_full = bundle->line->working-- == THREADS_PER_SOURCE, more = FALSE;

    bundle->working = FALSE;
    for (int queue = 0; queue < N_QUEUES; queue++) {
        put(bundle, (Queue)queue);
        more |= bundle->place[queue] != NULL;
    }
    if (!more)
        g_hash_table_remove(jobs->bundles, bundle->container);
    if (more || was_full)
        g_cond_signal(&jobs->changed);
}

/* One job. Lock held, but for the job itself. */
static void work_at(SfsJobs *jobs, int kind, SfsContainer *container)
{
    g_mutex_unlock(&jobs->lock);
    gint64 begun = g_get_monotonic_time();

    jobs->func[kind](jobs->data[kind], container);
    sfs_histogram_add(&jobs->times[kind], g_get_monotonic_time() - begun);
    g_mutex_lock(&jobs->lock);
}

/* Its turn: all that is due. Lock held, but for the jobs. */
static void work_for(SfsJobs *jobs, Bundle *bundle, gint64 now)
{
    bundle->working = TRUE;
    bundle->line->working++;
    for (int queue = 0; queue < N_QUEUES; queue++)
        take_out(bundle, (Queue)queue);
    for (int kind = 0; kind < SFS_N_JOBS && !jobs->end; kind++) {
        if (bundle->due[kind] > now)
            continue;
        bundle->due[kind] = NEVER;
        work_at(jobs, kind, bundle->container);
    }
    end_turn(jobs, bundle);
}

/* The first of these queues, and when it is due, but for sources that have all the threads they may; NULL:
 * there is none. Lock held. */
static Bundle *first_of(const SfsJobs *jobs, Queue queue, gint64 *due)
{
    Bundle *first = NULL;

    *due = NEVER;
    for (guint i = 0; i < jobs->lines->len; i++) {
        const Line *line = g_ptr_array_index(jobs->lines, i);
        GSequenceIter *begin = g_sequence_get_begin_iter(line->queues[queue]);
        Bundle *bundle = g_sequence_iter_is_end(begin) ? NULL : g_sequence_get(begin);

        if (line->working >= THREADS_PER_SOURCE || !bundle || first_due(bundle, queue) >= *due)
            continue;
        first = bundle;
        *due = first_due(bundle, queue);
    }
    return first;
}

/* Whose turn it is; NULL: nobody's before next. Lock held. */
static Bundle *next_turn(SfsJobs *jobs, gint64 now, gint64 *next)
{
    gint64 soon_due, later_due;
    Bundle *soon = first_of(jobs, SOON, &soon_due), *later = first_of(jobs, LATER, &later_due);
    gboolean prefer_later = ++jobs->turns % SHARE_LATER == 0;

    *next = MIN(soon_due, later_due);
    if (later_due <= now && (prefer_later || soon_due > now))
        return later;
    return soon_due <= now ? soon : NULL;
}

static void *work(void *data)
{
    SfsJobs *jobs = data;
    SHIELD_AUTO_LOCK(&jobs->lock);

    while (!jobs->end) {
        gint64 now = g_get_monotonic_time(), next;
        Bundle *bundle = next_turn(jobs, now, &next);

        if (bundle)
            work_for(jobs, bundle, now);
        else if (next == NEVER)
            g_cond_wait(&jobs->changed, &jobs->lock);
        else
            g_cond_wait_until(&jobs->changed, &jobs->lock, next);
    }
    return NULL;
}

gboolean sfs_jobs_start(SfsJobs *jobs, GError **error)
{
    for (int i = 0; i < THREADS; i++) {
        jobs->threads[i] = g_thread_try_new("jobs", work, jobs, error);
        if (!jobs->threads[i])
            return FALSE;
    }
    return TRUE;
}

void sfs_jobs_stop(SfsJobs *jobs)
{
    g_mutex_lock(&jobs->lock);
    jobs->end = TRUE;
    g_cond_broadcast(&jobs->changed);
    g_mutex_unlock(&jobs->lock);
    for (int i = 0; i < THREADS; i++) {
        if (jobs->threads[i])
            g_thread_join(g_steal_pointer(&jobs->threads[i]));
    }
}

static guint count_queued(SfsJobs *jobs)
{
    SHIELD_AUTO_LOCK(&jobs->lock);

    return g_hash_table_size(jobs->bundles);
}

void sfs_jobs_tell(SfsJobs *jobs, SfsOpenMetrics *out)
{
    static const char *const labels[SFS_N_JOBS] = {
        [SFS_JOB_REQUESTS] = "requests", [SFS_JOB_UPKEEP] = "upkeep", [SFS_JOB_LATER] = "later"};

    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_jobs_pending", NULL,
                           "Containers for which a job is queued or goes on.", count_queued(jobs));
    sfs_openmetrics_family(out, SFS_HISTOGRAM, "shieldfs_job_duration_seconds", "seconds",
                           "Jobs that were done, by kind, and how long each took.");
    for (int kind = 0; kind < SFS_N_JOBS; kind++)
        sfs_openmetrics_histogram(out, "kind", labels[kind], &jobs->times[kind]);
}
