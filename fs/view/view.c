/* SPDX-License-Identifier: Apache-2.0 */
/* view: names and listings; see view.h. */
#include "view/view_private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fault.h"
#include "hash.h"
#include "inspect.h"
#include "lock.h"
#include "view/findings.h"
#include "view/index.h"
#include "view/jobs.h"

const SfsMetaFile sfs_meta_files[SFS_N_META_FILES] = {
    {"metrics", SFS_METRICS}, {"status", SFS_STATUS}, {"version", SFS_VERSION}};

/* A later mount gets the same device number from the kernel. So a number must not be used for another file
 * there either: a program that ships logs would take the one for the other. Hence numbers start at the clock
 * in microseconds; no mount makes nodes faster than that. It stays below 2^53, up to which every program can
 * count, until the year 2255. */
static guint64 first_number(void)
{
    return (guint64)MAX(g_get_real_time(), 0);
}

SfsView *sfs_view_new(const SfsViewOptions *options, const char *mountpoint)
{
    SfsView *view = g_new0(SfsView, 1);

    view->allow_other = options->allow_other;
    view->policy = options->policy;
    view->catalog = shield_catalog_new(options->sources, mountpoint);
    view->tree = sfs_tree_new(first_number());
    view->index = sfs_index_new(view);
    view->findings = sfs_findings_new(view);
    view->jobs = sfs_jobs_new();
    g_mutex_init(&view->lock);
    clock_gettime(CLOCK_REALTIME, &view->started);
    return view;
}

void sfs_view_free(SfsView *view)
{
    sfs_jobs_free(view->jobs);
    sfs_findings_free(view->findings);
    sfs_index_free(view->index);
    g_clear_pointer(&view->listing, g_ptr_array_unref);
    g_mutex_clear(&view->lock);
    sfs_tree_free(view->tree);
    shield_catalog_free(view->catalog);
    g_free(view);
}

SfsTree *sfs_view_tree(const SfsView *view)
{
    return view->tree;
}

ShieldCatalog *sfs_view_catalog(const SfsView *view)
{
    return view->catalog;
}

void sfs_view_set_status(SfsView *view, SfsStatus *status)
{
    view->status = status;
}

void sfs_view_set_metrics(SfsView *view, SfsMetrics *metrics)
{
    view->metrics = metrics;
}

SfsIndex *sfs_view_index(const SfsView *view)
{
    return view->index;
}

SfsFindings *sfs_view_findings(const SfsView *view)
{
    return view->findings;
}

SfsJobs *sfs_view_jobs(const SfsView *view)
{
    return view->jobs;
}

SfsStatus *sfs_view_status(const SfsView *view)
{
    return view->status;
}

SfsMetrics *sfs_view_metrics(const SfsView *view)
{
    return view->metrics;
}

struct timespec sfs_view_started(const SfsView *view)
{
    return view->started;
}

const ShieldPolicy *sfs_view_policy(const SfsView *view)
{
    return &view->policy;
}

gboolean sfs_view_allows_others(const SfsView *view)
{
    return view->allow_other;
}

void sfs_view_set_drain(SfsView *view, void (*drain)(void *data), void *data)
{
    view->policy.drain = drain;
    view->policy.drain_data = data;
}

void sfs_view_set_vouch(SfsView *view, SfsVouchFunc vouch, void *data)
{
    view->vouch = vouch;
    view->vouch_data = data;
}

void sfs_view_set_kept(SfsView *view, void (*kept)(void *data), void *data)
{
    view->kept = kept;
    view->kept_data = data;
}

gint64 sfs_view_close_unused(SfsView *view)
{
    return sfs_index_expire(view->index, FALSE);
}

void sfs_view_forget(SfsView *view)
{
    g_autoptr(GPtrArray) containers = sfs_tree_containers(view->tree);

    shield_sources_forget(shield_catalog_sources(view->catalog));
    for (guint i = 0; i < containers->len; i++) {
        const SfsContainer *container = g_ptr_array_index(containers, i);

        shield_bundle_forget(container->bundle);
    }
}

