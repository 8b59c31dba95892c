/* SPDX-License-Identifier: Apache-2.0 */
/* tree: nodes, their numbers and the kernel's counts; see tree.h for the model. */
#include "view/tree.h"

#include <string.h>

#include "hash.h"
#include "lock.h"

struct SfsTree {
    GMutex lock;
    guint64 next_ino;
    guint64 time;
    GHashTable *nodes; /* number to node; holds a reference on each attached or looked-up one */
    SfsNode *root;
    GPtrArray *ghosts; /* references */
    guint64 changes;
};

SfsContainer *sfs_container_new(const ShieldPlace *place, const ShieldIdentity *identity,
                                const ShieldPolicy *policy)
{
    SfsContainer *container = g_new0(SfsContainer, 1);

    g_atomic_ref_count_init(&container->refs);
    container->place = shield_place_copy(place);
    g_mutex_init(&container->lock);
    container->identity = *identity;
    container->bundle = shield_bundle_new(place->name, policy);
    container->touched = 1;
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
    g_clear_pointer(&container->problems, g_ptr_array_unref);
    g_clear_pointer(&container->degraded, g_ptr_array_unref);
    shield_place_free(container->place);
    shield_bundle_unref(container->bundle);
    g_mutex_clear(&container->lock);
    g_free(container);
}

void sfs_container_touch(SfsContainer *container)
{
    g_atomic_int_inc(&container->touched);
}

ShieldIdentity sfs_container_identity(SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&container->lock);

    return container->identity;
}

void sfs_container_set_identity(SfsContainer *container, const ShieldIdentity *identity)
{
    SHIELD_AUTO_LOCK(&container->lock);

    container->identity = *identity;
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
    g_clear_pointer(&node->announced_children, g_hash_table_unref);
    g_free(node->name);
    g_free(node->error);
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
    if (sfs_node_is_directory(node)) {
        node->children = g_hash_table_new(shield_hash_name, g_str_equal);
        node->announced_children = g_hash_table_new(shield_hash_name, g_str_equal);
    }
    if (parent) {
        g_hash_table_insert(parent->children, node->name, node);
        parent->untold++;
        if (parent == tree->root)
            tree->changes++;
    }
    g_hash_table_insert(tree->nodes, &node->ino, node);
    return node;
}

SfsTree *sfs_tree_new(guint64 first)
{
    SfsTree *tree = g_new0(SfsTree, 1);

    g_mutex_init(&tree->lock);
    tree->next_ino = 1; /* the kernel's number for the root */
    tree->nodes = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)sfs_node_unref);
    tree->ghosts = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    tree->root = node_new(tree, NULL, "", SFS_ROOT);
    tree->root->announced = TRUE;
    tree->next_ino = MAX(first, tree->next_ino);
    return tree;
}

void sfs_tree_free(SfsTree *tree)
{
    g_ptr_array_unref(tree->ghosts);
    g_hash_table_unref(tree->nodes);
    g_mutex_clear(&tree->lock);
    g_free(tree);
}

/* Lock held. */
static void leave_if_unused(SfsTree *tree, SfsNode *node)
{
    if (!node->attached && !node->announced && node->lookups == 0)
        g_hash_table_remove(tree->nodes, &node->ino);
}

/* Lock held. Takes the node and all below it out of reach by name. */
static void detach(SfsTree *tree, SfsNode *node)
{
    GHashTableIter iter;
    void *child;

    node->attached = FALSE;
    if (!node->announced)
        node->parent->untold--;
    if (node->parent == tree->root)
        tree->changes++;
    if (node->shown && !node->announced)
        g_ptr_array_add(tree->ghosts, sfs_node_ref(node));
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
    SHIELD_AUTO_LOCK(&tree->lock);
    SfsNode *node = g_hash_table_lookup(tree->nodes, &ino);

    return node ? sfs_node_ref(node) : NULL;
}

