/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of fs/tree: numbers live as long as their names and are never used twice; what the kernel holds
 * stays, what nobody holds goes; threads may do what they like. That nothing leaks is for LeakSanitizer and
 * valgrind.
 */
#include <glib.h>
#include <string.h>

#include "unit.h"
#include "view/tree.h"
#include "view/view.h"

static const ShieldPolicy policy = {.max_size = 1000, .settle_ms = 50};

static SfsContainer *container_new(const char *name, guint64 ino)
{
    g_autofree char *path = g_strconcat("containers/", name, NULL);
    ShieldPlace place = {(char *)name, 0, path};
    ShieldIdentity identity = {.dev = 1, .ino = ino};

    return sfs_container_new(&place, &identity, &policy);
}

/* The number of a name that is attached, which is let go of at once. */
static guint64 attach(SfsTree *tree, SfsNode *parent, const char *name, SfsKind kind, SfsContainer *container)
{
    const ShieldComputed *row = kind == SFS_COMPUTED ? shield_computed_find(name) : NULL;
    g_autoptr(SfsNode) node = sfs_tree_attach(tree, parent, name, kind, row, container);

    g_assert_nonnull(node);
    g_assert_cmpstr(node->name, ==, name);
    g_assert_cmpint(node->kind, ==, kind);
    g_assert_true(node->computed == row);
    g_assert_true(node->container == container);
    g_assert_true(node->parent == parent);
    return node->ino;
}

static gboolean knows(SfsTree *tree, guint64 ino)
{
    g_autoptr(SfsNode) node = sfs_tree_get(tree, ino);

    return node != NULL;
}

static void test_root(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsNode) same = sfs_tree_get(tree, 1);

    g_assert_true(root == same);
    g_assert_cmpuint(root->ino, ==, 1);
    g_assert_cmpuint(attach(tree, root, "a", SFS_RAW, NULL), ==, 1000);
    g_assert_cmpuint(attach(tree, root, "b", SFS_RAW, NULL), ==, 1001);
    g_assert_cmpint(root->kind, ==, SFS_ROOT);
    g_assert_null(root->parent);
    g_assert_true(sfs_node_is_directory(root));
    g_assert_true(sfs_tree_is_attached(tree, root));
    g_assert_true(sfs_tree_has_successor(tree, root));
    g_assert_false(knows(tree, 0));
    g_assert_false(knows(tree, 2));
    g_assert_false(sfs_tree_forget(tree, 1, 1));
    g_assert_false(sfs_tree_forget(tree, 99, 1));
    g_assert_true(knows(tree, 1));
    g_assert_cmpuint(sfs_tree_count_looked_up(tree), ==, 0);
    sfs_tree_free(tree);
}

static void test_kinds(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    static const gboolean directory[] = {
        [SFS_META] = TRUE,  [SFS_VERSION] = FALSE,  [SFS_STATUS] = FALSE, [SFS_CONTAINER] = TRUE,
        [SFS_HOOKS] = TRUE, [SFS_COMPUTED] = FALSE, [SFS_RAW] = FALSE,    [SFS_METRICS] = FALSE,
    };

    for (SfsKind kind = SFS_META; kind <= SFS_RAW; kind++) {
        g_autofree char *name = g_strdup_printf("%d", (int)kind);
        g_autoptr(SfsNode) node = sfs_tree_attach(tree, root, name, kind, NULL, NULL);

        g_assert_cmpint(sfs_node_is_directory(node), ==, directory[kind]);
    }
    sfs_tree_free(tree);
}

