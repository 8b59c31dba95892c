/* SPDX-License-Identifier: Apache-2.0 */
/* view_private: what a view consists of, for view's own files alone. */
#pragma once

#include "view/view.h"

#define SFS_META_NAME ".shieldfs"

/* The files in it, sorted. */
typedef struct {
    const char *name;
    SfsKind kind;
} SfsMetaFile;
#define SFS_N_META_FILES 3
extern const SfsMetaFile sfs_meta_files[SFS_N_META_FILES];

struct SfsView {
    ShieldPolicy policy;
    gboolean allow_other;
    ShieldCatalog *catalog;
    SfsTree *tree;
    SfsStatus *status;       /* the session's, */
    SfsMetrics *metrics;     /* and so are these */
    struct timespec started; /* the time of what has none of its own */
    SfsIndex *index;
    SfsFindings *findings;
    SfsJobs *jobs;
    GMutex lock;             /* protects the next two; held while the tree is asked */
    GPtrArray *listing;      /* of the root, of SfsEntry; NULL: none was asked for */
    guint64 listed;          /* the tree's count of changes when it was taken */
    struct timespec changed; /* when the last bundle came or went; with the next, the lock protects it */
    guint64 changed_mark;    /* one more than the index's when that was asked for; 0: never */
    SfsVouchFunc vouch;      /* NULL: nobody knows */
    void *vouch_data;
    void (*kept)(void *data); /* NULL: nobody is told */
    void *kept_data;
};

/* Has name in parent a node? */
gboolean sfs_view_is_attached(SfsView *view, SfsNode *parent, const char *name);

/* The directory behind a container or its hooks; NULL with errno. */
SfsDirectory *sfs_view_open_directory(SfsView *view, const SfsNode *directory);

/* The child for what stands under name in the directory of parent, which is dirfd; NULL with errno. */
SfsNode *sfs_view_attach_raw(SfsView *view, SfsNode *parent, int dirfd, const char *name, mode_t type);