SfsNode *sfs_tree_child(SfsTree *tree, SfsNode *parent, const char *name)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    SfsNode *node = g_hash_table_lookup(parent->children, name);

    return node ? sfs_node_ref(node) : NULL;
}

/* Two threads may have found the same directory, each by itself. */
static gboolean same_container(SfsContainer *a, SfsContainer *b)
{
    if (a == b)
        return TRUE;
    if (!a || !b || !shield_place_equal(a->place, b->place))
        return FALSE;

    ShieldIdentity of_a = sfs_container_identity(a), of_b = sfs_container_identity(b);
    return shield_identity_equal(&of_a, &of_b);
}

SfsNode *sfs_tree_attach(SfsTree *tree, SfsNode *parent, const char *name, SfsKind kind,
                         const ShieldComputed *row, SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    SfsNode *node = g_hash_table_lookup(parent->children, name);

    if (!parent->attached)
        return NULL;
    if (node && (node->kind != kind || !same_container(node->container, container))) {
        g_hash_table_remove(parent->children, name);
        detach(tree, node);
        node = NULL;
    }
    if (!node) {
        node = node_new(tree, parent, name, kind);
        node->computed = row;
        node->container = container ? sfs_container_ref(container) : NULL;
    }
    node->confirmed = ++tree->time;
    return sfs_node_ref(node);
}

guint64 sfs_tree_time(SfsTree *tree)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return tree->time;
}

void sfs_tree_detach(SfsTree *tree, SfsNode *parent, const char *name, guint64 time)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    SfsNode *node = g_hash_table_lookup(parent->children, name);

    if (node && node->confirmed <= time) {
        g_hash_table_remove(parent->children, name);
        detach(tree, node);
    }
}

void sfs_tree_retain(SfsTree *tree, SfsNode *parent, GHashTable *names, guint64 time)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GHashTableIter iter;
    void *name, *node;

    g_hash_table_iter_init(&iter, parent->children);
    while (g_hash_table_iter_next(&iter, &name, &node)) {
        if (!g_hash_table_contains(names, name) && ((SfsNode *)node)->confirmed <= time) {
            g_hash_table_iter_remove(&iter);
            detach(tree, node);
        }
    }
}

gboolean sfs_tree_is_attached(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

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
    SHIELD_AUTO_LOCK(&tree->lock);

    return find_living(tree, node) != NULL;
}

void sfs_tree_look_up(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    node->lookups++;
    if (!g_hash_table_contains(tree->nodes, &node->ino)) /* it has left the table since the caller got it */
        g_hash_table_insert(tree->nodes, &node->ino, sfs_node_ref(node));
}

gboolean sfs_tree_forget(SfsTree *tree, guint64 ino, guint64 n)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    SfsNode *node = g_hash_table_lookup(tree->nodes, &ino);

    if (!node || node->lookups < n)
        return FALSE;
    node->lookups -= n;
    leave_if_unused(tree, node);
    return TRUE;
}

guint sfs_tree_count_looked_up(SfsTree *tree)
{
    SHIELD_AUTO_LOCK(&tree->lock);
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
    SHIELD_AUTO_LOCK(&tree->lock);
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

guint64 sfs_tree_changes(SfsTree *tree)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return tree->changes;
}

guint sfs_tree_count_containers(SfsTree *tree)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GHashTableIter iter;
    void *node;
    guint n = 0;

    g_hash_table_iter_init(&iter, tree->root->children);
    while (g_hash_table_iter_next(&iter, NULL, &node))
        n += ((SfsNode *)node)->kind == SFS_CONTAINER;
    return n;
}

guint sfs_tree_count_children(SfsTree *tree, SfsNode *parent)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return g_hash_table_size(parent->children);
}

GPtrArray *sfs_tree_attached_children(SfsTree *tree, SfsNode *parent)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    GHashTableIter iter;
    void *node;

    g_hash_table_iter_init(&iter, parent->children);
    while (g_hash_table_iter_next(&iter, NULL, &node))
        g_ptr_array_add(nodes, sfs_node_ref(node));
    return nodes;
}