int sfs_view_resolve(SfsView *view, guint64 ino, SfsNode **node)
{
    g_autoptr(SfsNode) known = sfs_tree_get(view->tree, ino);

    *node = NULL;
    if (known && known->container)
        sfs_index_confirm(view->index, known->container);
    if (!known || !sfs_tree_is_attached(view->tree, known)) {
        gboolean elsewhere = known && sfs_tree_has_successor(view->tree, known);

        if (elsewhere && known->container)
            sfs_container_stray(known->container);
        return elsewhere ? ESTALE : ENOENT;
    }
    *node = g_steal_pointer(&known);
    return 0;
}

/* Looks at each name on the way to node as if nothing were known of it; a new reference to what is there now,
 * or NULL. */
static SfsNode *look_again(SfsView *view, const SfsNode *node)
{
    if (!node->parent)
        return sfs_tree_root(view->tree);

    g_autoptr(SfsNode) parent = look_again(view, node->parent);
    SfsNode *now = NULL;

    if (parent)
        (void)sfs_view_lookup(view, parent, node->name, &now);
    return now;
}

gboolean sfs_view_tells(SfsView *view, const SfsNode *node)
{
    if (!node->container)
        return TRUE; /* it never does */
    return sfs_index_is_exact(view->index) &&
           (node->kind == SFS_CONTAINER || shield_bundle_is_watched(node->container->bundle));
}

int sfs_view_errno_of_gone(SfsView *view, const SfsNode *node)
{
    g_autoptr(SfsNode) now = look_again(view, node);

    return now && !shield_fault(SHIELD_FAULT_ESTALE) ? ESTALE : ENOENT;
}

SfsDirectory *sfs_view_open_container(SfsView *view, SfsContainer *container)
{
    return sfs_index_open(view->index, container);
}

static SfsDirectory *open_hooks(SfsView *view, SfsContainer *container)
{
    g_autoptr(SfsDirectory) bundle = sfs_view_open_container(view, container);
    int fd = bundle ? shield_open_within(bundle->fd, shield_layout_name(SHIELD_HOOKS_DIR)) : -1;

    return fd < 0 ? NULL : sfs_directory_new(fd);
}

SfsDirectory *sfs_view_open_directory(SfsView *view, const SfsNode *directory)
{
    return directory->kind == SFS_HOOKS ? open_hooks(view, directory->container)
                                        : sfs_view_open_container(view, directory->container);
}

SfsDirectory *sfs_view_open_parent(SfsView *view, const SfsNode *node)
{
    return sfs_view_open_directory(view, node->parent);
}

static SfsNode *lookup_in_meta(SfsView *view, SfsNode *meta, const char *name)
{
    for (gsize i = 0; i < SFS_N_META_FILES; i++) {
        if (strcmp(sfs_meta_files[i].name, name) == 0)
            return sfs_tree_attach(view->tree, meta, name, sfs_meta_files[i].kind, NULL, NULL);
    }
    errno = ENOENT;
    return NULL;
}

/* Is something mounted over name? */
static gboolean is_covered(int dirfd, const char *name)
{
    g_auto(ShieldFd) fd = shield_open_within(dirfd, name);

    return fd < 0 && errno == EXDEV;
}

gboolean sfs_view_is_attached(SfsView *view, SfsNode *parent, const char *name)
{
    g_autoptr(SfsNode) node = sfs_tree_child(view->tree, parent, name);

    return node != NULL;
}

/* How many of those that the contract names have a node in a bundle's directory. */
static guint count_known(SfsView *view, SfsNode *directory)
{
    guint n = 0;

    for (int file = 0; file < SHIELD_N_FILES; file++) {
        const char *name = shield_layout_name((ShieldFile)file);

        n += name && sfs_view_is_attached(view, directory, name);
    }
    for (guint i = 0; i < shield_computed_n; i++)
        n += sfs_view_is_attached(view, directory, shield_computed[i].name);
    return n;
}

/* May name be shown? Where there are too many, what has a node keeps it, and what comes has to wait until one
 * of these has gone. So a look-up needs no listing to be of one mind with all listings. */
