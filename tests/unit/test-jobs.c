/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of view/jobs and of events/rechecks: one job at a time for a bundle, bundles in turn, what can wait
 * waits but gets its share; and the same of announcements. Orders are asserted, never times.
 */
#include <glib.h>
#include <string.h>

#include "events/rechecks.h"
#include "lock.h"
#include "unit.h"
#include "view/jobs.h"

#define FLOOD 2000

static const ShieldPolicy policy = {.max_size = 1000};

#define FLOODS 3 /* as many as there are threads for one source */
#define BUNDLES 40
#define OTHER_SOURCE 30 /* the first bundle of another */

/* Some bundles, and what has been done for them. */
typedef struct {
    SfsJobs *jobs;
    SfsContainer *bundles[BUNDLES];
    GMutex lock; /* protects the rest */
    GCond changed;
    GString *done;        /* a letter for each job, in order: a capital for one that could wait */
    guint going[BUNDLES]; /* jobs that go on at this moment, for each bundle */
    gboolean at_once, held;
    gboolean endless; /* each job of the first FLOODS asks for another; these are not noted */
} Case;

static SfsContainer *container_new(const char *name, guint64 ino, guint source)
{
    ShieldPlace place = {(char *)name, source, (char *)"containers/c"};
    ShieldIdentity identity = {.dev = 1, .ino = ino};

    return sfs_container_new(&place, &identity, &policy);
}

static int number_of(const Case *c, const SfsContainer *bundle)
{
    int i = 0;

    while (c->bundles[i] != bundle)
        i++;
    return i;
}

/* Keeps its thread for as long as jobs are held. */
static void do_job(Case *c, SfsContainer *bundle, char first)
{
    SHIELD_AUTO_LOCK(&c->lock);
    int i = number_of(c, bundle);
    gboolean flood = c->endless && i < FLOODS;

    c->at_once |= ++c->going[i] > 1;
    if (!flood)
        g_string_append_c(c->done, (char)(first + i));
    g_cond_broadcast(&c->changed);
    while (c->held)
        g_cond_wait(&c->changed, &c->lock);
    c->going[i]--;
    if (flood)
        sfs_jobs_queue(c->jobs, bundle, SFS_JOB_UPKEEP, g_get_monotonic_time());
}

static void do_soon(void *data, SfsContainer *bundle)
{
    do_job(data, bundle, 'a');
}

static void do_later(void *data, SfsContainer *bundle)
{
    do_job(data, bundle, 'A');
}

static void setup(Case *c)
{
    *c = (Case){.jobs = sfs_jobs_new(), .done = g_string_new(NULL)};
    g_mutex_init(&c->lock);
    g_cond_init(&c->changed);
    for (guint i = 0; i < G_N_ELEMENTS(c->bundles); i++)
        c->bundles[i] = container_new("c", i + 1, i >= OTHER_SOURCE);
    sfs_jobs_set(c->jobs, SFS_JOB_REQUESTS, do_soon, c);
    sfs_jobs_set(c->jobs, SFS_JOB_UPKEEP, do_soon, c);
    sfs_jobs_set(c->jobs, SFS_JOB_LATER, do_later, c);
}

static void teardown(Case *c)
{
    sfs_jobs_stop(c->jobs);
    sfs_jobs_free(c->jobs);
    for (guint i = 0; i < G_N_ELEMENTS(c->bundles); i++)
        sfs_container_unref(c->bundles[i]);
    g_string_free(c->done, TRUE);
    g_cond_clear(&c->changed);
    g_mutex_clear(&c->lock);
}

static void ask(Case *c, int bundle, SfsJobKind kind)
{
    sfs_jobs_queue(c->jobs, c->bundles[bundle], kind, g_get_monotonic_time());
}

static void hold(Case *c, gboolean held)
{
    SHIELD_AUTO_LOCK(&c->lock);

    c->held = held;
    g_cond_broadcast(&c->changed);
}

static void wait_for_jobs(Case *c, guint n)
{
    gint64 end = g_get_monotonic_time() + G_TIME_SPAN_MINUTE;
    SHIELD_AUTO_LOCK(&c->lock);

    while (c->done->len < n)
        g_assert_true(g_cond_wait_until(&c->changed, &c->lock, end));
}

/* However often it is asked for, as long as it goes on there is no other for that bundle, and one after it.
 */
