/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: node id to (container, file) and back. It knows which names of the view have a number and how often
 * the kernel holds each; it must not touch a file, nor know what is in one.
 *
 * The model. A node is one name of the view for as long as that name lives; its number serves as node id and
 * as inode number, is counted up and never used twice in a mount. There are two trees in one:
 *
 * As it is. A node is *attached* while its name lives: its parent's table of children leads to it. When the
 * name goes away, or something else takes its place, the node is detached for good, together with all below
 * it.
 *
 * As announced. A node is *announced* while watchers have been told that it is there: its parent's table of
 * children leads to it if it is attached too, else that of remnants. The announcer alone sees this tree; its
 * requests move it, one step each, towards the tree as it is.
 *
 * A node that somebody was shown (by a lookup or a listing), but that was detached before it was announced,
 * is a *ghost*: it is announced all the same, and then announced gone, for whoever saw it waits to hear of
 * its end.
 *
 * The kernel may hold any node (a lookup count above 0). A node leaves the tree when nothing of all this
 * holds. An attached node stays even at a count of 0, so that a name keeps its number.
 *
 * One lock protects the tables, the counts and the states; what else is in a node never changes. No file is
 * touched and nothing waits while it is held. Callers hold references of their own (SfsNode is counted).
 */
#pragma once

#include <glib.h>

#include "bundle.h"
#include "catalog.h"
#include "view/packed.h"

typedef enum {
    SFS_ROOT,
    SFS_META,    /* the directory .shieldfs */
    SFS_VERSION, /* .shieldfs/version */
    SFS_STATUS,  /* .shieldfs/status */
    SFS_METRICS, /* .shieldfs/metrics */
    SFS_CONTAINER,
    SFS_HOOKS,
    SFS_COMPUTED,
    SFS_RAW,
} SfsKind;

/* What it takes to get to a container; passage.h has more. */
typedef struct SfsPassage SfsPassage;
void sfs_passage_unref(SfsPassage *passage);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SfsPassage, sfs_passage_unref)

/* What stands behind a container of the view: one directory at one place. Immutable but for the bundle's
 * cache, the directory's time of birth and what the index notes. */
typedef struct {
    gatomicrefcount refs;
    ShieldPlace *place;
    GMutex lock; /* a leaf: protects identity, st, known, passage, strayed, straying, wrong */
    ShieldIdentity identity;
    ShieldBundle *bundle;
    int unread;          /* atomic: it was there at the start, and what is in it is not known yet */
    int touched;         /* atomic: counts the events in its directory */
    SfsPacked st;        /* of the directory, and how many are in it; the lock protects them */
    int known;           /* what `touched` was before st was asked for; 0: never */
    guint version;       /* the bundle's, of which findings are; for its jobs alone */
    SfsPassage *passage; /* NULL: not known; the lock protects it */
    guint64 looked;      /* the last mark before its name was seen to lead to it; the index's */
    gint64 strayed;      /* when somebody was last told that its name leads elsewhere (monotonic time), */
    gint64 straying;     /* and the first time of late */
    guint32 wrong[SHIELD_N_LISTS]; /* what stands for what the log was told of each list; 0: nothing */
} SfsContainer;

SfsContainer *sfs_container_new(const ShieldPlace *place, const ShieldIdentity *identity,
                                const ShieldPolicy *policy);
SfsContainer *sfs_container_ref(SfsContainer *container);
void sfs_container_unref(SfsContainer *container);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SfsContainer, sfs_container_unref)

/* An event tells of a change in the directory, or of one of its attributes. Any thread, under any lock. */
void sfs_container_touch(SfsContainer *container);

/* Which directory it is; and that this one is the same, whatever has become of its time of birth. */
ShieldIdentity sfs_container_identity(SfsContainer *container);
void sfs_container_set_identity(SfsContainer *container, const ShieldIdentity *identity);

/* Somebody has come upon a node of it whose name leads elsewhere by now: the kernel will look for the other
 * one on his behalf. He finds nothing there if the kernel is told meanwhile that the directory he comes from
 * is removed: so that has to wait, until the time (monotonic, microseconds) that stray_until says; 0: it need
 * not. Who comes again and again can't make it wait for long. Any thread. */
void sfs_container_stray(SfsContainer *container);
gint64 sfs_container_stray_until(SfsContainer *container);

