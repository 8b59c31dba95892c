/* SPDX-License-Identifier: Apache-2.0 */
/* backlog: see backlog.h. */
#include "events/backlog.h"

#include <errno.h>

#include "error.h"
#include "events/announcer_client.h"
#include "lock.h"

#define PAUSE_MIN_USEC (100 * 1000)
#define PAUSE_MAX_USEC (2 * G_USEC_PER_SEC)

typedef struct {
    SfsNode *node; /* a reference */
    int errnum;    /* what its announcement fails with */
    GList link;    /* in the queue */
} Failed;

struct SfsBacklog {
    char *mountpoint;
    GMutex lock;     /* protects the rest */
    GQueue queue;    /* of Failed; the next one to try first */
    GHashTable *all; /* node to Failed */
    int errnum;      /* what failed last */
    gint64 pause, due;
    gboolean worked; /* something was announced since the first of them failed */
    guint64 serial;
};

static void failed_free(void *data)
{
    Failed *failed = data;

    sfs_node_unref(failed->node);
    g_free(failed);
}

SfsBacklog *sfs_backlog_new(const char *mountpoint)
{
    SfsBacklog *backlog = g_new0(SfsBacklog, 1);

    backlog->mountpoint = g_strdup(mountpoint);
    backlog->all = g_hash_table_new_full(NULL, NULL, NULL, failed_free);
    g_queue_init(&backlog->queue);
    g_mutex_init(&backlog->lock);
    return backlog;
}

void sfs_backlog_free(SfsBacklog *backlog)
{
    g_hash_table_unref(backlog->all);
    g_mutex_clear(&backlog->lock);
    g_free(backlog->mountpoint);
    g_free(backlog);
}

gboolean sfs_backlog_add(SfsBacklog *backlog, SfsNode *node, int errnum)
{
    SHIELD_AUTO_LOCK(&backlog->lock);
    Failed *failed = g_hash_table_lookup(backlog->all, node);
    gboolean known = failed != NULL;

    if (known && failed->errnum == errnum)
        return FALSE;
    backlog->serial++;
    backlog->errnum = errnum;
    if (!known) {
        failed = g_new0(Failed, 1);
        failed->node = sfs_node_ref(node);
        failed->link.data = failed;
        g_hash_table_insert(backlog->all, node, failed);
    }
    failed->errnum = errnum;
    if (known)
        return FALSE;
    if (g_queue_is_empty(&backlog->queue)) {
        backlog->worked = FALSE;
        backlog->pause = PAUSE_MIN_USEC;
        backlog->due = g_get_monotonic_time() + backlog->pause;
    }
    g_queue_push_tail_link(&backlog->queue, &failed->link);
    return TRUE;
}

void sfs_backlog_remove(SfsBacklog *backlog, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    Failed *failed = g_hash_table_lookup(backlog->all, node);

    if (!failed)
        return;
    backlog->serial++;
    g_queue_unlink(&backlog->queue, &failed->link);
    g_hash_table_remove(backlog->all, node);
}

gboolean sfs_backlog_holds(SfsBacklog *backlog, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    return g_hash_table_contains(backlog->all, node);
}

gboolean sfs_backlog_works(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);
    gboolean stuck = !backlog->worked && !g_queue_is_empty(&backlog->queue);

    backlog->worked = TRUE;
    backlog->serial += stuck;
    return stuck;
}

gint64 sfs_backlog_due(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    return g_queue_is_empty(&backlog->queue) ? 0 : backlog->due;
}

SfsNode *sfs_backlog_next(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);
    GList *first = g_queue_pop_head_link(&backlog->queue);

    g_queue_push_tail_link(&backlog->queue, first);
    backlog->pause = MIN(backlog->pause * 2, PAUSE_MAX_USEC);
    backlog->due = g_get_monotonic_time() + backlog->pause;
    return sfs_node_ref(((Failed *)first->data)->node);
}

GPtrArray *sfs_backlog_nodes(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);

    for (GList *l = backlog->queue.head; l; l = l->next)
        g_ptr_array_add(nodes, sfs_node_ref(((Failed *)l->data)->node));
    return nodes;
}

gboolean sfs_backlog_is_stuck(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    return !backlog->worked && !g_queue_is_empty(&backlog->queue);
}

guint64 sfs_backlog_serial(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    return backlog->serial;
}

const char *sfs_backlog_reason(int errnum)
{
    return errnum == EXDEV ? "something is mounted over it in the view" : g_strerror(errnum);
}

static void add_mount_line(const SfsBacklog *backlog, GPtrArray *lines)
{
    g_autofree char *text = g_strdup_printf(
        "no change can be announced: %s: %s", g_strerror(backlog->errnum),
        backlog->errnum == EROFS ? "remount it read-write (mount -i -o remount,rw): what was missed "
                                   "is announced then"
                                 : "it is tried again until it works");

    shield_error_add_line(lines, NULL, backlog->mountpoint, text);
}

void sfs_backlog_lines(SfsBacklog *backlog, GPtrArray *lines)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    if (!backlog->worked && !g_queue_is_empty(&backlog->queue)) {
        add_mount_line(backlog, lines);
        return;
    }
    for (GList *l = backlog->queue.head; l; l = l->next) {
        const Failed *failed = l->data;
        g_autofree char *path = sfs_announcer_client_path(failed->node);
        g_autofree char *text = g_strdup_printf("a change can't be announced: %s: it is tried again until it "
                                                "works",
                                                sfs_backlog_reason(failed->errnum));

        shield_error_add_line(lines, NULL, path, text);
    }
}