/* A name keeps its number while it lives, though nobody holds it; a name that comes back has a new one. */
static void test_numbers(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsContainer) web = container_new("web-1", 10);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
    guint64 numbers[200];

    guint64 first = attach(tree, root, "web-1", SFS_CONTAINER, web);
    g_assert_cmpuint(attach(tree, root, "web-1", SFS_CONTAINER, web), ==, first);
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autofree char *name = g_strdup_printf("n%" G_GSIZE_FORMAT, i % 7);

        if (i % 7 == 0)
            sfs_tree_detach(tree, root, "n3", sfs_tree_time(tree));
        sfs_tree_detach(tree, root, name, sfs_tree_time(tree));
        numbers[i] = attach(tree, root, name, SFS_RAW, NULL);
        g_assert_true(g_hash_table_add(seen, &numbers[i]));
        g_assert_cmpuint(attach(tree, root, name, SFS_RAW, NULL), ==, numbers[i]);
    }
    g_assert_cmpuint(attach(tree, root, "web-1", SFS_CONTAINER, web), ==, first);
    sfs_tree_detach(tree, root, "web-1", sfs_tree_time(tree));
    sfs_tree_detach(tree, root, "web-1", sfs_tree_time(tree)); /* gone already */
    g_assert_false(knows(tree, first));
    g_assert_cmpuint(attach(tree, root, "web-1", SFS_CONTAINER, web), >, first);
    sfs_tree_free(tree);
}

/* Something else under the name: another container, or another kind. */
static void test_replaced(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsContainer) before = container_new("web-1", 10);
    g_autoptr(SfsContainer) after = container_new("web-1", 11);
    g_autoptr(SfsNode) old = sfs_tree_attach(tree, root, "web-1", SFS_CONTAINER, NULL, before);
    guint64 file = attach(tree, old, "deny.list", SFS_RAW, before);

    g_autoptr(SfsNode) new = sfs_tree_attach(tree, root, "web-1", SFS_CONTAINER, NULL, after);
    g_assert_cmpuint(new->ino, !=, old->ino);
    g_assert_false(sfs_tree_is_attached(tree, old));
    g_assert_false(knows(tree, old->ino));
    g_assert_false(knows(tree, file));
    g_assert_null(
        sfs_tree_attach(tree, old, "deny.list", SFS_RAW, NULL, before)); /* nothing below the dead */

    guint64 hooks = attach(tree, new, "hooks", SFS_HOOKS, after);
    guint64 raw = attach(tree, new, "hooks", SFS_RAW, after);
    g_assert_cmpuint(hooks, !=, raw);
    g_assert_false(knows(tree, hooks));
    sfs_tree_free(tree);
}

static void test_lookups(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    SfsNode *node = sfs_tree_attach(tree, root, "a", SFS_RAW, NULL, NULL);
    guint64 ino = node->ino;

    sfs_tree_look_up(tree, node);
    sfs_tree_look_up(tree, node);
    sfs_tree_look_up(tree, node);
    g_clear_pointer(&node, sfs_node_unref);
    g_assert_cmpuint(sfs_tree_count_looked_up(tree), ==, 1);
    g_assert_false(sfs_tree_forget(tree, ino, 4)); /* more than it has */
    g_assert_true(sfs_tree_forget(tree, ino, 2));
    g_assert_cmpuint(sfs_tree_count_looked_up(tree), ==, 1);

    sfs_tree_detach(tree, root, "a", sfs_tree_time(tree));
    g_assert_true(knows(tree, ino)); /* the kernel still holds it */
    g_autoptr(SfsNode) detached = sfs_tree_get(tree, ino);
    g_assert_false(sfs_tree_is_attached(tree, detached));
    g_assert_null(sfs_tree_child(tree, root, "a"));
    g_assert_true(sfs_tree_forget(tree, ino, 1));
    g_assert_false(knows(tree, ino));
    g_assert_false(sfs_tree_forget(tree, ino, 1));
    g_assert_cmpuint(sfs_tree_count_looked_up(tree), ==, 0);

    /* A request that had the node in hand when it went, and then answered the kernel with it. */
    sfs_tree_look_up(tree, detached);
    g_assert_true(knows(tree, ino));
    g_assert_cmpuint(sfs_tree_count_looked_up(tree), ==, 1);
    g_assert_true(sfs_tree_forget(tree, ino, 1));
    g_assert_false(knows(tree, ino));
    sfs_tree_free(tree);
}

/* An attached node stays at a count of 0. */
static void test_forgotten_but_attached(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsNode) node = sfs_tree_attach(tree, root, "a", SFS_RAW, NULL, NULL);

    sfs_tree_look_up(tree, node);
    g_assert_true(sfs_tree_forget(tree, node->ino, 1));
    g_assert_true(sfs_tree_forget(tree, node->ino, 0));
    g_assert_true(knows(tree, node->ino));
    g_assert_cmpuint(attach(tree, root, "a", SFS_RAW, NULL), ==, node->ino);
    sfs_tree_free(tree);
}