/* What watchers were told of a node last. */
typedef struct {
    struct stat st; /* as the view shows it; for a raw file size and mtime are the backing's */
    dev_t dev;      /* of a raw file: which one it was */
    ino_t ino;
    guint64 serial; /* of a computed file's content; 0: never told */
} SfsState;

/* Is mode or owner another than was told? */
gboolean sfs_state_access_differs(const SfsState *announced_state, const struct stat *st);

/* What there is of a directory besides; the tree's lock protects it. */
typedef struct {
    GHashTable *children; /* attached, by name; the tree's table of numbers holds the references */
    GHashTable *remnants; /* likewise, of those that are announced and not attached; NULL: there are none */
    guint untold;         /* so many of its children are attached and not announced */
    guint lost;           /* so many went before they were announced, and before anybody was shown them */
} SfsEntries;

/* There are some for each container: what is kept of each is as small as may be. */
typedef struct SfsNode {
    guint64 ino; /* first: a node's address is that of its number, and a table of nodes by number is a set */
    gatomicrefcount refs;
    guint8 kind;                    /* SfsKind */
    guint8 attached, announced;     /* the tree's lock protects them, */
    guint8 shown : 1, ended : 1;    /* and these; ended: watchers were told of its end */
    const char *name;               /* in `own`, if it stands nowhere else */
    struct SfsNode *parent;         /* a reference; NULL for the root */
    const ShieldComputed *computed; /* for SFS_COMPUTED */
    SfsContainer *container;        /* for SFS_CONTAINER and what is below it */
    /* The tree's lock protects the rest. */
    guint64 lookups;
    guint64 confirmed; /* when its name was last seen to be there, on the tree's clock */
    union {
        SfsEntries *entries; /* of a directory */
        guint32 wrong; /* of a file: what stands for what the log was told of it (wrong.h); 0: nothing */
    };
    SfsPacked told; /* with the rest of what watchers were told of it last */
    union {
        struct { /* of a computed file and the status file */
            guint64 told_serial;
            guint32 readers; /* with the lock of the container: so often it is open; */
            guint32 hidden;  /* somebody was shown since that it is empty (readers.h) */
        };
        struct {
            dev_t told_dev;
            ino_t told_ino;
        }; /* of all others */
    };
    char own[];
} SfsNode;

/* For the tree alone, which sets the rest. */
SfsNode *sfs_node_new(const char *name, SfsKind kind, const ShieldComputed *row, SfsContainer *container);
SfsNode *sfs_node_ref(SfsNode *node);
void sfs_node_unref(SfsNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SfsNode, sfs_node_unref)

gboolean sfs_node_is_directory(const SfsNode *node);

/* Do watchers hear when another content of it is to be had? Of what counts they don't: to count is no change.
 */
gboolean sfs_node_makes_news(const SfsNode *node);

/* A set of nodes in which each is found by its name; and how. */
GHashTable *sfs_nodes_by_name(void);
SfsNode *sfs_nodes_find(GHashTable *nodes, const char *name);

/* What watchers were told last. The tree's lock is held. */
SfsState sfs_node_told(const SfsNode *node);
void sfs_node_set_told(SfsNode *node, const SfsState *state);

typedef struct SfsTree SfsTree;

/* The root has the number 1, which the kernel gives it; first is that of the next node. */
SfsTree *sfs_tree_new(guint64 first);
void sfs_tree_free(SfsTree *tree);

/* All that return a node return a new reference. */
SfsNode *sfs_tree_root(SfsTree *tree);
SfsNode *sfs_tree_get(SfsTree *tree, guint64 ino);                         /* NULL: no such number */
SfsNode *sfs_tree_child(SfsTree *tree, SfsNode *parent, const char *name); /* NULL: no such name */

/* The child called name, which has just been seen; made if need be. One that is there but is something else
 * (another kind, another container) is detached first. NULL if parent itself is detached. */
SfsNode *sfs_tree_attach(SfsTree *tree, SfsNode *parent, const char *name, SfsKind kind,
                         const ShieldComputed *row, SfsContainer *container);

/* A clock that goes on by one whenever a name is seen. Whoever looks for a name takes the time before. If he
 * finds it gone, but somebody else has seen it since, it is there. */
guint64 sfs_tree_time(SfsTree *tree);

