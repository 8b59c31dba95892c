/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of events/outbox, with the test as the announcer at the other end of a socket: what is asked for
 * after which change, and what follows from each answer. Readable as examples: a line says what the announcer
 * is asked for, the next what it answers.
 */
#include <errno.h>
#include <glib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "events/outbox.h"
#include "events/trace.h"
#include "unit.h"
#include "view/attributes.h"

/* A view of one bundle, c, of which all is announced; nothing watches it, so each test says what to look at.
 */
typedef struct {
    UnitDir *dir;
    SfsView *view;
    SfsAnnouncerClient *client;
    SfsOutbox *outbox;
    int announcer; /* the test's end */
} Case;

static void connect_announcer(Case *c)
{
    int ends[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), ==, 0);
    c->announcer = ends[1];
    g_assert_cmpint(send(ends[1], &(SfsAnnouncerAnswer){.confined = 1}, sizeof(SfsAnnouncerAnswer), 0), ==,
                    sizeof(SfsAnnouncerAnswer));
    sfs_announcer_client_connect(c->client, ends[0], getpid());
}

static SfsNode *node_at(Case *c, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    SfsNode *node = sfs_tree_root(sfs_view_tree(c->view));

    for (char **name = names; *name; name++) {
        SfsNode *child;

        (void)sfs_view_lookup(c->view, node, *name, &child);

        sfs_node_unref(node);
        if (!child)
            return NULL;
        node = child;
    }
    return node;
}

/* As a job does before anything is compared. */
static void compute(Case *c, SfsContainer *container)
{
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(c->view, container);

    for (guint i = 0; i < shield_computed_n; i++)
        shield_snapshot_unref(shield_bundle_peek(container->bundle, directory->fd, &shield_computed[i]));
}

static void assume_below(Case *c, const char *path)
{
    g_autoptr(SfsNode) node = *path ? node_at(c, path) : sfs_tree_root(sfs_view_tree(c->view));
    g_autoptr(GPtrArray) entries = NULL;

    g_assert_cmpint(sfs_view_list(c->view, node, NULL, &entries), ==, 0);
    g_autoptr(GPtrArray) children = sfs_tree_children(sfs_view_tree(c->view), node);
    if (node->kind == SFS_CONTAINER)
        compute(c, node->container);
    for (guint i = 0; i < children->len; i++)
        sfs_outbox_assume(c->outbox, g_ptr_array_index(children, i));
}

static Case setup(void)
{
    Case c = {.dir = unit_dir_new()};
    const char *sources[] = {c.dir->path, NULL};

    unit_mkdir(c.dir, "containers/c");
    unit_write(c.dir, "containers/c/profile.allowed", "1.1.1.1\n");
    unit_write(c.dir, "containers/c/deny.list", "");
    unit_age(c.dir, "containers/c/deny.list");
    c.view = sfs_view_new(
        &(SfsViewOptions){.sources = sources, .policy = {.max_size = 1000, .settle_ms = 50}}, "/mnt");
    c.client = sfs_announcer_client_new();
    c.outbox = sfs_outbox_new(c.view, c.client, "/mnt");
    connect_announcer(&c);
    assume_below(&c, "");
    assume_below(&c, "c");
    return c;
}

static void teardown(Case *c)
{
    close(c->announcer);
    sfs_outbox_free(c->outbox);
    sfs_announcer_client_free(c->client);
    sfs_view_free(c->view);
    unit_dir_free(c->dir);
}

static gboolean is_out(void *data)
{
    const Case *c = data;
    gint64 due = sfs_outbox_work(c->outbox);

    (void)due;
    return sfs_announcer_client_is_out(c->client);
}

/* The next request, after whatever pause, must be this. */
static void asked(Case *c, SfsAnnouncerOp op, const char *path)
{
    SfsAnnouncerRequest request;

    unit_wait(is_out, c);
    g_assert_cmpint(recv(c->announcer, &request, sizeof request, 0), ==, sizeof request);
    g_assert_cmpstr(sfs_trace_op(request.op), ==, sfs_trace_op(op));
    g_assert_cmpstr(request.path, ==, path);
}

static void answer(Case *c, int errnum)
{
    SfsAnnouncerAnswer told = {errnum};

    g_assert_cmpint(send(c->announcer, &told, sizeof told, 0), ==, sizeof told);
    sfs_outbox_answered(c->outbox);
}

/* What the announcer's operation does to the tree as announced, on its way through the kernel. */
static void operate(Case *c, const char *path, gboolean announced)
{
    g_autofree char *above = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    SfsTree *tree = sfs_view_tree(c->view);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsNode) container =
        g_str_equal(above, ".") ? NULL : sfs_tree_announced_child(tree, root, above);
    SfsNode *parent = container ? container : root;
    g_autoptr(SfsNode) node = announced ? sfs_announcer_client_creating(c->client, parent->ino, name)
                                        : sfs_tree_announced_child(tree, parent, name);

    g_assert_nonnull(node);
    sfs_tree_set_announced(tree, node, announced);
}