static void test_detach_with_children(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsContainer) web = container_new("web-1", 10);
    SfsNode *container = sfs_tree_attach(tree, root, "web-1", SFS_CONTAINER, NULL, web);
    SfsNode *hooks = sfs_tree_attach(tree, container, "hooks", SFS_HOOKS, NULL, web);
    SfsNode *held = sfs_tree_attach(tree, hooks, "x.json", SFS_RAW, NULL, web);
    guint64 held_ino = held->ino, hooks_ino = hooks->ino, container_ino = container->ino;
    guint64 other = attach(tree, hooks, "y.json", SFS_RAW, web);
    guint64 computed = attach(tree, container, "effective", SFS_COMPUTED, web);

    sfs_tree_look_up(tree, held);
    sfs_node_unref(held);
    sfs_node_unref(hooks);
    sfs_node_unref(container);
    sfs_tree_detach(tree, root, "web-1", sfs_tree_time(tree));
    g_assert_false(knows(tree, container_ino));
    g_assert_false(knows(tree, hooks_ino));
    g_assert_false(knows(tree, other));
    g_assert_false(knows(tree, computed));

    held = sfs_tree_get(tree, held_ino);
    g_assert_nonnull(held);
    g_assert_false(sfs_tree_is_attached(tree, held));
    g_assert_cmpstr(held->parent->name, ==, "hooks"); /* what it needs is kept alive by it */
    g_assert_cmpstr(held->parent->parent->name, ==, "web-1");
    g_assert_true(held->container == web);
    sfs_node_unref(held);
    g_assert_true(sfs_tree_forget(tree, held_ino, 1));
    g_assert_false(knows(tree, held_ino));
    sfs_tree_free(tree);
}

static void test_retain(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    guint64 a = attach(tree, root, "a", SFS_RAW, NULL), b = attach(tree, root, "b", SFS_RAW, NULL);
    guint64 c = attach(tree, root, "c", SFS_RAW, NULL);

    g_hash_table_add(names, (char *)"b");
    g_hash_table_add(names, (char *)"not there");
    sfs_tree_retain(tree, root, names, sfs_tree_time(tree));
    g_assert_false(knows(tree, a));
    g_assert_true(knows(tree, b));
    g_assert_false(knows(tree, c));
    g_hash_table_remove_all(names);
    sfs_tree_retain(tree, root, names, sfs_tree_time(tree));
    g_assert_false(knows(tree, b));
    sfs_tree_free(tree);
}

/* What was seen after a look was begun stays, though that look did not see it. */
static void test_older_looks(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsContainer) first = container_new("web-1", 7);
    g_autoptr(SfsContainer) twin = container_new("web-1", 7);
    g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);
    guint64 before = sfs_tree_time(tree);
    guint64 ino = attach(tree, root, "web-1", SFS_CONTAINER, first);

    sfs_tree_detach(tree, root, "web-1", before);
    sfs_tree_retain(tree, root, none, before);
    g_assert_true(knows(tree, ino));

    /* The same directory, found by another thread, is no other container. */
    g_autoptr(SfsNode) node = sfs_tree_attach(tree, root, "web-1", SFS_CONTAINER, NULL, twin);
    g_assert_cmpuint(node->ino, ==, ino);
    g_assert_true(node->container == first);

    sfs_tree_retain(tree, root, none, sfs_tree_time(tree));
    g_assert_false(knows(tree, ino));
    sfs_tree_free(tree);
}

/* A name that somebody saw and that went away before it was announced is told of all the same. */
static void test_ghosts(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsContainer) container = container_new("web-1", 7);
    g_autoptr(SfsNode) seen = sfs_tree_attach(tree, root, "web-1", SFS_CONTAINER, NULL, container);

    sfs_tree_show(tree, seen);
    sfs_tree_detach(tree, root, "web-1", sfs_tree_time(tree));
    g_autoptr(GPtrArray) ghosts = sfs_tree_take_untold(tree);
    g_assert_cmpuint(ghosts->len, ==, 1);
    g_assert_true(g_ptr_array_index(ghosts, 0) == seen);
    g_autoptr(GPtrArray) again = sfs_tree_take_untold(tree);
    g_assert_cmpuint(again->len, ==, 0);

    sfs_tree_set_announced(tree, seen, TRUE);
    g_autoptr(SfsNode) announced = sfs_tree_announced_child(tree, root, "web-1");
    g_assert_true(announced == seen);
    g_assert_true(knows(tree, seen->ino));
    g_autoptr(SfsNode) attached = sfs_tree_child(tree, root, "web-1");
    g_assert_null(attached);
    sfs_tree_set_announced(tree, seen, FALSE);
    g_assert_false(knows(tree, seen->ino));
    sfs_tree_free(tree);
}