static void test_one_at_a_time(void)
{
    Case c;

    setup(&c);
    hold(&c, TRUE);
    g_assert_true(sfs_jobs_start(c.jobs, NULL));
    ask(&c, 0, SFS_JOB_UPKEEP);
    wait_for_jobs(&c, 1);
    for (int i = 0; i < 10; i++) {
        ask(&c, 0, SFS_JOB_UPKEEP);
        ask(&c, 0, SFS_JOB_REQUESTS);
    }
    ask(&c, 1, SFS_JOB_UPKEEP);
    wait_for_jobs(&c, 2); /* another bundle is not kept waiting */
    hold(&c, FALSE);
    wait_for_jobs(&c, 4);
    ask(&c, 2, SFS_JOB_UPKEEP);
    wait_for_jobs(&c, 5);
    g_assert_cmpstr(c.done->str, ==, "abaac");
    g_assert_false(c.at_once);
    teardown(&c);
}

static void start_floods(Case *c)
{
    c->endless = TRUE;
    g_assert_true(sfs_jobs_start(c->jobs, NULL));
    for (int i = 0; i < FLOODS; i++)
        ask(c, i, SFS_JOB_UPKEEP);
}

/* As many bundles as there are threads, each of which asks for another job in each: a further one has its
 * turn all the same. */
static void test_in_turn(void)
{
    Case c;

    setup(&c);
    start_floods(&c);
    for (guint n = 1; n <= 20; n++) {
        ask(&c, FLOODS, SFS_JOB_UPKEEP);
        wait_for_jobs(&c, n);
    }
    teardown(&c);
}

/* A source that hangs, with all its bundles, leaves threads to another, and to the whole view. */
static void test_source_that_hangs(void)
{
    Case c;

    setup(&c);
    hold(&c, TRUE);
    for (int i = 0; i < 10; i++)
        ask(&c, i, SFS_JOB_REQUESTS);
    g_assert_true(sfs_jobs_start(c.jobs, NULL));
    wait_for_jobs(&c, FLOODS);
    ask(&c, OTHER_SOURCE, SFS_JOB_REQUESTS);
    wait_for_jobs(&c, FLOODS + 1);
    ask(&c, OTHER_SOURCE + 1, SFS_JOB_LATER);
    wait_for_jobs(&c, FLOODS + 2);
    g_assert_cmpint((guchar)c.done->str[FLOODS], ==, 'a' + OTHER_SOURCE);
    g_assert_cmpint((guchar)c.done->str[FLOODS + 1], ==, 'A' + OTHER_SOURCE + 1);
    hold(&c, FALSE);
    wait_for_jobs(&c, 12); /* it hangs no more */
    teardown(&c);
}

static void test_due(void)
{
    Case c;

    setup(&c);
    sfs_jobs_queue(c.jobs, c.bundles[0], SFS_JOB_REQUESTS, g_get_monotonic_time() + G_TIME_SPAN_DAY);
    sfs_jobs_queue(c.jobs, c.bundles[1], SFS_JOB_REQUESTS, g_get_monotonic_time() + 50 * 1000);
    sfs_jobs_queue(c.jobs, c.bundles[2], SFS_JOB_REQUESTS, g_get_monotonic_time() + 20 * 1000);
    g_assert_true(sfs_jobs_start(c.jobs, NULL));
    wait_for_jobs(&c, 2);
    g_assert_cmpstr(c.done->str, ==, "cb");
    ask(&c, 0, SFS_JOB_REQUESTS); /* now after all */
    wait_for_jobs(&c, 3);
    g_assert_cmpstr(c.done->str, ==, "cba");
    teardown(&c);
}

/* What can wait comes, however much there is of what somebody waits for. */
static void test_later(void)
{
    Case c;

    setup(&c);
    start_floods(&c);
    for (guint n = 1; n <= 20; n++) {
        ask(&c, FLOODS, SFS_JOB_LATER);
        wait_for_jobs(&c, n);
    }
    teardown(&c);
}

/* And it comes after most of that, though it was asked for before. */
static void test_sooner(void)
{
    const guint half = BUNDLES / 2;
    guint sooner = 0;
    Case c;

    setup(&c);
    for (guint i = 0; i < BUNDLES; i++)
        ask(&c, (int)i, i < half ? SFS_JOB_LATER : SFS_JOB_UPKEEP);
    g_assert_true(sfs_jobs_start(c.jobs, NULL));
    wait_for_jobs(&c, BUNDLES);
    for (guint i = 0; i < half; i++)
        sooner += (guchar)c.done->str[i] >= 'a' + half;
    g_assert_cmpuint(sooner, >, half * 6 / 10);
    teardown(&c);
}

