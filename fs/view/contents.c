/* SPDX-License-Identifier: Apache-2.0 */
/* contents: snapshots and descriptors of what the view's files hold; see contents.h. */
#include "view/contents.h"

#include <errno.h>
#include <unistd.h>

#include "error.h"
#include "view/metrics.h"
#include "view/passage.h"
#include "view/status.h"
#include "view/view_private.h"

void sfs_content_clear(SfsContent *content)
{
    g_clear_pointer(&content->text, g_bytes_unref);
    g_clear_pointer(&content->demands, sfs_demands_unref);
}

/* The way once more, when what is at its end has been read: what came only after the way was closed was not
 * to be read by it. way: as it was before, which is part of *demands. FALSE with errno. */
static gboolean demand_way_again(SfsView *view, SfsContainer *container, const SfsDemands *way,
                                 SfsDemands **demands)
{
    g_autoptr(SfsDemands) again = sfs_passage_into(view, container);
    g_autoptr(SfsDemands) before = NULL;

    if (!again)
        return FALSE;
    if (again == way)
        return TRUE; /* nothing has changed meanwhile */
    before = *demands;
    *demands = sfs_demands_new(before);
    sfs_demands_add_all(*demands, again);
    return TRUE;
}

/* The snapshot of a computed file, and what it takes to get to it; NULL with error. */
static ShieldSnapshot *computed(SfsView *view, SfsNode *node,
                                ShieldSnapshot *(*get)(ShieldBundle *, int, const ShieldComputed *),
                                SfsDemands **demands, GError **error)
{
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(view, node->container);

    /* The way before what is at its end, as whoever opens a file goes. */
    if (directory && view->allow_other)
        *demands = sfs_passage_into(view, node->container);
    if (!directory || (view->allow_other && !*demands)) {
        shield_error_set_errno(error, errno, node->container->place->name, node->name);
        return NULL;
    }

    ShieldSnapshot *snapshot = get(node->container->bundle, directory->fd, node->computed);
    if (snapshot && *demands && !demand_way_again(view, node->container, *demands, demands)) {
        shield_error_set_errno(error, errno, node->container->place->name, node->name);
        g_clear_pointer(&snapshot, shield_snapshot_unref);
    }
    return snapshot;
}

/* Adds what the lists demand that a snapshot, or if it was made of none, the last one, was made of. */
static void demand_lists(SfsNode *node, const ShieldSnapshot *snapshot, SfsDemands **demands)
{
    g_autoptr(ShieldSnapshot) last = shield_bundle_last(node->container->bundle, node->computed);
    g_autoptr(SfsDemands) before = *demands;
    const ShieldSnapshot *of = snapshot->n_readings || !last ? snapshot : last;

    *demands = sfs_demands_new(before);
    for (guint i = 0; i < of->n_readings; i++) {
        if (S_ISREG(of->readings[i]->rights.mode))
            sfs_demands_add(*demands, &of->readings[i]->rights, SFS_READ);
    }
}

/* What an open gets of snapshot, which is given up. */
static gboolean content_of(SfsNode *node, ShieldSnapshot *snapshot, SfsContent *content, GError **error)
{
    g_autoptr(ShieldSnapshot) taken = snapshot;

    if (content->demands)
        demand_lists(node, taken, &content->demands);
    content->text = taken->error ? NULL : shield_snapshot_open(taken);
    content->serial = taken->serial;
    if (taken->error)
        g_propagate_error(error, g_error_copy(taken->error));
    return !taken->error;
}

/* .shieldfs is for who mounted. */
static SfsDemands *demands_of_meta(SfsView *view)
{
    const ShieldRights rights = {S_IFREG | S_IRUSR, getuid(), getgid(), NULL};
    SfsDemands *demands = view->allow_other ? sfs_demands_new(NULL) : NULL;

    if (demands)
        sfs_demands_add(demands, &rights, SFS_READ);
    return demands;
}

gboolean sfs_contents_at_once(SfsView *view, SfsNode *node, SfsContent *content, GError **error)
{
    ShieldSnapshot *snapshot;

    if (node->kind != SFS_COMPUTED)
        return sfs_contents_snapshot(view, node, content, error);
    *content = (SfsContent){0};
    snapshot = computed(view, node, shield_bundle_warm, &content->demands, NULL);
    if (snapshot)
        return content_of(node, snapshot, content, error);
    sfs_content_clear(content);
    return FALSE;
}

