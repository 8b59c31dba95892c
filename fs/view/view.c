/* SPDX-License-Identifier: Apache-2.0 */
/* view: names and listings; see view.h. */
#include "view/view_private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "directory.h"
#include "error.h"
#include "fault.h"
#include "hash.h"
#include "inspect.h"
#include "lock.h"
#include "view/index.h"

/* The files of .shieldfs, sorted. */
static const struct {
    const char *name;
    SfsKind kind;
} meta_files[] = {{"status", SFS_STATUS}, {"version", SFS_VERSION}};

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
    g_mutex_init(&view->lock);
    clock_gettime(CLOCK_REALTIME, &view->started);
    return view;
}

void sfs_view_free(SfsView *view)
{
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

SfsIndex *sfs_view_index(const SfsView *view)
{
    return view->index;
}

SfsStatus *sfs_view_status(const SfsView *view)
{
    return view->status;
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
    if (!known || !sfs_tree_is_attached(view->tree, known))
        return known && sfs_tree_has_successor(view->tree, known) ? ESTALE : ENOENT;
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

static SfsDirectory *open_directory(SfsView *view, const SfsNode *directory)
{
    return directory->kind == SFS_HOOKS ? open_hooks(view, directory->container)
                                        : sfs_view_open_container(view, directory->container);
}

SfsDirectory *sfs_view_open_parent(SfsView *view, const SfsNode *node)
{
    return open_directory(view, node->parent);
}

static SfsNode *lookup_in_meta(SfsView *view, SfsNode *meta, const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(meta_files); i++) {
        if (strcmp(meta_files[i].name, name) == 0)
            return sfs_tree_attach(view->tree, meta, name, meta_files[i].kind, NULL, NULL);
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

/* The child for what stands under name in the directory of parent, which is dirfd. */
static SfsNode *attach_raw(SfsView *view, SfsNode *parent, int dirfd, const char *name, mode_t type)
{
    switch (shield_shows(name, type, parent->kind == SFS_HOOKS)) {
    case SHIELD_SHOW_DIRECTORY:
        if (is_covered(dirfd, name)) {
            errno = ENOENT;
            return NULL;
        }
        return sfs_tree_attach(view->tree, parent, name, SFS_HOOKS, NULL, parent->container);
    case SHIELD_SHOW_FILE:
        return sfs_tree_attach(view->tree, parent, name, SFS_RAW, NULL, parent->container);
    case SHIELD_SHOW_NOT:
    default:
        errno = ENOENT;
        return NULL;
    }
}

static SfsNode *lookup_in_bundle(SfsView *view, SfsNode *parent, const char *name)
{
    const ShieldComputed *row = parent->kind == SFS_HOOKS ? NULL : shield_computed_find(name);
    g_autoptr(SfsDirectory) directory = open_directory(view, parent);
    struct stat st;

    if (!directory)
        return NULL;
    if (row)
        return sfs_tree_attach(view->tree, parent, name, SFS_COMPUTED, row, parent->container);
    return shield_stat(directory->fd, name, &st) < 0
               ? NULL
               : attach_raw(view, parent, directory->fd, name, st.st_mode & S_IFMT);
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

/* Listings. */
static void entry_free(void *data)
{
    SfsEntry *entry = data;

    g_free(entry->name);
    g_free(entry);
}

static void add_entry(GPtrArray *entries, guint64 ino, const char *name, gboolean directory)
{
    SfsEntry *entry = g_new(SfsEntry, 1);

    *entry = (SfsEntry){ino, g_strdup(name), directory ? S_IFDIR : S_IFREG};
    g_ptr_array_add(entries, entry);
}

/* Adds the node, which may be NULL if it has gone meanwhile, and drops the reference. */
static void add_node(GPtrArray *entries, SfsNode *node)
{
    if (!node)
        return;
    add_entry(entries, node->ino, node->name, sfs_node_is_directory(node));
    sfs_node_unref(node);
}

static int compare_entries(const void *pa, const void *pb)
{
    const SfsEntry *const *a = pa, *const *b = pb;

    return strcmp((*a)->name, (*b)->name);
}

static void finish_listing(SfsNode *directory, GPtrArray *entries)
{
    add_entry(entries, directory->ino, ".", TRUE);
    add_entry(entries, directory->parent ? directory->parent->ino : directory->ino, "..", TRUE);
    g_ptr_array_sort(entries, compare_entries);
}

static GPtrArray *entries_of(SfsNode *root, GPtrArray *nodes)
{
    GPtrArray *entries = g_ptr_array_new_with_free_func(entry_free);

    for (guint i = 0; i < nodes->len; i++)
        add_node(entries, sfs_node_ref(g_ptr_array_index(nodes, i)));
    finish_listing(root, entries);
    return entries;
}

/* The listing of all in the tree is kept until something comes or goes. */
static GPtrArray *entries_of_tree(SfsView *view, SfsNode *root)
{
    SHIELD_AUTO_LOCK(&view->lock);
    guint64 changes = sfs_tree_changes(view->tree);

    if (!view->listing || view->listed != changes) {
        g_autoptr(GPtrArray) nodes = sfs_tree_attached_children(view->tree, root);

        g_clear_pointer(&view->listing, g_ptr_array_unref);
        view->listing = entries_of(root, nodes);
        view->listed = changes;
    }
    return g_ptr_array_ref(view->listing);
}

static int list_root(SfsView *view, SfsNode *root, GPtrArray **entries)
{
    g_autoptr(SfsNode) meta = sfs_tree_attach(view->tree, root, SFS_META_NAME, SFS_META, NULL, NULL);
    g_autoptr(GPtrArray) nodes = NULL;
    int errnum = sfs_index_list(view->index, root, &nodes);

    if (errnum)
        return errnum;
    if (nodes)
        g_ptr_array_add(nodes, g_steal_pointer(&meta));
    *entries = nodes ? entries_of(root, nodes) : entries_of_tree(view, root);
    return 0;
}

static int list_bundle(SfsView *view, SfsNode *directory, GPtrArray *entries)
{
    gboolean in_hooks = directory->kind == SFS_HOOKS;
    g_autoptr(SfsDirectory) open = open_directory(view, directory);
    g_autoptr(GPtrArray) found = open ? shield_directory_list(open->fd) : NULL;

    if (!found)
        return errno;
    for (guint i = 0; i < found->len; i++) {
        const ShieldEntry *entry = g_ptr_array_index(found, i);

        if (in_hooks || !shield_computed_find(entry->name))
            add_node(entries, attach_raw(view, directory, open->fd, entry->name, entry->type));
    }
    for (guint i = 0; i < shield_computed_n && !in_hooks; i++)
        add_node(entries, sfs_tree_attach(view->tree, directory, shield_computed[i].name, SFS_COMPUTED,
                                          &shield_computed[i], directory->container));
    return 0;
}

static void list_meta(SfsView *view, SfsNode *meta, GPtrArray *entries)
{
    for (gsize i = 0; i < G_N_ELEMENTS(meta_files); i++)
        add_node(entries,
                 sfs_tree_attach(view->tree, meta, meta_files[i].name, meta_files[i].kind, NULL, NULL));
}

static void retain_listed(SfsView *view, SfsNode *directory, GPtrArray *entries, guint64 time)
{
    g_autoptr(GHashTable) names = g_hash_table_new(shield_hash_name, g_str_equal);

    for (guint i = 0; i < entries->len; i++)
        g_hash_table_add(names, ((SfsEntry *)g_ptr_array_index(entries, i))->name);
    sfs_tree_retain(view->tree, directory, names, time);
}

int sfs_view_list(SfsView *view, SfsNode *directory, GPtrArray **entries)
{
    g_autoptr(GPtrArray) found = NULL;
    guint64 time = sfs_tree_time(view->tree);
    int errnum = 0;

    *entries = NULL;
    if (directory->kind == SFS_ROOT)
        return list_root(view, directory, entries);
    found = g_ptr_array_new_with_free_func(entry_free);
    if (directory->kind == SFS_META)
        list_meta(view, directory, found);
    else
        errnum = list_bundle(view, directory, found);
    if (errnum)
        return errnum;
    retain_listed(view, directory, found, time);
    finish_listing(directory, found);
    *entries = g_steal_pointer(&found);
    return 0;
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
