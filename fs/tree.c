/* SPDX-License-Identifier: Apache-2.0 */
/* tree: nodes, their numbers and the kernel's counts; see tree.h for the model. */
#include "tree.h"

#include <string.h>

struct SfsTree {
    GMutex lock;
    guint64 next_ino;
    GHashTable *nodes; /* number to node; holds a reference on each attached or looked-up one */
    SfsNode *root;
};

SfsContainer *sfs_container_new(const ShieldPlace *place, const ShieldIdentity *identity,
                                const ShieldPolicy *policy)
{
    SfsContainer *container = g_new0(SfsContainer, 1);

    g_atomic_ref_count_init(&container->refs);
    container->place = shield_place_copy(place);
    container->identity = *identity;
    container->bundle = shield_bundle_new(place->name, policy);
    return container;
}

SfsContainer *sfs_container_ref(SfsContainer *container)
{
    g_atomic_ref_count_inc(&container->refs);
    return container;
}

void sfs_container_unref(SfsContainer *container)
{
    if (!g_atomic_ref_count_dec(&container->refs))
        return;
    shield_place_free(container->place);
    shield_bundle_unref(container->bundle);
    g_free(container);
}

SfsNode *sfs_node_ref(SfsNode *node)
{
    g_atomic_ref_count_inc(&node->refs);
    return node;
}

void sfs_node_unref(SfsNode *node)
{
    if (!g_atomic_ref_count_dec(&node->refs))
        return;
    g_clear_pointer(&node->parent, sfs_node_unref);
    g_clear_pointer(&node->container, sfs_container_unref);
    g_clear_pointer(&node->children, g_hash_table_unref);
    g_free(node->name);
    g_free(node);
}

gboolean sfs_node_is_directory(const SfsNode *node)
{
    return node->kind == SFS_ROOT || node->kind == SFS_META || node->kind == SFS_CONTAINER ||
           node->kind == SFS_HOOKS;
}

/* Lock held. The table takes the first reference. */
static SfsNode *node_new(SfsTree *tree, SfsNode *parent, const char *name, SfsKind kind)
{
    SfsNode *node = g_new0(SfsNode, 1);

    g_atomic_ref_count_init(&node->refs);
    node->ino = tree->next_ino++;
    node->kind = kind;
    node->name = g_strdup(name);
    node->parent = parent ? sfs_node_ref(parent) : NULL;
    node->attached = TRUE;
    if (sfs_node_is_directory(node))
        node->children = g_hash_table_new(g_str_hash, g_str_equal);
    if (parent)
        g_hash_table_insert(parent->children, node->name, node);
    g_hash_table_insert(tree->nodes, &node->ino, node);
    return node;
}

SfsTree *sfs_tree_new(void)
{
    SfsTree *tree = g_new0(SfsTree, 1);

    g_mutex_init(&tree->lock);
    tree->next_ino = 1; /* the kernel's number for the root */
    tree->nodes = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)sfs_node_unref);
    tree->root = node_new(tree, NULL, "", SFS_ROOT);
    return tree;
}

void sfs_tree_free(SfsTree *tree)
{
    g_hash_table_unref(tree->nodes);
    g_mutex_clear(&tree->lock);
    g_free(tree);
}

/* Lock held. */
static void leave_if_unused(SfsTree *tree, SfsNode *node)
{
    if (!node->attached && node->lookups == 0)
        g_hash_table_remove(tree->nodes, &node->ino);
}

/* Lock held. Takes the node and all below it out of reach by name. */
static void detach(SfsTree *tree, SfsNode *node)
{
    GHashTableIter iter;
    void *child;

    node->attached = FALSE;
    if (node->children) {
        g_hash_table_iter_init(&iter, node->children);
        while (g_hash_table_iter_next(&iter, NULL, &child)) {
            g_hash_table_iter_remove(&iter);
            detach(tree, child);
        }
    }
    leave_if_unused(tree, node);
}

SfsNode *sfs_tree_root(SfsTree *tree)
{
    return sfs_node_ref(tree->root);
}

SfsNode *sfs_tree_get(SfsTree *tree, guint64 ino)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
    SfsNode *node = g_hash_table_lookup(tree->nodes, &ino);

    return node ? sfs_node_ref(node) : NULL;
}

SfsNode *sfs_tree_child(SfsTree *tree, SfsNode *parent, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
    SfsNode *node = g_hash_table_lookup(parent->children, name);

    return node ? sfs_node_ref(node) : NULL;
}

SfsNode *sfs_tree_attach(SfsTree *tree, SfsNode *parent, const char *name, SfsKind kind,
                         const ShieldSynth *synth, SfsContainer *container)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
    SfsNode *node = g_hash_table_lookup(parent->children, name);

    if (!parent->attached)
        return NULL;
    if (node && (node->kind != kind || node->container != container)) {
        g_hash_table_remove(parent->children, name);
        detach(tree, node);
        node = NULL;
    }
    if (!node) {
        node = node_new(tree, parent, name, kind);
        node->synth = synth;
        node->container = container ? sfs_container_ref(container) : NULL;
    }
    return sfs_node_ref(node);
}

void sfs_tree_detach(SfsTree *tree, SfsNode *parent, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
    SfsNode *node = g_hash_table_lookup(parent->children, name);

    if (node) {
        g_hash_table_remove(parent->children, name);
        detach(tree, node);
    }
}

void sfs_tree_retain(SfsTree *tree, SfsNode *parent, GHashTable *names)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
    GHashTableIter iter;
    void *name, *node;

    g_hash_table_iter_init(&iter, parent->children);
    while (g_hash_table_iter_next(&iter, &name, &node)) {
        if (!g_hash_table_contains(names, name)) {
            g_hash_table_iter_remove(&iter);
            detach(tree, node);
        }
    }
}

gboolean sfs_tree_is_attached(SfsTree *tree, SfsNode *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);

    return node->attached;
}

/* Lock held. */
static SfsNode *find_living(SfsTree *tree, const SfsNode *node)
{
    if (!node->parent)
        return tree->root;

    SfsNode *parent = find_living(tree, node->parent);
    return parent && parent->children ? g_hash_table_lookup(parent->children, node->name) : NULL;
}

gboolean sfs_tree_has_successor(SfsTree *tree, SfsNode *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);

    return find_living(tree, node) != NULL;
}

void sfs_tree_look_up(SfsTree *tree, SfsNode *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);

    if (node->lookups++ == 0 && !node->attached) /* it may have left the table since the caller got it */
        g_hash_table_insert(tree->nodes, &node->ino, sfs_node_ref(node));
}

gboolean sfs_tree_forget(SfsTree *tree, guint64 ino, guint64 n)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
    SfsNode *node = g_hash_table_lookup(tree->nodes, &ino);

    if (!node || node->lookups < n)
        return FALSE;
    node->lookups -= n;
    leave_if_unused(tree, node);
    return TRUE;
}

guint sfs_tree_count_looked_up(SfsTree *tree)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
    GHashTableIter iter;
    void *node;
    guint n = 0;

    g_hash_table_iter_init(&iter, tree->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &node))
        n += node != tree->root && ((SfsNode *)node)->lookups > 0;
    return n;
}

GPtrArray *sfs_tree_containers(SfsTree *tree)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tree->lock);
    GPtrArray *containers = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_container_unref);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, tree->root->children);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SfsNode *node = value;

        if (node->kind == SFS_CONTAINER)
            g_ptr_array_add(containers, sfs_container_ref(node->container));
    }
    return containers;
}