gboolean sfs_contents_snapshot(SfsView *view, SfsNode *node, SfsContent *content, GError **error)
{
    *content = (SfsContent){0};
    if (node->kind != SFS_COMPUTED)
        content->demands = demands_of_meta(view);
    if (node->kind == SFS_VERSION) {
        content->text = sfs_status_version();
        content->serial = 1;
        return TRUE;
    }
    if (node->kind == SFS_METRICS) {
        content->text = sfs_metrics_text(sfs_view_metrics(view));
        content->serial = 1; /* none is news */
        return TRUE;
    }
    if (node->kind == SFS_STATUS) {
        content->text = sfs_status_text(sfs_view_status(view), &content->serial);
        return TRUE;
    }

    ShieldSnapshot *snapshot = computed(view, node, shield_bundle_try, &content->demands, error);
    return snapshot && content_of(node, snapshot, content, error);
}

guint64 sfs_contents_serial(SfsView *view, SfsNode *node)
{
    if (node->kind == SFS_COMPUTED) {
        g_autoptr(ShieldSnapshot) last = shield_bundle_last(node->container->bundle, node->computed);

        return last ? last->serial : 0;
    }

    SfsContent content = {0};
    (void)sfs_contents_snapshot(view, node, &content, NULL);
    sfs_content_clear(&content);
    return content.serial;
}

/* EISDIR: a directory stands there by now, so the file is gone. EAGAIN: somebody has a write lease, which
 * this open has begun to break. */
static int errno_of_open(int errnum)
{
    return errnum == EISDIR ? ENOENT : errnum == EAGAIN ? EBUSY : errnum;
}

/* May the caller read what was opened? What it takes to get to its directory is known from before. */
static gboolean may_read(SfsDemands *demands, int fd, SfsCaller *caller)
{
    ShieldRights rights;

    if (!demands || !shield_rights_of(fd, &rights))
        return FALSE;
    sfs_demands_add(demands, &rights, SFS_READ);
    shield_rights_clear(&rights);
    return sfs_access_allows(demands, caller);
}

/* What it takes to get to the directory that a raw file lies in, which is open; way: to its bundle. NULL: it
 * can't be told. */
static SfsDemands *demands_of_parent(SfsNode *node, const SfsDirectory *parent, const SfsDemands *way)
{
    g_autoptr(SfsDemands) demands = way ? sfs_demands_new(way) : NULL;
    ShieldRights rights;

    if (demands && node->parent->kind == SFS_HOOKS) {
        if (!shield_rights_of(parent->fd, &rights))
            return NULL;
        sfs_demands_add(demands, &rights, SFS_SEARCH);
        shield_rights_clear(&rights);
    }
    return g_steal_pointer(&demands);
}

int sfs_contents_open_raw(SfsView *view, SfsNode *node, SfsCaller *caller, struct stat *st, GError **error)
{
    const char *label = node->container->place->name;
    g_autofree char *below =
        node->parent->kind == SFS_HOOKS ? g_strconcat(label, "/", node->parent->name, NULL) : NULL;
    g_autoptr(SfsDirectory) parent = sfs_view_open_parent(view, node);
    g_autoptr(SfsDemands) way = parent && view->allow_other ? sfs_passage_into(view, node->container) : NULL;
    g_autoptr(SfsDemands) demands = demands_of_parent(node, parent, way);
    *st = (struct stat){0};
    g_auto(ShieldFd) fd = -1;

    if (parent && view->allow_other && (!demands || !sfs_access_reaches(demands, caller)))
        return -1;
    fd = parent ? shield_open_regular(parent->fd, node->name, st) : -1;
    if (fd >= 0)
        return view->allow_other && !(demand_way_again(view, node->container, way, &demands) &&
                                      may_read(demands, fd, caller))
                   ? -1
                   : g_steal_fd(&fd);
    if (errno == EIO && st->st_mode != 0 && !S_ISREG(st->st_mode))
        shield_error_set(error, EIO, below ? below : label, node->name, "no regular file: not read");
    else
        shield_error_set_errno(error, errno_of_open(errno), below ? below : label, node->name);
    return -1;
}