SfsNode *sfs_tree_announced_child(SfsTree *tree, SfsNode *parent, const char *name)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    SfsNode *node = g_hash_table_lookup(parent->announced_children, name);

    return node ? sfs_node_ref(node) : NULL;
}

void sfs_tree_set_announced(SfsTree *tree, SfsNode *node, gboolean announced)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GHashTable *siblings = node->parent->announced_children;

    if (node->announced == announced)
        return;
    node->announced = announced;
    if (node->attached && announced)
        node->parent->untold--;
    else if (node->attached)
        node->parent->untold++;
    if (announced)
        g_hash_table_replace(siblings, node->name, node);
    else if (g_hash_table_lookup(siblings, node->name) == node)
        g_hash_table_remove(siblings, node->name);
    if (!announced)
        leave_if_unused(tree, node);
    else if (!g_hash_table_contains(tree->nodes, &node->ino)) /* a ghost */
        g_hash_table_insert(tree->nodes, &node->ino, sfs_node_ref(node));
}

gboolean sfs_tree_is_announced(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return node->announced;
}

gboolean sfs_tree_is_told(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return node->announced && node->untold == 0;
}

SfsState sfs_tree_announced_state(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return node->announced_state;
}

void sfs_tree_set_announced_state(SfsTree *tree, SfsNode *node, const SfsState *announced_state)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    node->announced_state = *announced_state;
}

gboolean sfs_state_access_differs(const SfsState *announced_state, const struct stat *st)
{
    return announced_state->st.st_mode != st->st_mode || announced_state->st.st_uid != st->st_uid ||
           announced_state->st.st_gid != st->st_gid;
}

GPtrArray *sfs_tree_children(SfsTree *tree, SfsNode *parent)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    GHashTableIter iter;
    void *node;

    g_hash_table_iter_init(&iter, parent->announced_children);
    while (g_hash_table_iter_next(&iter, NULL, &node))
        g_ptr_array_add(nodes, sfs_node_ref(node));
    g_hash_table_iter_init(&iter, parent->children);
    while (g_hash_table_iter_next(&iter, NULL, &node)) {
        if (!((SfsNode *)node)->announced)
            g_ptr_array_add(nodes, sfs_node_ref(node));
    }
    return nodes;
}

gboolean sfs_tree_note_error(SfsTree *tree, SfsNode *node, const char *message)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    if (g_strcmp0(node->error, message) == 0)
        return FALSE;
    g_free(node->error);
    node->error = g_strdup(message);
    return TRUE;
}

/* Lock held. */
static void show(SfsTree *tree, SfsNode *node)
{
    if (!node->shown && !node->attached && !node->announced)
        g_ptr_array_add(tree->ghosts, sfs_node_ref(node)); /* it went away on its way to who asked */
    node->shown = TRUE;
}

void sfs_tree_show(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    show(tree, node);
}

GPtrArray *sfs_tree_show_children(SfsTree *tree, SfsNode *parent)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GPtrArray *untold = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, parent->children);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SfsNode *node = value;

        show(tree, node);
        if (!node->announced)
            g_ptr_array_add(untold, sfs_node_ref(node));
    }
    if (parent->untold == 0 &&
        g_hash_table_size(parent->children) == g_hash_table_size(parent->announced_children))
        return untold; /* all that was announced is there */
    g_hash_table_iter_init(&iter, parent->announced_children);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (!((SfsNode *)value)->attached)
            g_ptr_array_add(untold, sfs_node_ref(value));
    }
    return untold;
}

gboolean sfs_tree_is_shown(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return node->shown;
}

GPtrArray *sfs_tree_take_ghosts(SfsTree *tree)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GPtrArray *ghosts = tree->ghosts;

    tree->ghosts = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    return ghosts;
}
