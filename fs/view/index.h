/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index: which containers there are, and whether that is still so. Where every directory that bundles are
 * found by is watched, what was seen there once is as it was then until an event marks it: so after a drain a
 * name is answered from the tree, and only a mark leads to a look, at that name alone. Where something can't
 * be watched, each question is a look. It must not know what is in a bundle, nor how marks come about.
 *
 * A mark has a number, counted up. A look notes the last mark before it began, and what it found is put into
 * the tree only if none has come since that concerns the name: so the tree is never older than the marks say.
 *
 * Lock order: dirwatch's, the index's, the tree's.
 */
#pragma once

#include "view/directories.h"
#include "view/view.h"

SfsIndex *sfs_index_new(SfsView *view);
void sfs_index_free(SfsIndex *index);

/* What the name (NULL: any) leads to may be another container now, or none. Any thread, under dirwatch's lock
 * or none. */
void sfs_index_mark(SfsIndex *index, const char *name);

/* Something has happened that concerns no name. */
void sfs_index_note(SfsIndex *index);

/* The number of the last mark. */
guint64 sfs_index_now(SfsIndex *index);

/* What is known of the directories that bundles are found by. */
typedef struct {
    guint64 mark;      /* each up to this one has been looked at */
    gboolean exact;    /* every further one will come, as all is watched */
    gboolean anew;     /* but not all was before, so that a look which is not over yet may have missed one */
    gboolean complete; /* all could be looked into, so that a name which was not found is not there */
} SfsScanned;
void sfs_index_set_scanned(SfsIndex *index, const SfsScanned *scanned);

/* Is what a name leads to told by marks? */
gboolean sfs_index_is_exact(SfsIndex *index);

/* The same, and has all been looked at since the last mark that concerned every name? Else there may be
 * directories that are not watched yet. *now: the number of the last mark. */
gboolean sfs_index_is_settled(SfsIndex *index, guint64 *now);

/* The container called name; an errno. */
int sfs_index_find(SfsIndex *index, SfsNode *root, const char *name, SfsNode **node);

/* Sees to it that a container whose name leads elsewhere by now is detached. No effect where that is not
 * told. */
void sfs_index_confirm(SfsIndex *index, SfsContainer *container);

/* The container's directory, if it still is the one; NULL with errno, ENOENT if it is gone or another. */
SfsDirectory *sfs_index_open(SfsIndex *index, SfsContainer *container);

/* Brings all containers in the tree up to date: those of names that have gone are detached. An errno. *nodes:
 * what there is (an array of SfsNode that owns references), or NULL if that is all that is in the tree. */
int sfs_index_list(SfsIndex *index, SfsNode *root, GPtrArray **nodes);

/* The same by looking at everything, whatever is known. scan: as for shield_catalog_scan. */
int sfs_index_scan(SfsIndex *index, SfsNode *root, ShieldScan *scan, GPtrArray **nodes);

/* After a drain: is that told of all that are in the tree? */
gboolean sfs_index_is_certain_of_all(SfsIndex *index);

/* After a drain: does the container's name still lead to it, and would an event tell otherwise? */
gboolean sfs_index_is_certain(SfsIndex *index, const SfsContainer *container);

/* After a drain: has no event told since the mark of that number that a directory on the way to the container
 * is another, or has other rights, and would one tell? */
gboolean sfs_index_is_certain_since(SfsIndex *index, const SfsContainer *container, guint64 mark);

/* Closes descriptors that are not in use any more; as sfs_directories_expire. */
gint64 sfs_index_expire(SfsIndex *index, gboolean all);
