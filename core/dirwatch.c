/* SPDX-License-Identifier: Apache-2.0 */
/* dirwatch: the inotify queue and its targets; see dirwatch.h. */
#include "dirwatch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fault.h"
#include "lock.h"
#include "open.h"
#include "remote.h"

#define ITSELF (IN_DELETE_SELF | IN_MOVE_SELF)
#define ENTRIES (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | ITSELF)
#define NAMES (ENTRIES | IN_ATTRIB)
/* No OPEN, ACCESS or CLOSE_NOWRITE: reading a list, as this program does, is no change. */
#define CONTENT (NAMES | IN_MODIFY | IN_CLOSE_WRITE)

struct ShieldDirwatch {
    int fd;
    ShieldDirwatchFunc func;
    void *data;
    int applying;           /* atomic: events that are in the queue no more are still to be applied */
    GMutex lock;            /* held while the queue is read and applied; protects the tables */
    GHashTable *targets_of; /* watch descriptor to GSList of targets */
    GHashTable *wd_of;      /* target to watch descriptor */
};

static guint32 mask_of(ShieldDirwatchKind kind)
{
    switch (kind) {
    case SHIELD_DIRWATCH_SELF:
        return ITSELF;
    case SHIELD_DIRWATCH_ENTRIES:
        return ENTRIES;
    case SHIELD_DIRWATCH_NAMES:
        return NAMES;
    case SHIELD_DIRWATCH_CONTENT:
    default:
        return CONTENT;
    }
}

ShieldDirwatch *shield_dirwatch_new(ShieldDirwatchFunc func, void *data)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (fd < 0)
        return NULL;

    ShieldDirwatch *watch = g_new0(ShieldDirwatch, 1);
    watch->fd = fd;
    watch->func = func;
    watch->data = data;
    watch->targets_of = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_slist_free);
    watch->wd_of = g_hash_table_new(NULL, NULL);
    g_mutex_init(&watch->lock);
    return watch;
}

void shield_dirwatch_free(ShieldDirwatch *watch)
{
    close(watch->fd);
    g_hash_table_unref(watch->targets_of);
    g_hash_table_unref(watch->wd_of);
    g_mutex_clear(&watch->lock);
    g_free(watch);
}

int shield_dirwatch_descriptor(const ShieldDirwatch *watch)
{
    return watch->fd;
}

/* Lock held. */
static void forget_target(ShieldDirwatch *watch, void *target)
{
    void *wd, *targets;

    if (!g_hash_table_steal_extended(watch->wd_of, target, NULL, &wd))
        return;

    if (!g_hash_table_steal_extended(watch->targets_of, wd, NULL, &targets))
        return;
    targets = g_slist_remove(targets, target);
    if (targets)
        g_hash_table_insert(watch->targets_of, wd, targets);
    else
        (void)inotify_rm_watch(watch->fd, GPOINTER_TO_INT(wd)); /* fails if the directory is gone: as good */
}

ShieldDirwatched shield_dirwatch_add(ShieldDirwatch *watch, int dirfd, ShieldDirwatchKind kind, void *target)
{
    char path[SHIELD_FD_PATH_SIZE];
    void *known;

    if (shield_is_remote(dirfd)) { /* it may wait for a server: without the lock */
        errno = EOPNOTSUPP;
        return SHIELD_DIRWATCH_REFUSED;
    }

    SHIELD_AUTO_LOCK(&watch->lock);
    shield_fault_stop(SHIELD_FAULT_STOP_WATCH);

    /* Targets that share a directory share its watch, which then has the events of all. What is done to a
     * file through a descriptor after its name is gone, or another file's, is not that name's. */
    int wd = inotify_add_watch(watch->fd, shield_fd_path(dirfd, path),
                               mask_of(kind) | IN_ONLYDIR | IN_MASK_ADD | IN_EXCL_UNLINK);
    if (wd < 0)
        return SHIELD_DIRWATCH_REFUSED;
    (void)watch->func(target, 0, NULL, watch->data);
    if (g_hash_table_lookup_extended(watch->wd_of, target, NULL, &known) && known == GINT_TO_POINTER(wd))
        return SHIELD_DIRWATCH_KEPT;
    forget_target(watch, target); /* it was on a directory that another has replaced */

    void *targets = NULL;
    (void)g_hash_table_steal_extended(watch->targets_of, GINT_TO_POINTER(wd), NULL, &targets);
    g_hash_table_insert(watch->targets_of, GINT_TO_POINTER(wd), g_slist_prepend(targets, target));
    g_hash_table_insert(watch->wd_of, target, GINT_TO_POINTER(wd));
    return SHIELD_DIRWATCH_PLACED;
}

void shield_dirwatch_remove(ShieldDirwatch *watch, void *target)
{
    SHIELD_AUTO_LOCK(&watch->lock);

    forget_target(watch, target);
}

guint shield_dirwatch_count(ShieldDirwatch *watch)
{
    SHIELD_AUTO_LOCK(&watch->lock);

    return g_hash_table_size(watch->targets_of);
}

/* Lock held. */
static gboolean apply(ShieldDirwatch *watch, const struct inotify_event *event)
{
    GSList *targets = g_hash_table_lookup(watch->targets_of, GINT_TO_POINTER(event->wd));
    gboolean marked = FALSE;

    if (event->mask & IN_Q_OVERFLOW)
        return watch->func(NULL, event->mask, NULL, watch->data);
    for (GSList *l = targets; l; l = l->next)
        marked |= watch->func(l->data, event->mask, event->len > 0 ? event->name : NULL, watch->data);
    /* The kernel has dropped the watch: its number may come again. */
    if (targets && (event->mask & IN_IGNORED)) {
        for (GSList *l = targets; l; l = l->next)
            g_hash_table_remove(watch->wd_of, l->data);
        g_hash_table_remove(watch->targets_of, GINT_TO_POINTER(event->wd));
    }
    return marked;
}

/* How many bytes of events there are. */
static int count_queued(const ShieldDirwatch *watch)
{
    int left = 0;

    return ioctl(watch->fd, FIONREAD, &left) < 0 ? 0 : left;
}

/* Takes from the queue what there is now, and no more: a writer who never rests must not keep us here for
 * ever. Lock held. */
static gboolean apply_queued(ShieldDirwatch *watch)
{
    _Alignas(struct inotify_event) char buffer[16384];
    gboolean marked = FALSE;
    int left = count_queued(watch);

    while (left > 0) {
        ssize_t got = read(watch->fd, buffer, sizeof buffer);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        left -= (int)got;
        for (char *at = buffer; at < buffer + got;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

            marked |= apply(watch, event);
            at += sizeof *event + event->len;
        }
    }
    return marked;
}

gboolean shield_dirwatch_drain(ShieldDirwatch *watch)
{
    /* In this order: who takes events from the queue says so before. */
    if (count_queued(watch) == 0 && !g_atomic_int_get(&watch->applying))
        return FALSE;

    SHIELD_AUTO_LOCK(&watch->lock);
    gboolean marked;

    g_atomic_int_set(&watch->applying, TRUE);
    marked = apply_queued(watch);
    g_atomic_int_set(&watch->applying, FALSE);
    return marked;
}
