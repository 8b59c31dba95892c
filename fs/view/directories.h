/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directories: descriptors of bundles' directories, kept while they are in use and for two seconds after: a
 * warm question opens nothing, and who unmounts what lies behind finds nobody there. At most some hundreds
 * are kept. It must not know which directory is right for a container: the index says when one may be used
 * again.
 */
#pragma once

#include <glib.h>

#include "view/tree.h"

/* An open directory (O_PATH). Counted; the last reference closes it. */
typedef struct {
    gatomicrefcount refs;
    int fd;
    int overlay; /* atomic: 0 until that is asked for, else one more than the answer */
} SfsDirectory;

/* Is it on an overlayfs? */
gboolean sfs_directory_is_on_overlay(SfsDirectory *directory);

/* fd is given up to it. */
SfsDirectory *sfs_directory_new(int fd);
SfsDirectory *sfs_directory_ref(SfsDirectory *directory);
void sfs_directory_unref(SfsDirectory *directory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SfsDirectory, sfs_directory_unref)

/* So long a descriptor is kept after it was used last. */
#define SFS_KEEP_USEC (2 * G_USEC_PER_SEC)

typedef struct SfsDirectories SfsDirectories;

SfsDirectories *sfs_directories_new(void);
void sfs_directories_free(SfsDirectories *directories);

/* The one that is kept for container, a new reference; NULL: none is. Any thread. */
SfsDirectory *sfs_directories_get(SfsDirectories *directories, SfsContainer *container);

/* Keeps directory for container, instead of what was kept for it. TRUE: it is the only one kept, so that from
 * now on somebody must call sfs_directories_expire. Any thread. */
gboolean sfs_directories_keep(SfsDirectories *directories, SfsContainer *container, SfsDirectory *directory);

/* Closes what has not been used for two seconds, or with all, everything. When the next is to be closed
 * (monotonic time, microseconds); 0: none is kept. Any thread. */
gint64 sfs_directories_expire(SfsDirectories *directories, gboolean all);
