/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of view/findings: what has changed is known, what is asked for is looked into, and who waits waits
 * for that and for nothing that comes later. The jobs are the test's own.
 */
#include <glib.h>
#include <string.h>

#include "unit.h"
#include "view/findings.h"
#include "view/jobs.h"

/* A view of two bundles, a and b. */
typedef struct {
    UnitDir *dir;
    SfsView *view;
    SfsFindings *findings;
    SfsNode *a, *b;
} Case;

static SfsNode *container(Case *c, const char *name)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(c->view));
    SfsNode *node;

    g_assert_cmpint(sfs_view_lookup(c->view, root, name, &node), ==, 0);
    return node;
}

/* Nothing runs the jobs that are queued. */
static void no_job(void *data, SfsContainer *bundle)
{
    (void)data, (void)bundle;
}

static Case setup(void)
{
    Case c = {.dir = unit_dir_new()};
    const char *sources[] = {c.dir->path, NULL};

    unit_mkdir(c.dir, "containers/a");
    unit_mkdir(c.dir, "containers/b");
    c.view = sfs_view_new(&(SfsViewOptions){.sources = sources, .policy = {.max_size = 1000}}, "/mnt");
    sfs_jobs_set(sfs_view_jobs(c.view), SFS_JOB_LATER, no_job, NULL);
    c.findings = sfs_view_findings(c.view);
    c.a = container(&c, "a");
    c.b = container(&c, "b");
    return c;
}

static void teardown(Case *c)
{
    sfs_node_unref(c->a);
    sfs_node_unref(c->b);
    sfs_view_free(c->view);
    unit_dir_free(c->dir);
}

static gboolean inspect(Case *c, SfsNode *node)
{
    return sfs_findings_inspect(c->findings, node->container, FALSE);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void assert_problems(Case *c, gboolean complete, const char *want)
{
    g_autoptr(GArray) states = g_array_new(FALSE, FALSE, sizeof(int));
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) degraded = g_ptr_array_new_with_free_func(g_free);

    g_assert_cmpint(sfs_findings_collect(c->findings, states, problems, degraded), ==, complete);
    g_ptr_array_sort(problems, compare);
    g_ptr_array_add(problems, NULL);
    g_autofree char *found = g_strjoinv("\n", (char **)problems->pdata);
    g_assert_cmpstr(found, ==, want);
}

/* What is new has changed. */
static void test_new(void)
{
    Case c = setup();
    guint64 asked;

    unit_fifo(c.dir, "containers/a/x");
    g_assert_false(inspect(&c, c.a)); /* nobody has asked */
    g_assert_true(sfs_findings_is_done(c.findings, sfs_findings_ask(c.findings)));
    assert_problems(&c, FALSE, ""); /* the start is not over: nobody waits */
    sfs_findings_set_begun(c.findings, TRUE);
    asked = sfs_findings_ask(c.findings);
    g_assert_false(sfs_findings_is_done(c.findings, asked));
    g_assert_true(inspect(&c, c.a));
    g_assert_false(sfs_findings_is_done(c.findings, asked));
    g_assert_false(inspect(&c, c.b)); /* there is nothing to tell */
    g_assert_true(sfs_findings_is_done(c.findings, asked));
    assert_problems(&c, TRUE, "a/x: FIFO: not read");
    teardown(&c);
}

/* Who waits does not wait for what comes after he has asked; and what is found again is no news. */
static void test_touched(void)
{
    Case c = setup();
    guint64 first, second;

    sfs_findings_set_begun(c.findings, TRUE);
    first = sfs_findings_ask(c.findings);
    inspect(&c, c.a);
    inspect(&c, c.b);
    /* no event tells of a change in these: each question asks for both again */
    first = sfs_findings_ask(c.findings);
    g_assert_false(sfs_findings_is_done(c.findings, first));
    g_assert_false(inspect(&c, c.a));
    g_assert_false(inspect(&c, c.b));
    g_assert_true(sfs_findings_is_done(c.findings, first));

    shield_bundle_set_watched(c.a->container->bundle, TRUE);
    shield_bundle_set_watched(c.b->container->bundle, TRUE);
    (void)sfs_findings_ask(c.findings);
    inspect(&c, c.a);
    inspect(&c, c.b);
    second = sfs_findings_ask(c.findings); /* nothing has changed */
    g_assert_true(sfs_findings_is_done(c.findings, second));
    sfs_findings_touch(c.findings, c.a->container);
    g_assert_true(sfs_findings_is_done(c.findings, second));
    second = sfs_findings_ask(c.findings);
    g_assert_false(sfs_findings_is_done(c.findings, second));
    sfs_findings_touch(c.findings, c.b->container);
    g_assert_false(inspect(&c, c.b)); /* that was not asked for */
    g_assert_false(inspect(&c, c.a));
    g_assert_true(sfs_findings_is_done(c.findings, second));
    teardown(&c);
}

/* Of what is gone there is nothing to tell. */
static void test_gone(void)
{
    Case c = setup();
    guint64 asked;

    unit_fifo(c.dir, "containers/a/x");
    unit_fifo(c.dir, "containers/b/x");
    sfs_findings_set_begun(c.findings, TRUE);
    (void)sfs_findings_ask(c.findings);
    g_assert_true(inspect(&c, c.a) && inspect(&c, c.b));
    assert_problems(&c, TRUE, "a/x: FIFO: not read\nb/x: FIFO: not read");
    unit_remove(c.dir, "containers/a");
    assert_problems(&c, TRUE, "b/x: FIFO: not read");
    unit_remove(c.dir, "containers/b/x");
    asked = sfs_findings_ask(c.findings);
    g_assert_true(inspect(&c, c.b));
    (void)inspect(&c, c.a);
    g_assert_true(sfs_findings_is_done(c.findings, asked));
    assert_problems(&c, TRUE, "");
    teardown(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/findings/new", test_new);
    g_test_add_func("/findings/touched", test_touched);
    g_test_add_func("/findings/gone", test_gone);
    return g_test_run();
}
