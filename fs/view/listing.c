/* SPDX-License-Identifier: Apache-2.0 */
/* listing: what is in a directory of the view; see view.h. */
#include <errno.h>
#include <string.h>

#include "directory.h"
#include "hash.h"
#include "inspect.h"
#include "lock.h"
#include "view/index.h"
#include "view/passage.h"
#include "view/view_private.h"

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

/* The directory of a source that a container lies in. */
static char *holder_of(const SfsContainer *container)
{
    g_autofree char *holder = g_path_get_dirname(container->place->path);

    return g_strdup_printf("%u/%s", container->place->source, holder);
}

/* Is the caller to be told of the container? Who may list what holds one may list all that it holds. */
static gboolean shows(SfsView *view, SfsContainer *container, SfsCaller *caller, GHashTable *listed,
                      SfsPassage **known)
{
    g_autofree char *holder = holder_of(container);

    if (g_hash_table_contains(listed, holder))
        return TRUE;
    switch (sfs_passage_shows(view, container, caller, known)) {
    case SFS_SHOWN_ALL:
        g_hash_table_add(listed, g_steal_pointer(&holder));
        return TRUE;
    case SFS_SHOWN:
        return TRUE;
    case SFS_SHOWN_NOT:
    default:
        return FALSE;
    }
}

/* Takes those out that the caller is not to be told of. */
static GPtrArray *shown_to(SfsView *view, SfsNode *root, GPtrArray *entries, SfsCaller *caller)
{
    g_autoptr(GHashTable) listed = g_hash_table_new_full(shield_hash_name, g_str_equal, g_free, NULL);
    g_autoptr(SfsPassage) known = NULL;
    GPtrArray *shown;

    if (sfs_caller_is_privileged(caller))
        return g_ptr_array_ref(entries);
    shown = g_ptr_array_new_with_free_func(entry_free);
    for (guint i = 0; i < entries->len; i++) {
        const SfsEntry *entry = g_ptr_array_index(entries, i);
        g_autoptr(SfsNode) node = sfs_tree_child(view->tree, root, entry->name);

        if (*entry->name == '.' ||
            (node && node->container && shows(view, node->container, caller, listed, &known)))
            add_entry(shown, entry->ino, entry->name, S_ISDIR(entry->type));
    }
    return shown;
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

/* A directory that is being listed. */
typedef struct {
    SfsView *view;
    SfsNode *directory;
} Listing;

static ShieldKeep keep(void *data, const ShieldEntry *entry)
{
    const Listing *listing = data;
    gboolean in_hooks = listing->directory->kind == SFS_HOOKS;

    if (shield_shows(entry->name, entry->type, in_hooks) == SHIELD_SHOW_NOT ||
        (!in_hooks && shield_computed_find(entry->name)))
        return SHIELD_KEEP_NOT;
    if (!shield_is_counted(entry->name, in_hooks))
        return SHIELD_KEEP_ALWAYS;
    return sfs_view_is_attached(listing->view, listing->directory, entry->name) ? SHIELD_KEEP_FIRST
                                                                                : SHIELD_KEEP_OTHER;
}

/* Those that have gone make room for others. */
static void retain_listed(SfsView *view, SfsNode *directory, GPtrArray *found, guint64 time)
{
    g_autoptr(GHashTable) names = g_hash_table_new(shield_hash_name, g_str_equal);

    for (guint i = 0; i < found->len; i++)
        g_hash_table_add(names, ((ShieldEntry *)g_ptr_array_index(found, i))->name);
    for (guint i = 0; i < shield_computed_n && directory->kind != SFS_HOOKS; i++)
        g_hash_table_add(names, (char *)shield_computed[i].name);
    sfs_tree_retain(view->tree, directory, names, time);
}

/* May all callers list what is open? */
static gboolean may_list(SfsView *view, SfsNode *directory, const SfsDirectory *open,
                         SfsCaller *const *callers)
{
    g_autoptr(SfsDemands) way = NULL;
    g_autoptr(SfsDemands) demands = NULL;
    ShieldRights rights;

    if (!view->allow_other || !callers)
        return TRUE;
    way = directory->kind == SFS_HOOKS ? sfs_passage_into(view, directory->container)
                                       : sfs_passage_to(view, directory->container);
    if (!way || !shield_rights_of(open->fd, &rights))
        return FALSE;
    demands = sfs_demands_new(way);
    sfs_demands_add(demands, &rights, SFS_READ);
    shield_rights_clear(&rights);
    for (; *callers; callers++) {
        if (!sfs_access_allows(demands, *callers))
            return FALSE;
    }
    return TRUE;
}

static int list_bundle(SfsView *view, SfsNode *directory, SfsCaller *const *callers, GPtrArray *entries)
{
    Listing listing = {view, directory};
    guint64 time = sfs_tree_time(view->tree);
    g_autoptr(SfsDirectory) open = sfs_view_open_directory(view, directory);
    g_autoptr(GPtrArray) found = NULL;

    if (open && !may_list(view, directory, open, callers))
        return EACCES;
    found = open ? shield_directory_list_most(open->fd, SHIELD_MAX_NAMES, keep, &listing) : NULL;
    if (!found)
        return errno;
    retain_listed(view, directory, found, time);
    for (guint i = 0; i < found->len; i++) {
        const ShieldEntry *entry = g_ptr_array_index(found, i);
        SfsNode *node = sfs_view_attach_raw(view, directory, open->fd, entry->name, entry->type);

        if (!node)
            sfs_tree_detach(view->tree, directory, entry->name, time);
        add_node(entries, node);
    }
    for (guint i = 0; i < shield_computed_n && directory->kind != SFS_HOOKS; i++)
        add_node(entries, sfs_tree_attach(view->tree, directory, shield_computed[i].name, SFS_COMPUTED,
                                          &shield_computed[i], directory->container));
    return 0;
}

static void list_meta(SfsView *view, SfsNode *meta, GPtrArray *entries)
{
    for (gsize i = 0; i < SFS_N_META_FILES; i++)
        add_node(entries, sfs_tree_attach(view->tree, meta, sfs_meta_files[i].name, sfs_meta_files[i].kind,
                                          NULL, NULL));
}

/* The root's entries, without those that one of the callers is not to be told of. */
static int list_root_to(SfsView *view, SfsNode *root, SfsCaller *const *callers, GPtrArray **entries)
{
    int errnum = list_root(view, root, entries);

    for (; !errnum && view->allow_other && callers && *callers; callers++) {
        g_autoptr(GPtrArray) all = *entries;

        *entries = shown_to(view, root, all, *callers);
    }
    return errnum;
}

int sfs_view_list(SfsView *view, SfsNode *directory, SfsCaller *const *callers, GPtrArray **entries)
{
    g_autoptr(GPtrArray) found = NULL;
    int errnum = 0;

    *entries = NULL;
    if (directory->kind == SFS_ROOT)
        return list_root_to(view, directory, callers, entries);
    found = g_ptr_array_new_with_free_func(entry_free);
    if (directory->kind == SFS_META)
        list_meta(view, directory, found);
    else
        errnum = list_bundle(view, directory, callers, found);
    if (errnum)
        return errnum;
    finish_listing(directory, found);
    *entries = g_steal_pointer(&found);
    return 0;
}
