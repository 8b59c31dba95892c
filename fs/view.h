/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view: what is in the view: which names a directory has, what their attributes are, what an open gives. It
 * puts together the tree (numbers), the catalog (places) and the bundles (contents). It must not know FUSE:
 * it takes nodes and gives errnos and contents back.
 *
 * Nothing is cached here: each question is answered from the state directories as they are at that moment.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "options.h"
#include "tree.h"

typedef struct {
    const SfsOptions *options;
    ShieldPolicy policy; /* the options', with what the watcher adds */
    ShieldCatalog *catalog;
    SfsTree *tree;
    pid_t supervisor;        /* the process to send signals to */
    struct timespec started; /* the time of what has none of its own */
    GMutex status_lock;      /* protects the three below */
    GBytes *status_text;     /* the last one shown */
    struct timespec status_time;
    guint64 status_serial;
    /* Asked for what status says of the announcer, for its lines on what is not watched, and whether the
     * directory that is watched for a container is still there; NULL: nobody knows. */
    const char *(*announcer_state)(void *data);
    void (*degraded)(void *data, GPtrArray *lines);
    gboolean (*vouch)(void *data, const SfsContainer *container);
    void *asked;
} SfsView;

/* mountpoint: absolute, without links. */
SfsView *sfs_view_new(const SfsOptions *options, const char *mountpoint);
void sfs_view_free(SfsView *view);

/* .shieldfs/status; a new reference. */
SfsNode *sfs_view_status_node(SfsView *view);

/* Forgets all that was read, so that everything is compared anew. */
void sfs_view_forget(SfsView *view);

/* The number's node (a new reference), or NULL with *errnum: ESTALE if something else has its name now,
 * ENOENT else. */
SfsNode *sfs_view_resolve(SfsView *view, guint64 ino, int *errnum);

/* The child of a directory. NULL with *errnum. */
SfsNode *sfs_view_lookup(SfsView *view, SfsNode *parent, const char *name, int *errnum);

/* Attributes as the view shows them; an errno. */
int sfs_view_attributes(SfsView *view, SfsNode *node, struct stat *st);

/* The same, but of what is computed size and time are as they were last: nothing is read or computed. */
int sfs_view_attributes_at_once(SfsView *view, SfsNode *node, struct stat *st);

/* What there is to tell of a node now. */
typedef enum {
    SFS_GONE,
    SFS_UNCLEAR, /* there, but what it is can't be said before something changes */
    SFS_FAILED,  /* it can't be said at this moment, for want of descriptors or the like */
    SFS_CLEAR,
} SfsFinding;
SfsFinding sfs_view_current_state(SfsView *view, SfsNode *node, SfsState *now);

typedef struct {
    guint64 ino;
    char *name;
    mode_t type; /* S_IFDIR or S_IFREG */
} SfsEntry;

/* What a directory holds now, "." and ".." first, sorted by bytes: an array of SfsEntry that owns them. NULL
 * with *errnum. */
GPtrArray *sfs_view_list(SfsView *view, SfsNode *directory, int *errnum);

guint sfs_view_count_containers(SfsView *view);

/* The directory behind a container (O_PATH, the caller's), if it still is the one that node stands for; -1
 * with errno, ENOENT if it is gone or another. */
int sfs_view_open_container(SfsView *view, SfsContainer *container);

/* The directory that a raw file or a hooks directory lies in; likewise. */
int sfs_view_open_parent(SfsView *view, const SfsNode *node);
