/* SPDX-License-Identifier: Apache-2.0 */
/* announcer_ops: answers to the announcer; see announcer_ops.h. */
#include "request/announcer_ops.h"

#include <errno.h>
#include <unistd.h>

#include "fault.h"
#include "view/attributes.h"

static SfsTree *tree_of(const SfsRequest *r)
{
    return sfs_view_tree(sfs_request_session(r)->view);
}

/* The attributes as they are; of what is gone, as they were told last. */
static void attributes(const SfsRequest *r, SfsNode *node, struct stat *st)
{
    g_auto(SfsSight) sight = {0};

    if (sfs_tree_is_attached(tree_of(r), node) &&
        sfs_attributes_at_once(sfs_request_session(r)->view, node, &sight) == 0) {
        *st = sight.st;
        return;
    }

    *st = sfs_tree_announced_state(tree_of(r), node).st;
    st->st_ino = node->ino;
    if (st->st_mode == 0) { /* never told: a ghost */
        st->st_mode = sfs_node_is_directory(node) ? S_IFDIR | 0555 : S_IFREG | 0444;
        st->st_uid = getuid();
        st->st_gid = getgid();
        st->st_nlink = 1;
    }
}

static void reply_entry(const SfsRequest *r, SfsNode *node)
{
    struct stat st;

    attributes(r, node, &st);
    sfs_reply_entry(r, node, &st);
}

gboolean sfs_announcer_ops_lookup(const SfsRequest *r)
{
    g_autoptr(SfsNode) parent = NULL;
    g_autoptr(SfsNode) node = NULL;

    if (!sfs_request_is_announcers(r) || shield_fault(SHIELD_FAULT_OWN_VIEW))
        return FALSE;
    parent = sfs_tree_get(tree_of(r), r->ino);
    if (parent && sfs_node_is_directory(parent))
        node = sfs_tree_announced_child(tree_of(r), parent, r->name);
    if (node)
        reply_entry(r, node);
    else
        sfs_reply_errno(r, ENOENT);
    return TRUE;
}

gboolean sfs_announcer_ops_attributes(const SfsRequest *r)
{
    g_autoptr(SfsNode) node = NULL;
    struct stat st;

    if (!sfs_request_is_announcers(r))
        return FALSE;
    node = sfs_tree_get(tree_of(r), r->ino);
    if (!node) {
        sfs_reply_errno(r, ENOENT);
        return TRUE;
    }
    attributes(r, node, &st);
    sfs_reply_attributes(r, &st);
    return TRUE;
}

gboolean sfs_announcer_ops_open(const SfsRequest *r, struct fuse_file_info *fi)
{
    if (!sfs_request_is_announcers(r))
        return FALSE;
    sfs_reply_open_unread(r, fi);
    return TRUE;
}

/* The node that the announcer is to make known under this name; the reply has been sent if it is NULL. */
static SfsNode *created(const SfsRequest *r)
{
    SfsNode *node = sfs_announcer_client_creating(sfs_request_session(r)->announcer, r->ino, r->name);

    if (node)
        sfs_tree_set_announced(tree_of(r), node, TRUE);
    else
        sfs_reply_errno(r, EROFS);
    return node;
}

gboolean sfs_announcer_ops_create(const SfsRequest *r, struct fuse_file_info *fi)
{
    g_autoptr(SfsNode) node = NULL;
    struct stat st;

    if (!sfs_request_is_announcers(r))
        return FALSE;
    node = created(r);
    if (!node)
        return TRUE;
    attributes(r, node, &st);
    sfs_reply_created(r, fi, node, &st);
    return TRUE;
}

gboolean sfs_announcer_ops_mkdir(const SfsRequest *r)
{
    g_autoptr(SfsNode) node = NULL;

    if (!sfs_request_is_announcers(r))
        return FALSE;
    shield_fault_stop(SHIELD_FAULT_STOP_MKDIR);
    node = created(r);
    if (node)
        reply_entry(r, node);
    return TRUE;
}

/* Somebody has come upon it who must not find it removed yet. */
static gboolean is_astray(const SfsNode *node)
{
    return sfs_node_is_directory(node) && node->container &&
           sfs_container_stray_until(node->container) > g_get_monotonic_time();
}

gboolean sfs_announcer_ops_remove(const SfsRequest *r)
{
    g_autoptr(SfsNode) parent = NULL;
    g_autoptr(SfsNode) node = NULL;

    if (!sfs_request_is_announcers(r))
        return FALSE;
    parent = sfs_tree_get(tree_of(r), r->ino);
    if (parent)
        node = sfs_tree_announced_child(tree_of(r), parent, r->name);
    if (node && is_astray(node)) {
        sfs_reply_errno(r, EAGAIN);
        return TRUE;
    }
    if (node)
        sfs_tree_set_announced(tree_of(r), node, FALSE);
    sfs_reply_errno(r, node ? 0 : ENOENT);
    return TRUE;
}