/* Who lists is told whether something went that he may have listed, and that nobody would be told of. */
static void test_lost(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsContainer) container = container_new("web-1", 7);
    g_autoptr(SfsNode) seen = sfs_tree_attach(tree, root, "seen", SFS_CONTAINER, NULL, container);
    g_autoptr(SfsNode) told = sfs_tree_attach(tree, root, "told", SFS_CONTAINER, NULL, container);
    g_autoptr(SfsNode) lost = sfs_tree_attach(tree, root, "lost", SFS_CONTAINER, NULL, container);

    sfs_tree_show(tree, seen);
    sfs_tree_set_announced(tree, told, TRUE);
    sfs_tree_detach(tree, root, "seen", sfs_tree_time(tree));
    sfs_tree_detach(tree, root, "told", sfs_tree_time(tree));
    g_assert_cmpuint(sfs_tree_count_lost(tree, root), ==, 0);
    g_assert_false(sfs_tree_is_unmissed(tree, seen));
    g_assert_true(sfs_tree_is_untold(tree, seen));
    g_assert_false(sfs_tree_is_untold(tree, told));
    sfs_tree_detach(tree, root, "lost", sfs_tree_time(tree));
    g_assert_cmpuint(sfs_tree_count_lost(tree, root), ==, 1);
    g_assert_true(sfs_tree_is_unmissed(tree, lost));
    g_assert_true(sfs_tree_look_up(tree, lost));
    g_assert_false(sfs_tree_is_unmissed(tree, lost));
    sfs_tree_forget(tree, lost->ino, 1);
    sfs_tree_set_announced(tree, told, FALSE);
    g_assert_false(sfs_tree_is_untold(tree, told));
    sfs_tree_free(tree);
}

static void test_successor(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsContainer) before = container_new("web-1", 10);
    g_autoptr(SfsContainer) after = container_new("web-1", 11);
    g_autoptr(SfsNode) old = sfs_tree_attach(tree, root, "web-1", SFS_CONTAINER, NULL, before);
    g_autoptr(SfsNode) old_file = sfs_tree_attach(tree, old, "deny.list", SFS_RAW, NULL, before);

    g_assert_true(sfs_tree_has_successor(tree, old_file)); /* itself */
    sfs_tree_detach(tree, root, "web-1", sfs_tree_time(tree));
    g_assert_false(sfs_tree_has_successor(tree, old));
    g_assert_false(sfs_tree_has_successor(tree, old_file));

    g_autoptr(SfsNode) new = sfs_tree_attach(tree, root, "web-1", SFS_CONTAINER, NULL, after);
    g_assert_true(sfs_tree_has_successor(tree, old));
    g_assert_false(sfs_tree_has_successor(tree, old_file)); /* the file hasn't come back */
    attach(tree, new, "deny.list", SFS_RAW, after);
    g_assert_true(sfs_tree_has_successor(tree, old_file));
    g_assert_false(sfs_tree_is_attached(tree, old_file));

    /* Something without children bears the name of what was a directory. */
    (void)attach(tree, root, "web-1", SFS_RAW, NULL);
    g_assert_true(sfs_tree_has_successor(tree, old));
    g_assert_false(sfs_tree_has_successor(tree, old_file));
    sfs_tree_free(tree);
}