static SfsNode *file_of(SfsTree *tree, const char *name, const char *file)
{
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsContainer) container = container_new(name, g_str_hash(name), 0);
    g_autoptr(SfsNode) known = sfs_tree_child(tree, root, name);
    g_autoptr(SfsNode) node =
        known ? sfs_node_ref(known) : sfs_tree_attach(tree, root, name, SFS_CONTAINER, NULL, container);

    return sfs_tree_attach(tree, node, file, SFS_RAW, NULL, node->container);
}

/* Takes the next, which must be due; TRUE: it is this one's. */
static gboolean take(SfsRechecks *rechecks, const SfsNode *node)
{
    gint64 due;
    SfsRecheck *first = sfs_rechecks_first(rechecks, &due);
    gboolean found = first->node == node;

    g_assert_cmpint(due, <=, g_get_monotonic_time());
    sfs_rechecks_take(rechecks, first);
    return found;
}

/* However many announcements one container has, another's comes after one of these. */
static void test_announcements(void)
{
    SfsTree *tree = sfs_tree_new(2);
    SfsRechecks *rechecks = sfs_rechecks_new(tree);
    g_autoptr(SfsNode) other = file_of(tree, "other", "f");

    for (int i = 0; i < FLOOD; i++) {
        g_autofree char *name = g_strdup_printf("f%d", i);
        g_autoptr(SfsNode) node = file_of(tree, "flood", name);

        sfs_rechecks_queue(rechecks, sfs_rechecks_get(rechecks, node), 1);
    }
    g_assert_false(take(rechecks, other));
    for (int i = 0; i < 20; i++) {
        sfs_rechecks_queue(rechecks, sfs_rechecks_get(rechecks, other), g_get_monotonic_time());
        if (!take(rechecks, other))
            g_assert_true(take(rechecks, other));
    }
    sfs_rechecks_free(rechecks);
    sfs_tree_free(tree);
}

/* Any number of containers that are gone have every second turn; alone they have all. */
static void test_gone(void)
{
    SfsTree *tree = sfs_tree_new(2);
    SfsRechecks *rechecks = sfs_rechecks_new(tree);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsNode) other = file_of(tree, "other", "f");
    g_autoptr(SfsNode) first = NULL;
    guint turns = 0;
    gint64 due;

    for (int i = 0; i < FLOOD; i++) {
        g_autofree char *name = g_strdup_printf("gone%d", i);
        g_autoptr(SfsNode) node = file_of(tree, name, "f");
        SfsRecheck *recheck = sfs_rechecks_get(rechecks, node->parent);

        sfs_rechecks_queue(rechecks, recheck, 1);
        sfs_tree_detach(tree, root, name, sfs_tree_time(tree));
        sfs_rechecks_set_ghost(rechecks, recheck, TRUE);
        first = first ? first : sfs_node_ref(node->parent);
    }
    g_assert_cmpuint(sfs_rechecks_count_ghosts(rechecks), ==, FLOOD);
    for (int i = 0; i < 20; i++) {
        sfs_rechecks_queue(rechecks, sfs_rechecks_get(rechecks, other), g_get_monotonic_time());
        turns += take(rechecks, other);
    }
    g_assert_cmpuint(turns, >=, 9);
    g_assert_cmpuint(turns, <=, 11);
    while (sfs_rechecks_first(rechecks, &due))
        (void)take(rechecks, other);
    g_assert_cmpuint(sfs_rechecks_waiting(rechecks, &due), ==, 0);
    g_assert_true(sfs_rechecks_has_ghost(rechecks, first));
    sfs_rechecks_forget(rechecks, sfs_rechecks_find(rechecks, first));
    g_assert_false(sfs_rechecks_has_ghost(rechecks, first));
    g_assert_cmpuint(sfs_rechecks_count_ghosts(rechecks), ==, FLOOD - 1);
    sfs_rechecks_free(rechecks);
    sfs_tree_free(tree);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobs/one-at-a-time", test_one_at_a_time);
    g_test_add_func("/jobs/in-turn", test_in_turn);
    g_test_add_func("/jobs/source-that-hangs", test_source_that_hangs);
    g_test_add_func("/jobs/due", test_due);
    g_test_add_func("/jobs/later", test_later);
    g_test_add_func("/jobs/sooner", test_sooner);
    g_test_add_func("/jobs/announcements", test_announcements);
    g_test_add_func("/jobs/gone", test_gone);
    return g_test_run();
}