static void done(Case *c, SfsAnnouncerOp op, const char *path)
{
    asked(c, op, path);
    if (op == SFS_ANNOUNCER_CREATE || op == SFS_ANNOUNCER_MKDIR)
        operate(c, path, TRUE);
    if (op == SFS_ANNOUNCER_UNLINK || op == SFS_ANNOUNCER_RMDIR)
        operate(c, path, FALSE);
    answer(c, 0);
}

static gboolean is_idle(void *data)
{
    const Case *c = data;

    (void)sfs_outbox_work(c->outbox);
    g_assert_false(sfs_announcer_client_is_out(c->client));
    return sfs_outbox_is_idle(c->outbox);
}

/* Whatever is in the queue, nothing is asked for. */
static void nothing_more(Case *c)
{
    unit_wait(is_idle, c);
}

static void recheck(Case *c, const char *path)
{
    g_autoptr(SfsNode) node = node_at(c, path);

    g_assert_nonnull(node);
    if (node->kind == SFS_COMPUTED)
        compute(c, node->container);
    sfs_outbox_recheck(c->outbox, node, FALSE);
}

static void test_change(void)
{
    Case c = setup();

    recheck(&c, "c/profile.allowed");
    recheck(&c, "c/effective");
    nothing_more(&c); /* both are as they were told */

    unit_write(c.dir, "containers/c/profile.allowed", "1.1.1.1\n2.2.2.2\n");
    recheck(&c, "c/profile.allowed");
    recheck(&c, "c/profile.allowed"); /* once in the queue is enough */
    done(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
    nothing_more(&c);
    recheck(&c, "c/effective");
    done(&c, SFS_ANNOUNCER_MODIFY, "c/effective");
    recheck(&c, "c/denied");
    nothing_more(&c); /* of that nothing has changed */
    teardown(&c);
}

/* While one request is out, no other goes. */
static void test_one_at_a_time(void)
{
    Case c = setup();

    unit_write(c.dir, "containers/c/profile.allowed", "2.2.2.2\n");
    unit_write(c.dir, "containers/c/deny.list", "3.3.3.3\n");
    recheck(&c, "c/profile.allowed");
    recheck(&c, "c/deny.list");
    asked(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
    (void)sfs_outbox_work(c.outbox);
    g_assert_cmpint(recv(c.announcer, &(SfsAnnouncerRequest){0}, sizeof(SfsAnnouncerRequest), MSG_DONTWAIT),
                    ==, -1);
    answer(&c, 0);
    done(&c, SFS_ANNOUNCER_MODIFY, "c/deny.list");
    nothing_more(&c);
    teardown(&c);
}

/* A directory first, its files when watchers have had time to add a watch. */
static void test_arrival(void)
{
    Case c = setup();
    gint64 told;

    unit_mkdir(c.dir, "containers/new");
    unit_write(c.dir, "containers/new/gateway", "10.0.0.1\n");
    recheck(&c, "new/gateway");
    recheck(&c, "new");
    done(&c, SFS_ANNOUNCER_MKDIR, "new");
    told = g_get_monotonic_time();
    asked(&c, SFS_ANNOUNCER_CREATE, "new/gateway");
    g_assert_cmpint(g_get_monotonic_time() - told, >=, 45 * 1000);
    operate(&c, "new/gateway", TRUE);
    answer(&c, 0);
    teardown(&c);
}

/* What was in a directory goes before it. */
static void test_removal(void)
{
    Case c = setup();
    g_autoptr(SfsNode) node = node_at(&c, "c");
    SfsAnnouncerRequest request;
    guint unlinked = 0;

    unit_remove(c.dir, "containers/c");
    sfs_outbox_recheck(c.outbox, node, FALSE);
    for (;;) {
        unit_wait(is_out, &c);
        g_assert_cmpint(recv(c.announcer, &request, sizeof request, 0), ==, sizeof request);
        if (request.op == SFS_ANNOUNCER_RMDIR)
            break;
        g_assert_cmpint(request.op, ==, SFS_ANNOUNCER_UNLINK);
        operate(&c, request.path, FALSE);
        answer(&c, 0);
        unlinked++;
    }
    g_assert_cmpstr(request.path, ==, "c");
    g_assert_cmpuint(unlinked, ==, 2 + shield_computed_n);
    operate(&c, "c", FALSE);
    answer(&c, 0);
    nothing_more(&c);
    g_assert_cmpuint(sfs_outbox_count(c.outbox), ==, 0); /* nothing is kept of what is gone */
    teardown(&c);
}

/* Somebody has a lease on the file: its time is set, and the CLOSE_WRITE follows when he lets go. */
static void test_lease(void)
{
    Case c = setup();

    unit_write(c.dir, "containers/c/profile.allowed", "2.2.2.2\n");
    recheck(&c, "c/profile.allowed");
    asked(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
    answer(&c, EAGAIN);
    done(&c, SFS_ANNOUNCER_TIME, "c/profile.allowed");
    asked(&c, SFS_ANNOUNCER_CLOSE, "c/profile.allowed");
    answer(&c, EAGAIN);
    done(&c, SFS_ANNOUNCER_CLOSE, "c/profile.allowed");
    nothing_more(&c);
    teardown(&c);
}

/* A request dies with its announcer; the next one gets it. */
static void test_death(void)
{
    Case c = setup();

    unit_write(c.dir, "containers/c/profile.allowed", "2.2.2.2\n");
    recheck(&c, "c/profile.allowed");
    asked(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
    close(c.announcer);
    sfs_announcer_client_connect(c.client, -1, 0);
    sfs_outbox_answered(c.outbox);
    g_assert_cmpint(sfs_outbox_work(c.outbox), ==, -1); /* there is nobody to ask */
    g_assert_false(sfs_outbox_is_idle(c.outbox));
    connect_announcer(&c);
    done(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
    nothing_more(&c);
    teardown(&c);
}

/* What can't be told is tried three times more, then it is in the backlog and in the status file; when it
 * works, it is told as if nothing had been. */
static void test_backlog(void)
{
    Case c = setup();
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) after = g_ptr_array_new_with_free_func(g_free);

    unit_write(c.dir, "containers/c/profile.allowed", "2.2.2.2\n");
    recheck(&c, "c/profile.allowed");
    for (int i = 0; i < 4; i++) {
        asked(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
        answer(&c, EROFS);
    }
    (void)sfs_outbox_degraded(c.outbox, lines);
    g_assert_cmpuint(lines->len, ==, 1);
    done(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
    nothing_more(&c);
    (void)sfs_outbox_degraded(c.outbox, after);
    g_assert_cmpuint(after->len, ==, 0);
    teardown(&c);
}

static gboolean keeps_little(void *data)
{
    Case *c = data;

    recheck(c, "c/deny.list");
    nothing_more(c);
    return sfs_outbox_count(c->outbox) <= 1;
}

/* What was as it was told is forgotten when the next is looked at; what was announced, a second later. */
static void test_forgetting(void)
{
    Case c = setup();
    g_autoptr(SfsNode) node = node_at(&c, "c");
    g_autoptr(GPtrArray) children = sfs_tree_children(sfs_view_tree(c.view), node);

    g_assert_cmpuint(children->len, ==, 2 + shield_computed_n);
    sfs_outbox_recheck_children(c.outbox, node, 0);
    nothing_more(&c);
    g_assert_cmpuint(sfs_outbox_count(c.outbox), <=, 1);
    unit_write(c.dir, "containers/c/profile.allowed", "2.2.2.2\n");
    recheck(&c, "c/profile.allowed");
    done(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
    recheck(&c, "c/deny.list");
    nothing_more(&c);
    g_assert_cmpuint(sfs_outbox_count(c.outbox), ==, 2);
    unit_wait(keeps_little, &c);
    teardown(&c);
}

/* Ten changes in a row are told twice at most in 10 ms, and the last one is. */
static void test_hot(void)
{
    Case c = setup();
    gint64 first;

    unit_write(c.dir, "containers/c/profile.allowed", "2.2.2.2\n");
    recheck(&c, "c/profile.allowed");
    asked(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
    first = g_get_monotonic_time();
    answer(&c, 0);
    unit_write(c.dir, "containers/c/profile.allowed", "2.2.2.2\n3.3.3.3\n");
    recheck(&c, "c/profile.allowed");
    asked(&c, SFS_ANNOUNCER_MODIFY, "c/profile.allowed");
    g_assert_cmpint(g_get_monotonic_time() - first, >=, 9 * 1000);
    answer(&c, 0);
    nothing_more(&c);
    teardown(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/outbox/change", test_change);
    g_test_add_func("/outbox/one-at-a-time", test_one_at_a_time);
    g_test_add_func("/outbox/arrival", test_arrival);
    g_test_add_func("/outbox/removal", test_removal);
    g_test_add_func("/outbox/lease", test_lease);
    g_test_add_func("/outbox/death", test_death);
    g_test_add_func("/outbox/backlog", test_backlog);
    g_test_add_func("/outbox/forgetting", test_forgetting);
    g_test_add_func("/outbox/hot", test_hot);
    return g_test_run();
}
