/* SPDX-License-Identifier: Apache-2.0 */
/* tree: nodes, their numbers and the kernel's counts; see tree.h for the model. */
#include "view/tree.h"

#include "lock.h"

struct SfsTree {
    GMutex lock;
    guint64 next_ino;
    guint64 time;
    GHashTable *nodes; /* number to node; holds a reference on each attached or looked-up one */
    SfsNode *root;
    GPtrArray *untold; /* references; gone before they were announced */
    guint64 changes;
};

/* NULL: it is no directory. */
static GHashTable *children_of(const SfsNode *node)
{
    return sfs_node_is_directory(node) ? node->entries->children : NULL;
}

static GHashTable *remnants_of(const SfsNode *node)
{
    return sfs_node_is_directory(node) ? node->entries->remnants : NULL;
}

/* Lock held. The table takes the first reference. */
static SfsNode *node_new(SfsTree *tree, SfsNode *parent, const char *name, SfsKind kind,
                         const ShieldComputed *row, SfsContainer *container)
{
    SfsNode *node = sfs_node_new(name, kind, row, container);

    node->ino = tree->next_ino++;
    node->parent = parent ? sfs_node_ref(parent) : NULL;
    node->attached = TRUE;
    if (parent) {
        g_hash_table_add(children_of(parent), node);
        parent->entries->untold++;
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
    tree->untold = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    tree->root = node_new(tree, NULL, "", SFS_ROOT, NULL, NULL);
    tree->root->announced = TRUE;
    tree->next_ino = MAX(first, tree->next_ino);
    return tree;
}

void sfs_tree_free(SfsTree *tree)
{
    g_ptr_array_unref(tree->untold);
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

/* Lock held. The node is announced, and not attached. */
static void add_remnant(SfsNode *node)
{
    SfsNode *parent = node->parent;

    if (!parent->entries->remnants)
        parent->entries->remnants = sfs_nodes_by_name();
    g_hash_table_add(parent->entries->remnants, node);
}

/* Lock held. */
static SfsNode *find_remnant(const SfsNode *parent, const char *name)
{
    return remnants_of(parent) ? sfs_nodes_find(remnants_of(parent), name) : NULL;
}

/* Lock held. */
static void remove_remnant(SfsNode *node)
{
    SfsNode *parent = node->parent;

    if (find_remnant(parent, node->name) != node)
        return;
    g_hash_table_remove(parent->entries->remnants, node);
    if (g_hash_table_size(parent->entries->remnants) == 0)
        g_clear_pointer(&parent->entries->remnants, g_hash_table_unref);
}

/* Lock held. Takes the node and all below it out of reach by name. */
static void detach(SfsTree *tree, SfsNode *node)
{
    GHashTableIter iter;
    void *child;

    node->attached = FALSE;
    if (node->announced) {
        add_remnant(node);
    } else {
        node->parent->entries->untold--;
        node->parent->entries->lost += !node->shown;
        g_ptr_array_add(tree->untold, sfs_node_ref(node));
    }
    if (node->parent == tree->root)
        tree->changes++;
    if (children_of(node)) {
        g_hash_table_iter_init(&iter, children_of(node));
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
    SfsNode *node = sfs_nodes_find(children_of(parent), name);

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
    SfsNode *node = sfs_nodes_find(children_of(parent), name);

    if (!parent->attached)
        return NULL;
    if (node && (node->kind != kind || !same_container(node->container, container))) {
        g_hash_table_remove(children_of(parent), node);
        detach(tree, node);
        node = NULL;
    }
    if (!node)
        node = node_new(tree, parent, name, kind, row, container);
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
    SfsNode *node = sfs_nodes_find(children_of(parent), name);

    if (node && node->confirmed <= time) {
        g_hash_table_remove(children_of(parent), node);
        detach(tree, node);
    }
}

void sfs_tree_retain(SfsTree *tree, SfsNode *parent, GHashTable *names, guint64 time)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GHashTableIter iter;
    void *child;

    g_hash_table_iter_init(&iter, children_of(parent));
    while (g_hash_table_iter_next(&iter, NULL, &child)) {
        SfsNode *node = child;

        if (!g_hash_table_contains(names, node->name) && node->confirmed <= time) {
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
    return parent && children_of(parent) ? sfs_nodes_find(children_of(parent), node->name) : NULL;
}

gboolean sfs_tree_has_successor(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return find_living(tree, node) != NULL;
}

gboolean sfs_tree_look_up(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    gboolean ghost = !node->attached && !node->announced && !node->ended;

    node->lookups++;
    if (ghost)
        g_ptr_array_add(tree->untold, sfs_node_ref(node));
    if (!g_hash_table_contains(tree->nodes, &node->ino)) /* it has left the table since the caller got it */
        g_hash_table_insert(tree->nodes, &node->ino, sfs_node_ref(node));
    return ghost;
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

    g_hash_table_iter_init(&iter, children_of(tree->root));
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

    g_hash_table_iter_init(&iter, children_of(tree->root));
    while (g_hash_table_iter_next(&iter, NULL, &node))
        n += ((SfsNode *)node)->kind == SFS_CONTAINER;
    return n;
}

guint sfs_tree_count_children(SfsTree *tree, SfsNode *parent)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return g_hash_table_size(children_of(parent));
}

static GPtrArray *nodes_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
}

/* Lock held. */
static void add_all(GPtrArray *nodes, GHashTable *table)
{
    GHashTableIter iter;
    void *node;

    if (!table)
        return;
    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, NULL, &node))
        g_ptr_array_add(nodes, sfs_node_ref(node));
}

