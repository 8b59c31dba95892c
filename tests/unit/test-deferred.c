/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of request/deferred: who wait for one bundle are a group, tried together; a writer's end, the end of
 * the settle time, an interruption and the end of the session each answer a request, once. The few functions
 * of libfuse that it calls stand here in libfuse's place, and note the answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "lock.h"
#include "request/deferred.h"
#include "unit.h"
#include "view/jobs.h"
#include "view/status.h"

#define LONG_MS (60 * 1000) /* no test waits for it */
#define SHORT_MS 400

/* What libfuse knows of a request. */
typedef struct {
    SfsSession *session;
    GMutex lock; /* protects the rest */
    fuse_interrupt_func_t on_interrupt;
    void *on_interrupt_data;
    guint answers;
    int errnum;            /* of the answer */
    SfsFileHandle *handle; /* what an OPEN got */
} Request;

/* A session over one bundle, c. */
typedef struct {
    UnitDir *dir;
    SfsSession session;
    SfsNode *node; /* of c/effective */
} Case;

static Request *request_of(fuse_req_t req)
{
    return (Request *)(void *)req;
}

void *fuse_req_userdata(fuse_req_t req)
{
    return request_of(req)->session;
}

void fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
    Request *request = request_of(req);
    SHIELD_AUTO_LOCK(&request->lock);

    request->on_interrupt = func;
    request->on_interrupt_data = data;
}

int fuse_req_interrupted(fuse_req_t req)
{
    (void)req;
    return 0;
}

const struct fuse_ctx *fuse_req_ctx(fuse_req_t req)
{
    static const struct fuse_ctx nobody = {.uid = 65534};

    (void)req;
    return &nobody;
}

static int answered(fuse_req_t req, int errnum, void *handle)
{
    Request *request = request_of(req);
    SHIELD_AUTO_LOCK(&request->lock);

    request->answers++;
    request->errnum = errnum;
    request->handle = handle;
    return 0;
}

int fuse_reply_err(fuse_req_t req, int err)
{
    return answered(req, err, NULL);
}

int fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
    return answered(req, 0, (void *)(uintptr_t)fi->fh);
}

int fuse_reply_attr(fuse_req_t req, const struct stat *attr, double attr_timeout)
{
    (void)attr, (void)attr_timeout;
    return answered(req, 0, NULL);
}

static guint answers(Request *request)
{
    SHIELD_AUTO_LOCK(&request->lock);

    return request->answers;
}

static gboolean is_answered(void *request)
{
    return answers(request) > 0;
}

static Case setup(guint settle_ms)
{
    Case c = {.dir = unit_dir_new()};
    const char *sources[] = {c.dir->path, NULL};
    SfsSession *session = &c.session;

    unit_mkdir(c.dir, "containers/c");
    unit_write(c.dir, "containers/c/profile.allowed", "1.1.1.1\n");
    session->view = sfs_view_new(
        &(SfsViewOptions){.sources = sources, .policy = {.max_size = 1000, .settle_ms = settle_ms}}, "/mnt");
    session->status = sfs_status_new(session->view, 1);
    sfs_view_set_status(session->view, session->status);
    session->announcer = sfs_announcer_client_new();
    session->outbox = sfs_outbox_new(session->view, session->announcer, "/mnt");
    session->watcher = sfs_watcher_new(session->view, session->outbox, 60);
    session->texts = sfs_quota_new(1 << 20, 0, "bytes");
    session->deferred = sfs_deferred_new(session->view);
    session->handles = sfs_handles_new();
    g_assert_true(sfs_deferred_start(session->deferred, NULL));
    g_assert_true(sfs_jobs_start(sfs_view_jobs(session->view), NULL));

    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(session->view));
    g_autoptr(SfsNode) container = NULL;
    g_assert_cmpint(sfs_view_lookup(session->view, root, "c", &container), ==, 0);
    g_assert_cmpint(sfs_view_lookup(session->view, container, "effective", &c.node), ==, 0);
    return c;
}

static void teardown(Case *c)
{
    sfs_node_unref(c->node);
    sfs_jobs_stop(sfs_view_jobs(c->session.view));
    if (c->session.deferred)
        sfs_deferred_free(c->session.deferred);
    sfs_handles_free(c->session.handles);
    sfs_quota_free(c->session.texts);
    sfs_watcher_free(c->session.watcher);
    sfs_outbox_free(c->session.outbox);
    sfs_announcer_client_free(c->session.announcer);
    sfs_status_free(c->session.status);
    sfs_view_free(c->session.view);
    unit_dir_free(c->dir);
}

static void ask_open(Case *c, Request *request)
{
    SfsRequest r = {(fuse_req_t)(void *)request, "OPEN", c->node->ino, NULL};
    struct fuse_file_info fi = {0};

    *request = (Request){.session = &c->session};
    g_mutex_init(&request->lock);
    sfs_deferred_take(c->session.deferred,
                      (SfsPending){.kind = SFS_PENDING_OPEN, .r = r, .node = c->node, .fi = fi});
}

