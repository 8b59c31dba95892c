/* SPDX-License-Identifier: Apache-2.0 */
/* contents: snapshots and descriptors of what the view's files hold; see contents.h. */
#include "view/contents.h"

#include <errno.h>
#include <unistd.h>

#include "error.h"
#include "view/status.h"

static ShieldSnapshot *computed(SfsView *view, SfsNode *node,
                                ShieldSnapshot *(*get)(ShieldBundle *, int, const ShieldComputed *),
                                GError **error)
{
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(view, node->container);

    if (!directory) {
        shield_error_set_errno(error, errno, node->container->place->name, node->name);
        return NULL;
    }
    return get(node->container->bundle, directory->fd, node->computed);
}

/* What an open gets of snapshot, which is given up. */
static gboolean content_of(ShieldSnapshot *snapshot, SfsContent *content, GError **error)
{
    g_autoptr(ShieldSnapshot) taken = snapshot;

    *content = (SfsContent){taken->error ? NULL : shield_snapshot_open(taken), taken->serial};
    if (taken->error)
        g_propagate_error(error, g_error_copy(taken->error));
    return !taken->error;
}

gboolean sfs_contents_at_once(SfsView *view, SfsNode *node, SfsContent *content, GError **error)
{
    ShieldSnapshot *snapshot;

    if (node->kind != SFS_COMPUTED)
        return sfs_contents_snapshot(view, node, content, error);
    snapshot = computed(view, node, shield_bundle_warm, NULL);
    return snapshot && content_of(snapshot, content, error);
}

gboolean sfs_contents_snapshot(SfsView *view, SfsNode *node, SfsContent *content, GError **error)
{
    if (node->kind == SFS_VERSION) {
        *content = (SfsContent){sfs_status_version(), 1};
        return TRUE;
    }
    if (node->kind == SFS_STATUS) {
        content->text = sfs_status_text(sfs_view_status(view), &content->serial);
        return TRUE;
    }

    ShieldSnapshot *snapshot = computed(view, node, shield_bundle_try, error);
    return snapshot && content_of(snapshot, content, error);
}

guint64 sfs_contents_serial(SfsView *view, SfsNode *node)
{
    if (node->kind == SFS_COMPUTED) {
        g_autoptr(ShieldSnapshot) last = shield_bundle_last(node->container->bundle, node->computed);

        return last ? last->serial : 0;
    }

    SfsContent content = {0};
    (void)sfs_contents_snapshot(view, node, &content, NULL);
    g_clear_pointer(&content.text, g_bytes_unref);
    return content.serial;
}

/* EISDIR: a directory stands there by now, so the file is gone. EAGAIN: somebody has a write lease, which
 * this open has begun to break. */
static int errno_of_open(int errnum)
{
    return errnum == EISDIR ? ENOENT : errnum == EAGAIN ? EBUSY : errnum;
}

int sfs_contents_open_raw(SfsView *view, SfsNode *node, struct stat *st, GError **error)
{
    const char *label = node->container->place->name;
    g_autofree char *below =
        node->parent->kind == SFS_HOOKS ? g_strconcat(label, "/", node->parent->name, NULL) : NULL;
    g_autoptr(SfsDirectory) parent = sfs_view_open_parent(view, node);
    *st = (struct stat){0};
    int fd = parent ? shield_open_regular(parent->fd, node->name, st) : -1;

    if (fd >= 0)
        return fd;
    if (errno == EIO && st->st_mode != 0 && !S_ISREG(st->st_mode))
        shield_error_set(error, EIO, below ? below : label, node->name, "no regular file: not read");
    else
        shield_error_set_errno(error, errno_of_open(errno), below ? below : label, node->name);
    return -1;
}
