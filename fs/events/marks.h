/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks: what is to be looked at: names in bundles, nodes, or everything. Any thread sets marks, the
 * watcher's takes them. Setting one touches no file. Its lock is a leaf.
 */
#pragma once

#include <glib.h>

#include "view/tree.h"

#define SFS_MARKS_HOOKS "hooks/" /* before the names of what is in there */

typedef struct SfsMarks SfsMarks;

/* What stands at one place may be another directory now, or none, or may have other attributes. */
typedef struct {
    guint source;
    char *below; /* containers/NAME or tasks/PROJECT/TASK */
    char *name;  /* what its container is called in the view */
} SfsPlaceMark;

/* All there is to look at. */
typedef struct {
    GHashTable *containers; /* SfsContainer to a table of names, each with the masks of its inotify events */
    GHashTable *nodes;      /* a set of SfsNode */
    GHashTable *places;     /* a set of SfsPlaceMark */
    gboolean structure;     /* bundles may have come or gone */
    gboolean everything;    /* whatever there is may have changed */
} SfsMarked;

SfsMarks *sfs_marks_new(void);
void sfs_marks_free(SfsMarks *marks);

/* Each returns TRUE if the mark is new. */
gboolean sfs_marks_name(SfsMarks *marks, SfsContainer *container, gboolean in_hooks, const char *name,
                        guint32 mask);
gboolean sfs_marks_place(SfsMarks *marks, guint source, const char *below, const char *name);
gboolean sfs_marks_structure(SfsMarks *marks);
gboolean sfs_marks_everything(SfsMarks *marks);
gboolean sfs_marks_node(SfsMarks *marks, SfsNode *node);

/* How many were not new. */
guint64 sfs_marks_joined(SfsMarks *marks);

/* Takes all marks away, but of the names in one bundle at most so many. TRUE: some are left. */
gboolean sfs_marks_take(SfsMarks *marks, SfsMarked *marked, guint names);
void sfs_marked_clear(SfsMarked *marked);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SfsMarked, sfs_marked_clear)