/* The name was gone at that time. */
void sfs_tree_detach(SfsTree *tree, SfsNode *parent, const char *name, guint64 time);

/* Every name that is not a key of names was gone at that time. */
void sfs_tree_retain(SfsTree *tree, SfsNode *parent, GHashTable *names, guint64 time);

gboolean sfs_tree_is_attached(SfsTree *tree, SfsNode *node);

/* Does a living node, another or the same, bear the name of this one, all the way up? */
gboolean sfs_tree_has_successor(SfsTree *tree, SfsNode *node);

/* The kernel was given the node once more; it gives it back n times. FALSE: it gave back more than it had.
 * Look up returns TRUE if the node is gone and was never announced: it may be watched from now on, and is a
 * ghost. */
gboolean sfs_tree_look_up(SfsTree *tree, SfsNode *node);
gboolean sfs_tree_forget(SfsTree *tree, guint64 ino, guint64 n);

/* How many nodes the kernel holds, the root left out. */
guint sfs_tree_count_looked_up(SfsTree *tree);

/* All containers of the view at this moment: an array of SfsContainer that owns references. */
GPtrArray *sfs_tree_containers(SfsTree *tree);

/* Counts what comes and goes in the root. */
guint64 sfs_tree_changes(SfsTree *tree);

/* How many containers there are. */
guint sfs_tree_count_containers(SfsTree *tree);

/* How many children are attached. */
guint sfs_tree_count_children(SfsTree *tree, SfsNode *parent);

/* The children that are attached; an array of SfsNode that owns references. */
GPtrArray *sfs_tree_attached_children(SfsTree *tree, SfsNode *parent);

/* The tree as announced. */
SfsNode *sfs_tree_announced_child(SfsTree *tree, SfsNode *parent, const char *name); /* NULL: not announced */
void sfs_tree_set_announced(SfsTree *tree, SfsNode *node, gboolean announced);
gboolean sfs_tree_is_announced(SfsTree *tree, SfsNode *node);
gboolean sfs_tree_is_told(SfsTree *tree, SfsNode *node); /* it is, and all that is in it */
SfsState sfs_tree_announced_state(SfsTree *tree, SfsNode *node);
void sfs_tree_set_announced_state(SfsTree *tree, SfsNode *node, const SfsState *announced_state);

/* What watchers know of a node that they were never told of, but that was there before them: state. No effect
 * if they were told. */
void sfs_tree_assume_state(SfsTree *tree, SfsNode *node, const SfsState *state);
gboolean sfs_state_is_known(const SfsState *announced_state);

/* The same for all that is in the directory, but its state is not known yet. */
void sfs_tree_assume_children(SfsTree *tree, SfsNode *directory);

/* The children that are attached or announced, each once; an array of SfsNode that owns references. */
GPtrArray *sfs_tree_children(SfsTree *tree, SfsNode *parent);

/* Exchanges what the log has been told of a file; 0 for a directory. See wrong.h. */
guint32 sfs_tree_note_wrong(SfsTree *tree, SfsNode *node, guint32 wrong);

/* Somebody else than the announcer is given the node. */
void sfs_tree_show(SfsTree *tree, SfsNode *node);
gboolean sfs_tree_is_shown(SfsTree *tree, SfsNode *node);

/* Counts those that go from the directory of which nobody will be told, as they were never shown. Who lists
 * it has shown none of them if this is the same when he has said what he shows. */
guint sfs_tree_count_lost(SfsTree *tree, SfsNode *directory);

/* Somebody else is given all that is in parent. An array of the children (references) that watchers have not
 * been told of: that they came, or that they went. */
GPtrArray *sfs_tree_show_children(SfsTree *tree, SfsNode *parent);

/* It is gone, and watchers were never told that it came. */
gboolean sfs_tree_is_untold(SfsTree *tree, SfsNode *node);

/* The same, and nobody can be waiting to hear of its end: the kernel does not hold it, so it is not watched,
 * and either nobody was shown it or its directory is gone too, whose end says that of all that was in it. */
gboolean sfs_tree_is_unmissed(SfsTree *tree, SfsNode *node);

/* What has gone since the last call before it was announced, ghosts among it, oldest first; an array of
 * SfsNode that owns references. */
GPtrArray *sfs_tree_take_untold(SfsTree *tree);