static void test_containers(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsContainer) one = container_new("one", 10), two = container_new("two", 11);

    attach(tree, root, ".shieldfs", SFS_META, NULL);
    attach(tree, root, "one", SFS_CONTAINER, one);
    attach(tree, root, "two", SFS_CONTAINER, two);
    g_autoptr(GPtrArray) both = sfs_tree_containers(tree);
    g_assert_cmpuint(both->len, ==, 2);
    sfs_tree_detach(tree, root, "one", sfs_tree_time(tree));
    g_autoptr(GPtrArray) left = sfs_tree_containers(tree);
    g_assert_cmpuint(left->len, ==, 1);
    g_assert_true(g_ptr_array_index(left, 0) == two);
    g_assert_cmpuint(both->len, ==, 2);
    sfs_tree_free(tree);
    g_assert_cmpstr(shield_bundle_label(one->bundle), ==, "one"); /* references are the callers' own */
}

/* Threads that look up, forget, attach and detach the same few names, each giving back what it took. */
typedef struct {
    SfsTree *tree;
    guint seed, rounds;
} Hammer;

static void hammer_once(SfsTree *tree, GRand *random)
{
    static const char *const names[] = {"a", "b", "c"};
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    const char *name = names[g_rand_int_range(random, 0, G_N_ELEMENTS(names))];
    g_autoptr(SfsContainer) own = g_rand_boolean(random) ? container_new(name, g_rand_int(random)) : NULL;
    g_autoptr(SfsNode) there = sfs_tree_child(tree, root, name);
    SfsContainer *container = own ? own : there ? there->container : NULL;
    g_autoptr(GHashTable) keep = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_add(keep, (char *)name);
    if (!container)
        return;
    g_autoptr(SfsNode) node = sfs_tree_attach(tree, root, name, SFS_CONTAINER, NULL, container);
    g_autoptr(SfsNode) child =
        sfs_tree_attach(tree, node, "effective", SFS_COMPUTED, shield_computed_find("effective"), container);
    if (child)
        sfs_tree_look_up(tree, child);
    if (g_rand_int_range(random, 0, 3) == 0)
        sfs_tree_detach(tree, root, name, sfs_tree_time(tree));
    if (g_rand_int_range(random, 0, 10) == 0)
        sfs_tree_retain(tree, root, keep, sfs_tree_time(tree));
    if (!child)
        return;

    g_autoptr(SfsNode) again = sfs_tree_get(tree, child->ino);
    g_assert_true(again == child); /* held, so it is there */
    (void)sfs_tree_has_successor(tree, child);
    (void)sfs_tree_count_looked_up(tree);
    g_autoptr(GPtrArray) containers = sfs_tree_containers(tree);
    g_assert_cmpuint(containers->len, <=, G_N_ELEMENTS(names));
    g_assert_true(sfs_tree_forget(tree, child->ino, 1));
}

static void *hammer(void *data)
{
    const Hammer *how = data;
    g_autoptr(GRand) random = g_rand_new_with_seed(how->seed);

    for (guint i = 0; i < how->rounds; i++)
        hammer_once(how->tree, random);
    return NULL;
}

static void test_threads(void)
{
    Hammer how[4];
    GThread *threads[G_N_ELEMENTS(how)];
    SfsTree *tree = sfs_tree_new(1000);

    for (guint i = 0; i < G_N_ELEMENTS(how); i++) {
        how[i] = (Hammer){tree, i, unit_rounds(5000)};
        threads[i] = g_thread_new("hammer", hammer, &how[i]);
    }
    for (guint i = 0; i < G_N_ELEMENTS(how); i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(sfs_tree_count_looked_up(tree), ==, 0);
    sfs_tree_free(tree);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/root", test_root);
    g_test_add_func("/tree/kinds", test_kinds);
    g_test_add_func("/tree/numbers", test_numbers);
    g_test_add_func("/tree/replaced", test_replaced);
    g_test_add_func("/tree/lookups", test_lookups);
    g_test_add_func("/tree/forgotten-but-attached", test_forgotten_but_attached);
    g_test_add_func("/tree/detach-with-children", test_detach_with_children);
    g_test_add_func("/tree/retain", test_retain);
    g_test_add_func("/tree/older-looks", test_older_looks);
    g_test_add_func("/tree/ghosts", test_ghosts);
    g_test_add_func("/tree/lost", test_lost);
    g_test_add_func("/tree/successor", test_successor);
    g_test_add_func("/tree/containers", test_containers);
    g_test_add_func("/tree/threads", test_threads);
    return g_test_run();
}
