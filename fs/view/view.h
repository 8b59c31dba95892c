/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view: what is in the view: which names a directory has, what a number or a name leads to. It puts
 * together the tree (numbers), the catalog (places) and the bundles. It must not know FUSE:
 * it takes nodes and gives errnos back.
 *
 * What can fail returns an errno, 0 if it worked, and gives what it found through its last argument: a new
 * reference, or NULL. What finds a descriptor returns that, or -1 with errno, as open(2) does.
 *
 * Which containers there are, the index knows; what is in a bundle is asked of its directory each time.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "catalog.h"
#include "view/access.h"
#include "view/directories.h"
#include "view/tree.h"

typedef struct SfsView SfsView;
typedef struct SfsIndex SfsIndex;
typedef struct SfsStatus SfsStatus;
typedef struct SfsMetrics SfsMetrics;
typedef struct SfsFindings SfsFindings;
typedef struct SfsJobs SfsJobs;

/* What the view is of, and for whom. */
typedef struct {
    const char *const *sources; /* as given; NULL ends them */
    ShieldPolicy policy;
    gboolean allow_other; /* others than the mounting user get in */
} SfsViewOptions;

/* options: copied. mountpoint: absolute, without links. */
SfsView *sfs_view_new(const SfsViewOptions *options, const char *mountpoint);
void sfs_view_free(SfsView *view);

/* What it is made of; the view's. */
SfsTree *sfs_view_tree(const SfsView *view);
ShieldCatalog *sfs_view_catalog(const SfsView *view);
SfsIndex *sfs_view_index(const SfsView *view);
SfsFindings *sfs_view_findings(const SfsView *view);
SfsJobs *sfs_view_jobs(const SfsView *view);
SfsStatus *sfs_view_status(const SfsView *view);
SfsMetrics *sfs_view_metrics(const SfsView *view);
struct timespec sfs_view_started(const SfsView *view); /* the time of what has none of its own */
const ShieldPolicy *sfs_view_policy(const SfsView *view);
gboolean sfs_view_allows_others(const SfsView *view);

/* For the session's start, before there is more than one thread. */

/* Who tells of .shieldfs; the caller's. Nothing in there may be asked for before. */
void sfs_view_set_status(SfsView *view, SfsStatus *status);
void sfs_view_set_metrics(SfsView *view, SfsMetrics *metrics);

/* What brings the marks of all bundles up to date, see ShieldPolicy. */
void sfs_view_set_drain(SfsView *view, void (*drain)(void *data), void *data);

/* What to ask whether the directory that is watched for a container is still there. */
typedef gboolean (*SfsVouchFunc)(void *data, const SfsContainer *container);
void sfs_view_set_vouch(SfsView *view, SfsVouchFunc vouch, void *data);

/* What to call when a directory is kept open, so that it is to be closed later: on any thread. */
void sfs_view_set_kept(SfsView *view, void (*kept)(void *data), void *data);

/* .shieldfs/status; a new reference. */
SfsNode *sfs_view_status_node(SfsView *view);

/* Forgets all that was read, so that everything is compared anew. */
void sfs_view_forget(SfsView *view);

/* The number's node: ESTALE if something else has its name now, ENOENT if nothing has. */
int sfs_view_resolve(SfsView *view, guint64 ino, SfsNode **node);

/* The child of a directory. */
int sfs_view_lookup(SfsView *view, SfsNode *parent, const char *name, SfsNode **node);

typedef struct {
    guint64 ino;
    char *name;
    mode_t type; /* S_IFDIR or S_IFREG */
} SfsEntry;

/* What a directory holds now, "." and ".." first, sorted by bytes: an array of SfsEntry that owns them, and
 * is not to be changed. callers: NULL, or who asks, up to another NULL; with allow_other it is what all of
 * them may know, and EACCES if one may not list it. */
int sfs_view_list(SfsView *view, SfsNode *directory, SfsCaller *const *callers, GPtrArray **entries);

int sfs_view_count_containers(SfsView *view, guint *count);

/* The directory behind a container, if it still is the one that container stands for; NULL with errno, ENOENT
 * if it is gone or another. */
SfsDirectory *sfs_view_open_container(SfsView *view, SfsContainer *container);

/* The directory that a raw file or a hooks directory lies in; likewise. */
SfsDirectory *sfs_view_open_parent(SfsView *view, const SfsNode *node);

/* Does an event tell when the node's name comes to lead elsewhere? */
gboolean sfs_view_tells(SfsView *view, const SfsNode *node);

/* What to say of a node that was found to be gone: ESTALE if something is there under its path now, which
 * makes the kernel look that up again; else ENOENT. */
int sfs_view_errno_of_gone(SfsView *view, const SfsNode *node);

/* Closes directories that nobody has asked for lately. When (monotonic time, microseconds) that is to be done
 * again; 0: none is open. */
gint64 sfs_view_close_unused(SfsView *view);
