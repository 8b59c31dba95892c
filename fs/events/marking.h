/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marking: what an event in a watched directory marks: for the watcher's thread, what it is to look at, and
 * for the index, what it does not know any more. A mark of the first kind is set before its like in the
 * index: who has seen the one takes the other. It must not know how directories are watched. Any thread,
 * under dirwatch's lock.
 */
#pragma once

#include "events/marks.h"
#include "view/view.h"

/* A watched directory: one that bundles are found by, a bundle, or its hooks. */
typedef struct {
    SfsContainer *container; /* a reference; NULL: no bundle */
    gboolean hooks;
    guint source; /* that it lies in */
    char *below;  /* of a directory that bundles are found by: its path in the source; NULL: it is none */
    char *path;   /* what the status file calls it; NULL: it was never tried to watch it */
    int errnum;   /* why it is not watched; 0: it is, or there is no need. The list's lock protects it */
    char *only;   /* the one name in it that matters, "" if none does; NULL: all do */
    guint64 generation; /* of the scan that saw it last */
} SfsTarget;

/* What to call when a list of a bundle has been written, on the thread that drains. */
typedef void (*SfsWrittenFunc)(void *data, const SfsContainer *container);

/* Where marks are set. */
typedef struct {
    SfsView *view;
    SfsMarks *marks;
    SfsWrittenFunc written; /* NULL: nobody is to be told */
    void *written_data;
} SfsMarking;

/* inotify says mask of name in target (NULL: of target itself). TRUE if there is a mark that was not there
 * before; only that has a line with -d: a writer who never rests is not to be followed step by step. */
gboolean sfs_marking_event(const SfsMarking *marking, const SfsTarget *target, guint32 mask,
                           const char *name);

/* Whatever there is. */
void sfs_marking_everything(const SfsMarking *marking);