static void ask_getattr(Case *c, Request *request)
{
    SfsRequest r = {(fuse_req_t)(void *)request, "GETATTR", c->node->ino, NULL};

    *request = (Request){.session = &c->session};
    g_mutex_init(&request->lock);
    sfs_deferred_take(c->session.deferred,
                      (SfsPending){.kind = SFS_PENDING_GETATTR, .r = r, .node = c->node});
}

/* Exactly one answer, and this one. */
static void assert_answer(Request *request, int errnum, const char *text)
{
    int failed = 0;

    unit_wait(is_answered, request);
    g_assert_cmpuint(answers(request), ==, 1);
    g_assert_cmpint(request->errnum, ==, errnum);
    if (!text)
        return;
    g_autoptr(GBytes) bytes = sfs_file_handle_read(request->handle, 1000, 0, &failed);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), text, strlen(text));
}

static void interrupt(Request *request)
{
    request->on_interrupt((fuse_req_t)(void *)request, request->on_interrupt_data);
}

/* What was read when its stamp could be trusted is not read again: no thread is needed. */
static void test_at_once(void)
{
    Case c = setup(LONG_MS);
    Request first, second, third;

    ask_open(&c, &first);
    assert_answer(&first, 0, "1.1.1.1\n");
    unit_age(c.dir, "containers/c/profile.allowed");
    ask_open(&c, &second);
    assert_answer(&second, 0, "1.1.1.1\n");
    ask_open(&c, &third);
    g_assert_cmpuint(answers(&third), ==, 1);
    assert_answer(&third, 0, "1.1.1.1\n");
    teardown(&c);
}

/* Opens wait for the writer, a GETATTR does not; all who waited get the same content. */
static void test_writer(void)
{
    Case c = setup(LONG_MS);
    Request opens[3], getattr;
    int fd = unit_open_for_writing(c.dir, "containers/c/profile.allowed");

    for (gsize i = 0; i < G_N_ELEMENTS(opens); i++)
        ask_open(&c, &opens[i]);
    ask_getattr(&c, &getattr);
    assert_answer(&getattr, 0, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(opens); i++)
        g_assert_cmpuint(answers(&opens[i]), ==, 0);

    g_assert_cmpint(ftruncate(fd, 0), ==, 0);
    g_assert_cmpint(write(fd, "2.2.2.2\n", 8), ==, 8);
    close(fd);
    sfs_deferred_written(c.session.deferred, c.node->container);
    for (gsize i = 0; i < G_N_ELEMENTS(opens); i++)
        assert_answer(&opens[i], 0, "2.2.2.2\n");
    teardown(&c);
}

static void test_settle_time(void)
{
    Case c = setup(SHORT_MS);
    Request request;
    int fd = unit_open_for_writing(c.dir, "containers/c/profile.allowed");
    gint64 start = g_get_monotonic_time();

    ask_open(&c, &request);
    assert_answer(&request, EBUSY, NULL);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, SHORT_MS * 1000 * 9 / 10);
    close(fd);
    teardown(&c);
}

/* Only who is interrupted is answered; who came with him goes on waiting, and is answered later. */
static void test_interrupted(void)
{
    Case c = setup(LONG_MS);
    Request first, second;
    int fd = unit_open_for_writing(c.dir, "containers/c/profile.allowed");

    ask_open(&c, &first);
    ask_open(&c, &second);
    interrupt(&first);
    assert_answer(&first, EINTR, NULL);
    interrupt(&first); /* too late: it has its answer */
    close(fd);
    sfs_deferred_written(c.session.deferred, c.node->container);
    unit_wait(is_answered, &second);
    g_assert_cmpuint(answers(&first), ==, 1);
    g_assert_cmpuint(answers(&second), ==, 1);
    teardown(&c);
}

/* Whoever still waits at the end is answered. */
static void test_end(void)
{
    Case c = setup(LONG_MS);
    Request first, second;
    int fd = unit_open_for_writing(c.dir, "containers/c/profile.allowed");

    ask_open(&c, &first);
    ask_open(&c, &second);
    sfs_jobs_stop(sfs_view_jobs(c.session.view));
    sfs_deferred_free(g_steal_pointer(&c.session.deferred));
    assert_answer(&first, EINTR, NULL);
    assert_answer(&second, EINTR, NULL);
    close(fd);
    teardown(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/deferred/at-once", test_at_once);
    g_test_add_func("/deferred/writer", test_writer);
    g_test_add_func("/deferred/settle-time", test_settle_time);
    g_test_add_func("/deferred/interrupted", test_interrupted);
    g_test_add_func("/deferred/end", test_end);
    return g_test_run();
}
