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

    sfs_marks_take(marks, &marked);
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
    sfs_marks_take(marks, &first);
    g_assert_true(first.structure && !first.everything);
    sfs_marks_take(marks, &second);
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
    sfs_marks_take(marks, &marked);
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
    sfs_marks_take(marks, &marked);
    g_assert_true(g_hash_table_contains(marked.nodes, root));
    sfs_marks_free(marks);
    sfs_tree_free(tree);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/marks/names", test_names);
    g_test_add_func("/marks/taken-once", test_taken_once);
    g_test_add_func("/marks/flags", test_flags);
    g_test_add_func("/marks/nodes", test_nodes);
    return g_test_run();
}
