/* SPDX-License-Identifier: Apache-2.0 */
/* shown: compares with what was announced; see shown.h. */
#include "request/shown.h"

#include "view/findings.h"

/* Watchers were not told of the node as it is. But what was there at the start they know. */
static void recheck(const SfsSession *session, SfsNode *node)
{
    SfsTree *tree = sfs_view_tree(session->view);

    if (node->container && g_atomic_int_get(&node->container->unread) && sfs_tree_is_attached(tree, node))
        sfs_tree_set_announced(tree, node, TRUE);
    else
        sfs_watcher_recheck(session->watcher, node);
}

void sfs_shown_node(const SfsSession *session, SfsNode *node)
{
    SfsTree *tree = sfs_view_tree(session->view);

    sfs_tree_show(tree, node);
    if (!sfs_tree_is_announced(tree, node))
        recheck(session, node);
}

void sfs_shown_absence(const SfsSession *session, SfsNode *directory, const char *name)
{
    g_autoptr(SfsNode) announced = NULL;

    if (!sfs_node_is_directory(directory))
        return;
    announced = sfs_tree_announced_child(sfs_view_tree(session->view), directory, name);
    if (announced)
        sfs_watcher_recheck(session->watcher, announced);
}

void sfs_shown_listing(const SfsSession *session, SfsNode *directory)
{
    g_autoptr(GPtrArray) untold = sfs_tree_show_children(sfs_view_tree(session->view), directory);

    for (guint i = 0; i < untold->len; i++)
        recheck(session, g_ptr_array_index(untold, i));
}

void sfs_shown_attributes(const SfsSession *session, SfsNode *node, const struct stat *st)
{
    SfsTree *tree = sfs_view_tree(session->view);
    SfsState announced = sfs_tree_announced_state(tree, node);

    if (node->kind != SFS_ROOT && node->kind != SFS_META && sfs_node_makes_news(node) &&
        sfs_tree_is_announced(tree, node) &&
        (announced.st.st_size != st->st_size || !shield_time_equal(announced.st.st_mtim, st->st_mtim) ||
         sfs_state_access_differs(&announced, st)))
        sfs_watcher_recheck(session->watcher, node);
}

void sfs_shown_file(const SfsSession *session, SfsNode *node, const struct stat *backing)
{
    SfsTree *tree = sfs_view_tree(session->view);
    SfsState announced = sfs_tree_announced_state(tree, node);

    if (sfs_tree_is_announced(tree, node) && (announced.st.st_size != backing->st_size ||
                                              !shield_time_equal(announced.st.st_mtim, backing->st_mtim)))
        sfs_watcher_recheck(session->watcher, node);
}

void sfs_shown_content(const SfsSession *session, SfsNode *node, guint64 serial)
{
    SfsTree *tree = sfs_view_tree(session->view);

    if (sfs_node_makes_news(node) && sfs_tree_is_announced(tree, node) &&
        sfs_tree_announced_state(tree, node).serial != serial)
        sfs_watcher_recheck(session->watcher, node);
}

void sfs_shown_refusal(const SfsSession *session, SfsNode *node)
{
    if (node->kind != SFS_COMPUTED || !shield_bundle_refuse(node->container->bundle, node->computed))
        return;
    sfs_findings_touch(sfs_view_findings(session->view), node->container);
    sfs_watcher_recheck(session->watcher, node);
}