static gboolean has_room(SfsView *view, SfsNode *parent, const char *name)
{
    gboolean in_hooks = parent->kind == SFS_HOOKS;
    guint n;

    if (!shield_is_counted(name, in_hooks) || sfs_view_is_attached(view, parent, name))
        return TRUE;
    n = sfs_tree_count_children(view->tree, parent);
    return n < SHIELD_MAX_NAMES || (!in_hooks && n - count_known(view, parent) < SHIELD_MAX_NAMES);
}

SfsNode *sfs_view_attach_raw(SfsView *view, SfsNode *parent, int dirfd, const char *name, mode_t type)
{
    switch (shield_shows(name, type, parent->kind == SFS_HOOKS)) {
    case SHIELD_SHOW_DIRECTORY:
        if (is_covered(dirfd, name)) {
            errno = ENOENT;
            return NULL;
        }
        return sfs_tree_attach(view->tree, parent, name, SFS_HOOKS, NULL, parent->container);
    case SHIELD_SHOW_FILE:
        if (has_room(view, parent, name))
            return sfs_tree_attach(view->tree, parent, name, SFS_RAW, NULL, parent->container);
        errno = ENOENT;
        return NULL;
    case SHIELD_SHOW_NOT:
    default:
        errno = ENOENT;
        return NULL;
    }
}

static SfsNode *lookup_in_bundle(SfsView *view, SfsNode *parent, const char *name)
{
    const ShieldComputed *row = parent->kind == SFS_HOOKS ? NULL : shield_computed_find(name);
    g_autoptr(SfsDirectory) directory = sfs_view_open_directory(view, parent);
    struct stat st;

    if (!directory)
        return NULL;
    if (row)
        return sfs_tree_attach(view->tree, parent, name, SFS_COMPUTED, row, parent->container);
    return shield_stat(directory->fd, name, &st) < 0
               ? NULL
               : sfs_view_attach_raw(view, parent, directory->fd, name, st.st_mode & S_IFMT);
}

/* The index has put what it found into the tree. */
static int lookup_in_root(SfsView *view, SfsNode *root, const char *name, SfsNode **node)
{
    if (strcmp(name, SFS_META_NAME) != 0)
        return sfs_index_find(view->index, root, name, node);
    *node = sfs_tree_attach(view->tree, root, name, SFS_META, NULL, NULL);
    return 0;
}

int sfs_view_lookup(SfsView *view, SfsNode *parent, const char *name, SfsNode **node)
{
    guint64 time = sfs_tree_time(view->tree);

    *node = NULL;
    if (strlen(name) > NAME_MAX)
        return ENAMETOOLONG; /* what there might be is not shown */
    if (parent->kind == SFS_ROOT)
        return lookup_in_root(view, parent, name, node);
    errno = ENOENT; /* for an attach that finds its parent gone */
    switch (parent->kind) {
    case SFS_META:
        *node = lookup_in_meta(view, parent, name);
        break;
    case SFS_CONTAINER:
    case SFS_HOOKS:
        *node = lookup_in_bundle(view, parent, name);
        break;
    case SFS_ROOT:
    case SFS_VERSION:
    case SFS_STATUS:
    case SFS_METRICS:
    case SFS_COMPUTED:
    case SFS_RAW:
    default:
        errno = ENOTDIR;
        break;
    }
    if (*node)
        return 0;

    int errnum = errno == ENOTDIR || errno == ELOOP ? ENOENT : errno;
    if (errnum == ENOENT && sfs_node_is_directory(parent))
        sfs_tree_detach(view->tree, parent, name, time);
    return errnum;
}

SfsNode *sfs_view_status_node(SfsView *view)
{
    g_autoptr(SfsNode) root = sfs_tree_root(view->tree);
    g_autoptr(SfsNode) meta = sfs_tree_attach(view->tree, root, SFS_META_NAME, SFS_META, NULL, NULL);

    return sfs_tree_attach(view->tree, meta, "status", SFS_STATUS, NULL, NULL);
}

int sfs_view_count_containers(SfsView *view, guint *count)
{
    g_autoptr(SfsNode) root = sfs_tree_root(view->tree);
    g_autoptr(GPtrArray) nodes = NULL;
    int errnum = sfs_index_list(view->index, root, &nodes);

    *count = errnum ? 0 : sfs_tree_count_containers(view->tree);
    return errnum;
}
