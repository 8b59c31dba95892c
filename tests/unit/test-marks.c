/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of events/marks: a mark that is set again is none that is new, unless it says more; and whoever takes
 * them has them all, once.
 */
#include <glib.h>
#include <sys/inotify.h>

#include "events/marks.h"
#include "unit.h"

static const ShieldPolicy policy = {.max_size = 1000};

static SfsContainer *container_new(guint64 ino)
{
    ShieldPlace place = {(char *)"c", 0, (char *)"containers/c"};
    ShieldIdentity identity = {.dev = 1, .ino = ino};

    return sfs_container_new(&place, &identity, &policy);
}

static void test_names(void)
{
    SfsMarks *marks = sfs_marks_new();
    g_autoptr(SfsContainer) one = container_new(1);
    g_autoptr(SfsContainer) other = container_new(2);
    g_auto(SfsMarked) marked = {0};

    g_assert_true(sfs_marks_name(marks, one, FALSE, "deny.list", IN_MODIFY));
    g_assert_false(sfs_marks_name(marks, one, FALSE, "deny.list", IN_MODIFY));
    g_assert_true(sfs_marks_name(marks, one, FALSE, "deny.list", IN_CLOSE_WRITE)); /* it says more */
    g_assert_true(sfs_marks_name(marks, one, TRUE, "deny.list", IN_MODIFY));       /* another file */
    g_assert_true(sfs_marks_name(marks, other, FALSE, "deny.list", IN_MODIFY));

    (void)sfs_marks_take(marks, &marked, G_MAXUINT);
    g_assert_cmpuint(g_hash_table_size(marked.containers), ==, 2);
    GHashTable *names = g_hash_table_lookup(marked.containers, one);
    g_assert_cmpuint(g_hash_table_size(names), ==, 2);
    g_assert_cmpuint(GPOINTER_TO_UINT(g_hash_table_lookup(names, "deny.list")), ==,
                     IN_MODIFY | IN_CLOSE_WRITE);
    g_assert_cmpuint(GPOINTER_TO_UINT(g_hash_table_lookup(names, SFS_MARKS_HOOKS "deny.list")), ==,
                     IN_MODIFY);
    g_assert_false(marked.structure || marked.everything);
    sfs_marks_free(marks);
}

static void test_taken_once(void)
{
    SfsMarks *marks = sfs_marks_new();
    g_autoptr(SfsContainer) container = container_new(1);
    g_auto(SfsMarked) first = {0}, second = {0};

    sfs_marks_name(marks, container, FALSE, "a", IN_CREATE);
    sfs_marks_structure(marks);
    (void)sfs_marks_take(marks, &first, G_MAXUINT);
    g_assert_true(first.structure && !first.everything);
    (void)sfs_marks_take(marks, &second, G_MAXUINT);
    g_assert_cmpuint(g_hash_table_size(second.containers) + g_hash_table_size(second.nodes), ==, 0);
    g_assert_false(second.structure || second.everything);
    g_assert_true(sfs_marks_name(marks, container, FALSE, "a", IN_CREATE)); /* new again */
    sfs_marks_free(marks);
}

static void test_flags(void)
{
    SfsMarks *marks = sfs_marks_new();
    g_auto(SfsMarked) marked = {0};

    g_assert_true(sfs_marks_structure(marks));
    g_assert_false(sfs_marks_structure(marks));
    g_assert_true(sfs_marks_everything(marks));
    g_assert_false(sfs_marks_everything(marks));
    (void)sfs_marks_take(marks, &marked, G_MAXUINT);
    g_assert_true(marked.structure && marked.everything); /* everything is the structure too */
    sfs_marks_free(marks);
}

static void test_nodes(void)
{
    SfsMarks *marks = sfs_marks_new();
    SfsTree *tree = sfs_tree_new(2);
    g_autoptr(SfsNode) root = sfs_tree_root(tree);
    g_auto(SfsMarked) marked = {0};

    g_assert_true(sfs_marks_node(marks, root));
    g_assert_false(sfs_marks_node(marks, root));
    (void)sfs_marks_take(marks, &marked, G_MAXUINT);
    g_assert_true(g_hash_table_contains(marked.nodes, root));
    sfs_marks_free(marks);
    sfs_tree_free(tree);
}

/* Of one bundle with many names so many are taken; the others come with the next. */
static void test_many(void)
{
    SfsMarks *marks = sfs_marks_new();
    g_autoptr(SfsContainer) one = container_new(1);
    g_autoptr(SfsContainer) other = container_new(2);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    gboolean more = TRUE;

    for (int i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("%d", i);

        g_assert_true(sfs_marks_name(marks, one, FALSE, name, IN_CREATE));
    }
    sfs_marks_name(marks, other, FALSE, "a", IN_CREATE);
    for (int n = 0; n < 4; n++) {
        g_auto(SfsMarked) marked = {0};
        GHashTableIter iter;
        void *name;

        g_assert_true(more);
        more = sfs_marks_take(marks, &marked, 3);
        GHashTable *names = g_hash_table_lookup(marked.containers, one);
        g_assert_cmpuint(g_hash_table_size(names), ==, n < 3 ? 3 : 1);
        g_assert_cmpint(g_hash_table_contains(marked.containers, other), ==, n == 0);
        g_hash_table_iter_init(&iter, names);
        while (g_hash_table_iter_next(&iter, &name, NULL))
            g_assert_true(g_hash_table_add(seen, g_strdup(name)));
    }
    g_assert_false(more);
    g_assert_cmpuint(g_hash_table_size(seen), ==, 10);
    sfs_marks_free(marks);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/marks/names", test_names);
    g_test_add_func("/marks/taken-once", test_taken_once);
    g_test_add_func("/marks/flags", test_flags);
    g_test_add_func("/marks/nodes", test_nodes);
    g_test_add_func("/marks/many", test_many);
    return g_test_run();
}
