/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of view/tree and view/node: what is kept for each node, what watchers were told and have yet to hear,
 * and names that their owner has made to be slow.
 */
#include <glib.h>
#include <string.h>

#include "unit.h"
#include "view/tree.h"
#include "view/view.h"

static const ShieldPolicy policy = {.max_size = 1000, .settle_ms = 50};

static gboolean knows(SfsTree *tree, guint64 ino)
{
    g_autoptr(SfsNode) node = sfs_tree_get(tree, ino);

    return node != NULL;
}

/* What watchers were told is kept as it was told, in little room: there is a node for each file of the view.
 */
static void test_told(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsNode) node = sfs_tree_attach(tree, root, "a", SFS_RAW, NULL, NULL);
    const SfsState told = {.st = {.st_ino = 1000,
                                  .st_blksize = 4096,
                                  .st_mode = S_IFREG | 0440,
                                  .st_uid = 4000000000,
                                  .st_gid = 7,
                                  .st_nlink = 3,
                                  .st_size = 5000000000,
                                  .st_blocks = 9765625,
                                  .st_atim = {-5, 999999999},
                                  .st_mtim = {-5, 999999999},
                                  .st_ctim = {6000000000, 1}},
                           .dev = 8,
                           .ino = 9};
    SfsState computed = told;

    g_assert_cmpuint(sizeof(SfsNode), <=, 136);
    sfs_tree_set_announced_state(tree, node, &told);
    const SfsState kept = sfs_tree_announced_state(tree, node);
    g_assert_cmpmem(&kept, sizeof kept, &told, sizeof told);

    /* A computed file has a serial instead. */
    g_autoptr(SfsNode) other = sfs_tree_attach(tree, root, "b", SFS_COMPUTED, NULL, NULL);
    computed.st.st_ino = 1001;
    computed.dev = computed.ino = 0;
    computed.serial = 10;
    sfs_tree_set_announced_state(tree, other, &computed);
    const SfsState kept_computed = sfs_tree_announced_state(tree, other);
    g_assert_cmpmem(&kept_computed, sizeof kept_computed, &computed, sizeof computed);
    sfs_tree_free(tree);
}

/* Of two of one name, watchers know the one that is gone until they are told of its end. */
static void test_remnants(void)
{
    SfsTree *tree = sfs_tree_new(1000);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_autoptr(SfsNode) old = sfs_tree_attach(tree, root, "a", SFS_RAW, NULL, NULL);

    sfs_tree_set_announced(tree, old, TRUE);
    g_assert_true(sfs_tree_is_told(tree, root));
    sfs_tree_detach(tree, root, "a", sfs_tree_time(tree));
    g_autoptr(SfsNode) new = sfs_tree_attach(tree, root, "a", SFS_HOOKS, NULL, NULL);
    g_autoptr(SfsNode) known = sfs_tree_announced_child(tree, root, "a");
    g_autoptr(GPtrArray) both = sfs_tree_children(tree, root), untold = sfs_tree_show_children(tree, root);
    g_assert_true(known == old);
    g_assert_false(sfs_tree_is_told(tree, root));
    g_assert_cmpuint(both->len, ==, 2);
    g_assert_cmpuint(untold->len, ==, 2);
    sfs_tree_set_announced(tree, old, FALSE);
    g_assert_null(sfs_tree_announced_child(tree, root, "a"));
    g_assert_false(knows(tree, old->ino));
    sfs_tree_set_announced(tree, new, TRUE);
    g_autoptr(SfsNode) next = sfs_tree_announced_child(tree, root, "a");
    g_autoptr(GPtrArray) one = sfs_tree_children(tree, root), none = sfs_tree_show_children(tree, root);
    g_assert_true(next == new);
    g_assert_cmpuint(one->len, ==, 1);
    g_assert_cmpuint(none->len, ==, 0);
    sfs_tree_free(tree);
}

/* Stands for GLib's: how often two names are compared. */
static guint comparisons;

gboolean(g_str_equal)(const void *a, const void *b)
{
    comparisons++;
    return strcmp(a, b) == 0;
}

/* Names that their owner has made to have one hash are compared no more often than others: with those of the
 * same name. */
static void test_meeting_names(void)
{
    const guint n = 2000;
    g_autoptr(UnitDir) dir = unit_dir_new();
    const char *sources[] = {dir->path, NULL};
    SfsView *view = sfs_view_new(&(SfsViewOptions){.sources = sources, .policy = policy}, "/mnt");
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(view)), c = NULL;
    g_autoptr(GPtrArray) first = NULL, second = NULL, third = NULL;

    unit_mkdir(dir, "containers/c");
    for (guint i = 0; i < n; i++) {
        g_autofree char *name = unit_meeting_name(i);
        g_autofree char *path = g_strconcat("containers/c/", name, NULL);

        unit_write(dir, path, "");
    }
    g_assert_cmpint(sfs_view_lookup(view, root, "c", &c), ==, 0);
    g_assert_cmpint(sfs_view_list(view, c, NULL, &first), ==, 0);
    g_assert_cmpint(sfs_view_list(view, c, NULL, &second), ==, 0);
    g_assert_cmpuint(first->len, ==, n + 2 + shield_computed_n);
    for (guint i = 2; i < first->len; i++) {
        const SfsEntry *entry = g_ptr_array_index(first, i);
        g_autoptr(SfsNode) node = sfs_tree_child(sfs_view_tree(view), c, entry->name);

        g_assert_cmpuint(node->ino, ==, entry->ino);
        g_assert_cmpuint(node->ino, ==, ((SfsEntry *)g_ptr_array_index(second, i))->ino);
        sfs_tree_set_announced(sfs_view_tree(view), node, TRUE);
    }
    unit_remove(dir, "containers/c");
    unit_mkdir(dir, "containers/c");
    (void)sfs_view_list(view, c, NULL, &third);
    g_assert_cmpuint(comparisons, >, 0);
    g_assert_cmpuint(comparisons, <, 20 * n);
    sfs_view_free(view);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tree/told", test_told);
    g_test_add_func("/tree/remnants", test_remnants);
    g_test_add_func("/tree/meeting-names", test_meeting_names);
    return g_test_run();
}