GPtrArray *sfs_tree_attached_children(SfsTree *tree, SfsNode *parent)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GPtrArray *nodes = nodes_new();

    add_all(nodes, children_of(parent));
    return nodes;
}

SfsNode *sfs_tree_announced_child(SfsTree *tree, SfsNode *parent, const char *name)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    SfsNode *node = sfs_nodes_find(children_of(parent), name);

    if (!node || !node->announced)
        node = find_remnant(parent, name);
    return node ? sfs_node_ref(node) : NULL;
}

/* Lock held. */
static void set_announced(SfsTree *tree, SfsNode *node, gboolean announced)
{
    if (!node->announced == !announced)
        return;
    node->announced = announced != FALSE;
    node->ended = !announced;
    if (node->attached && announced)
        node->parent->entries->untold--;
    else if (node->attached)
        node->parent->entries->untold++;
    else if (announced)
        add_remnant(node);
    else
        remove_remnant(node);
    if (!announced)
        leave_if_unused(tree, node);
    else if (!g_hash_table_contains(tree->nodes, &node->ino)) /* a ghost */
        g_hash_table_insert(tree->nodes, &node->ino, sfs_node_ref(node));
}

void sfs_tree_set_announced(SfsTree *tree, SfsNode *node, gboolean announced)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    set_announced(tree, node, announced);
}

void sfs_tree_assume_children(SfsTree *tree, SfsNode *directory)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GHashTableIter iter;
    void *child;

    g_hash_table_iter_init(&iter, children_of(directory));
    while (g_hash_table_iter_next(&iter, NULL, &child))
        set_announced(tree, child, TRUE);
}

gboolean sfs_tree_is_announced(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return node->announced;
}

gboolean sfs_tree_is_told(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return node->attached && node->announced &&
           (!sfs_node_is_directory(node) || (node->entries->untold == 0 && !node->entries->remnants));
}

SfsState sfs_tree_announced_state(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return sfs_node_told(node);
}

void sfs_tree_set_announced_state(SfsTree *tree, SfsNode *node, const SfsState *announced_state)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    sfs_node_set_told(node, announced_state);
}

gboolean sfs_state_is_known(const SfsState *announced_state)
{
    return announced_state->st.st_mode != 0;
}

void sfs_tree_assume_state(SfsTree *tree, SfsNode *node, const SfsState *state)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    if (node->told.mode == 0)
        sfs_node_set_told(node, state);
}

GPtrArray *sfs_tree_children(SfsTree *tree, SfsNode *parent)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GPtrArray *nodes = nodes_new();

    add_all(nodes, remnants_of(parent));
    add_all(nodes, children_of(parent));
    return nodes;
}

guint32 sfs_tree_note_wrong(SfsTree *tree, SfsNode *node, guint32 wrong)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    guint32 before;

    if (sfs_node_is_directory(node))
        return 0; /* nobody opens it to read */
    before = node->wrong;
    node->wrong = wrong;
    return before;
}

/* Lock held. */
static void show(SfsTree *tree, SfsNode *node)
{
    if (!node->shown && !node->attached && !node->announced && !node->ended)
        g_ptr_array_add(tree->untold, sfs_node_ref(node)); /* it went away on its way to who asked */
    node->shown = TRUE;
}

void sfs_tree_show(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    show(tree, node);
}

guint sfs_tree_count_lost(SfsTree *tree, SfsNode *directory)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return sfs_node_is_directory(directory) ? directory->entries->lost : 0;
}

GPtrArray *sfs_tree_show_children(SfsTree *tree, SfsNode *parent)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GPtrArray *untold = nodes_new();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, children_of(parent));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SfsNode *node = value;

        show(tree, node);
        if (!node->announced)
            g_ptr_array_add(untold, sfs_node_ref(node));
    }
    add_all(untold, remnants_of(parent));
    return untold;
}

gboolean sfs_tree_is_shown(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return node->shown;
}

gboolean sfs_tree_is_untold(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return !node->attached && !node->announced && !node->ended;
}

gboolean sfs_tree_is_unmissed(SfsTree *tree, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&tree->lock);

    return !node->attached && !node->announced && node->lookups == 0 &&
           (!node->shown || !node->parent->attached);
}

GPtrArray *sfs_tree_take_untold(SfsTree *tree)
{
    SHIELD_AUTO_LOCK(&tree->lock);
    GPtrArray *untold = tree->untold;

    tree->untold = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    return untold;
}
