/* SPDX-License-Identifier: Apache-2.0 */
/* backlog: see backlog.h. */
#include "events/backlog.h"

#include <errno.h>

#include "error.h"
#include "events/announcer_client.h"
#include "lock.h"

#define PAUSE_MIN_USEC (100 * 1000)
#define PAUSE_MAX_USEC (2 * G_USEC_PER_SEC)

struct SfsBacklog {
    char *mountpoint;
    GMutex lock;          /* protects the rest */
    GQueue nodes;         /* references; the next one to try first */
    GHashTable *errno_of; /* node to what its announcement fails with */
    int errnum;           /* what failed last */
    gint64 pause, due;
    gboolean worked; /* something was announced since the first of them failed */
    guint64 serial;
};

SfsBacklog *sfs_backlog_new(const char *mountpoint)
{
    SfsBacklog *backlog = g_new0(SfsBacklog, 1);

    backlog->mountpoint = g_strdup(mountpoint);
    backlog->errno_of = g_hash_table_new(NULL, NULL);
    g_queue_init(&backlog->nodes);
    g_mutex_init(&backlog->lock);
    return backlog;
}

void sfs_backlog_free(SfsBacklog *backlog)
{
    g_queue_clear_full(&backlog->nodes, (GDestroyNotify)sfs_node_unref);
    g_hash_table_unref(backlog->errno_of);
    g_mutex_clear(&backlog->lock);
    g_free(backlog->mountpoint);
    g_free(backlog);
}

gboolean sfs_backlog_add(SfsBacklog *backlog, SfsNode *node, int errnum)
{
    SHIELD_AUTO_LOCK(&backlog->lock);
    int known = GPOINTER_TO_INT(g_hash_table_lookup(backlog->errno_of, node));

    if (known == errnum)
        return FALSE;
    backlog->serial++;
    backlog->errnum = errnum;
    g_hash_table_insert(backlog->errno_of, node, GINT_TO_POINTER(errnum));
    if (known)
        return FALSE;
    if (g_queue_is_empty(&backlog->nodes)) {
        backlog->worked = FALSE;
        backlog->pause = PAUSE_MIN_USEC;
        backlog->due = g_get_monotonic_time() + backlog->pause;
    }
    g_queue_push_tail(&backlog->nodes, sfs_node_ref(node));
    return TRUE;
}

void sfs_backlog_remove(SfsBacklog *backlog, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    if (!g_hash_table_remove(backlog->errno_of, node))
        return;
    backlog->serial++;
    g_queue_remove(&backlog->nodes, node);
    sfs_node_unref(node);
}

gboolean sfs_backlog_holds(SfsBacklog *backlog, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    return g_hash_table_contains(backlog->errno_of, node);
}

gboolean sfs_backlog_works(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);
    gboolean stuck = !backlog->worked && !g_queue_is_empty(&backlog->nodes);

    backlog->worked = TRUE;
    backlog->serial += stuck;
    return stuck;
}

gint64 sfs_backlog_due(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    return g_queue_is_empty(&backlog->nodes) ? 0 : backlog->due;
}

SfsNode *sfs_backlog_next(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);
    SfsNode *node = g_queue_pop_head(&backlog->nodes);

    g_queue_push_tail(&backlog->nodes, node);
    backlog->pause = MIN(backlog->pause * 2, PAUSE_MAX_USEC);
    backlog->due = g_get_monotonic_time() + backlog->pause;
    return sfs_node_ref(node);
}

GPtrArray *sfs_backlog_nodes(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);

    for (GList *l = backlog->nodes.head; l; l = l->next)
        g_ptr_array_add(nodes, sfs_node_ref(l->data));
    return nodes;
}

gboolean sfs_backlog_is_stuck(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    return !backlog->worked && !g_queue_is_empty(&backlog->nodes);
}

guint64 sfs_backlog_serial(SfsBacklog *backlog)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    return backlog->serial;
}

static void add_mount_line(const SfsBacklog *backlog, GPtrArray *lines)
{
    g_autofree char *text = g_strdup_printf(
        "no change can be announced: %s: %s", g_strerror(backlog->errnum),
        backlog->errnum == EROFS ? "remount it read-write (mount -o remount,rw): what was missed "
                                   "is announced then"
                                 : "it is tried again until it works");

    shield_error_add_line(lines, NULL, backlog->mountpoint, text);
}

void sfs_backlog_lines(SfsBacklog *backlog, GPtrArray *lines)
{
    SHIELD_AUTO_LOCK(&backlog->lock);

    if (!backlog->worked && !g_queue_is_empty(&backlog->nodes)) {
        add_mount_line(backlog, lines);
        return;
    }
    for (GList *l = backlog->nodes.head; l; l = l->next) {
        g_autofree char *path = sfs_announcer_client_path(l->data);
        int errnum = GPOINTER_TO_INT(g_hash_table_lookup(backlog->errno_of, l->data));
        g_autofree char *text = g_strdup_printf("a change can't be announced: %s: it is tried again until it "
                                                "works",
                                                g_strerror(errnum));

        shield_error_add_line(lines, NULL, path, text);
    }
}
