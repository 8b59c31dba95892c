/* SPDX-License-Identifier: Apache-2.0 */
/* directories: the least recently used go first; see directories.h. */
#include "view/directories.h"

#include <sys/resource.h>

#include "fault.h"
#include "lock.h"
#include "open.h"

/* So many are kept, or a quarter of what may be open if that is less. */
#define KEEP_MAX 256

typedef struct {
    SfsContainer *container; /* a reference */
    SfsDirectory *directory; /* a reference */
    gint64 used;             /* monotonic time */
    GList link;              /* in the queue */
} Kept;

struct SfsDirectories {
    GMutex lock;      /* a leaf; protects the rest */
    GHashTable *kept; /* SfsContainer to Kept */
    GQueue by_use;    /* of Kept, the most recently used last */
    guint max;        /* never changes */
};

SfsDirectory *sfs_directory_new(int fd)
{
    SfsDirectory *directory = g_new0(SfsDirectory, 1);

    g_atomic_ref_count_init(&directory->refs);
    directory->fd = fd;
    return directory;
}

SfsDirectory *sfs_directory_ref(SfsDirectory *directory)
{
    g_atomic_ref_count_inc(&directory->refs);
    return directory;
}

void sfs_directory_unref(SfsDirectory *directory)
{
    if (!g_atomic_ref_count_dec(&directory->refs))
        return;
    shield_fd_close(directory->fd);
    g_free(directory);
}

gboolean sfs_directory_is_on_overlay(SfsDirectory *directory)
{
    int known = g_atomic_int_get(&directory->overlay);

    if (!known) {
        known = 1 + shield_is_on_overlay(directory->fd);
        g_atomic_int_set(&directory->overlay, known);
    }
    return known == 2;
}

SfsDirectories *sfs_directories_new(void)
{
    SfsDirectories *directories = g_new0(SfsDirectories, 1);
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    directories->max = (guint)CLAMP(limit.rlim_cur / 4, 1, KEEP_MAX);
    g_mutex_init(&directories->lock);
    directories->kept = g_hash_table_new(NULL, NULL);
    return directories;
}

void sfs_directories_free(SfsDirectories *directories)
{
    (void)sfs_directories_expire(directories, TRUE);
    g_hash_table_unref(directories->kept);
    g_mutex_clear(&directories->lock);
    g_free(directories);
}

/* Lock held. */
static void drop(SfsDirectories *directories, Kept *kept)
{
    g_hash_table_remove(directories->kept, kept->container);
    g_queue_unlink(&directories->by_use, &kept->link);
    sfs_container_unref(kept->container);
    sfs_directory_unref(kept->directory);
    g_free(kept);
}

/* Lock held. */
static void touch(SfsDirectories *directories, Kept *kept)
{
    kept->used = g_get_monotonic_time();
    g_queue_unlink(&directories->by_use, &kept->link);
    g_queue_push_tail_link(&directories->by_use, &kept->link);
}

SfsDirectory *sfs_directories_get(SfsDirectories *directories, SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&directories->lock);
    Kept *kept = g_hash_table_lookup(directories->kept, container);

    if (!kept)
        return NULL;
    touch(directories, kept);
    return sfs_directory_ref(kept->directory);
}

gboolean sfs_directories_keep(SfsDirectories *directories, SfsContainer *container, SfsDirectory *directory)
{
    SHIELD_AUTO_LOCK(&directories->lock);
    Kept *kept = g_hash_table_lookup(directories->kept, container);

    if (kept)
        drop(directories, kept);
    if (g_queue_get_length(&directories->by_use) >= directories->max)
        drop(directories, g_queue_peek_head(&directories->by_use));
    kept = g_new0(Kept, 1);
    kept->container = sfs_container_ref(container);
    kept->directory = sfs_directory_ref(directory);
    kept->used = g_get_monotonic_time();
    kept->link.data = kept;
    g_hash_table_insert(directories->kept, container, kept);
    g_queue_push_tail_link(&directories->by_use, &kept->link);
    return g_queue_get_length(&directories->by_use) == 1;
}

gint64 sfs_directories_expire(SfsDirectories *directories, gboolean all)
{
    SHIELD_AUTO_LOCK(&directories->lock);
    gint64 now = g_get_monotonic_time();
    Kept *first;

    if (shield_fault(SHIELD_FAULT_DESCRIPTORS) && !all)
        return 0;
    while ((first = g_queue_peek_head(&directories->by_use)) && (all || first->used + SFS_KEEP_USEC <= now))
        drop(directories, first);
    return first ? first->used + SFS_KEEP_USEC : 0;
}
