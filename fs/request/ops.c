/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops: the request handlers; see ops.h.
 *
 * Attributes live for no longer than the reply: the kernel asks each time, so what it shows is as fresh as
 * the answer. Nothing here operates on the mount or waits for the kernel.
 */
#include "request/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "request/announcer_ops.h"
#include "request/caller.h"
#include "request/deferred.h"
#include "request/handle.h"
#include "request/libfuse.h"
#include "request/pollers.h"
#include "request/reply.h"
#include "request/shown.h"
#include "view/attributes.h"
#include "view/contents.h"
#include "view/readers.h"

#define LISTINGS 3 /* of a directory that changes meanwhile, before one is taken as it is */

static SfsView *view_of(const SfsRequest *r)
{
    return sfs_request_session(r)->view;
}

/* The node of the request; NULL if the reply has been sent. */
static SfsNode *resolve(const SfsRequest *r)
{
    SfsNode *node;
    int errnum = sfs_view_resolve(view_of(r), r->ino, &node);

    if (errnum)
        sfs_reply_errno(r, errnum);
    return node;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    sfs_libfuse_want_parallel(conn);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent_ino, const char *name)
{
    SfsRequest r = sfs_request(req, SFS_OP_LOOKUP, "LOOKUP", parent_ino, name);
    g_autoptr(SfsNode) parent = NULL;
    g_autoptr(SfsNode) node = NULL;
    g_auto(SfsSight) sight = {0};
    g_auto(SfsCaller) caller = sfs_caller_of(&r);
    int errnum, refused;

    if (sfs_announcer_ops_lookup(&r))
        return;
    parent = resolve(&r);
    if (!parent)
        return;
    errnum = sfs_view_lookup(view_of(&r), parent, name, &node);
    /* A LOOKUP in progress keeps changes out of its directory, and all other LOOKUPs there: it must not take
     * long. What it says of size and time lives no longer than the reply; who wants to know asks again. */
    if (!errnum)
        errnum = sfs_attributes_at_once(view_of(&r), node, &sight);
    if (errnum) {
        sfs_shown_absence(sfs_request_session(&r), parent, name);
        return sfs_reply_errno(&r, errnum);
    }
    /* Held while it is answered: were it gone meanwhile, it would else count as nobody's. */
    SfsTree *tree = sfs_view_tree(view_of(&r)); /* the request is gone after its reply */
    (void)sfs_tree_look_up(tree, node);
    sfs_shown_node(sfs_request_session(&r), node);
    sfs_shown_attributes(sfs_request_session(&r), node, &sight.st);
    /* Whoever may not get to it is told so when he goes on: an error here would take the entry from others.
     * And to whoever has it open the kernel is to tell its size. */
    struct stat st = sight.st;
    if (sfs_sight_hide(&sight, &caller, &refused) && sfs_readers_hide(node))
        st = sight.st;
    sfs_reply_entry(&r, node, &st);
    sfs_tree_forget(tree, node->ino, 1);
}

static void forget(const SfsRequest *r, guint64 n)
{
    SfsView *view = view_of(r);

    if (!sfs_tree_forget(sfs_view_tree(view), r->ino, n) && r->ino != FUSE_ROOT_ID)
        g_critical("the kernel forgot node %" G_GUINT64_FORMAT " more often than it had it", r->ino);
    if (g_log_get_debug_enabled())
        sfs_request_trace(r, "%" G_GUINT64_FORMAT " times, %u inodes still looked up", n,
                          sfs_tree_count_looked_up(sfs_view_tree(view)));
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    SfsRequest r = sfs_request(req, SFS_OP_FORGET, "FORGET", ino, NULL);

    forget(&r, n);
    sfs_reply_none(&r);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    SfsRequest r = sfs_request(req, SFS_OP_FORGET, "FORGET", 0, NULL);

    for (size_t i = 0; i < count; i++) {
        r.ino = forgets[i].ino;
        forget(&r, forgets[i].nlookup);
    }
    sfs_reply_none(&r);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    SfsRequest r = sfs_request(req, SFS_OP_GETATTR, "GETATTR", ino, NULL);
    g_autoptr(SfsNode) node = NULL;
    g_auto(SfsSight) sight = {0};

    (void)fi;
    if (sfs_announcer_ops_attributes(&r))
        return;
    node = resolve(&r);
    if (!node)
        return;

    if (node->kind == SFS_COMPUTED || node->kind == SFS_STATUS)
        return sfs_deferred_take(sfs_request_session(&r)->deferred,
                                 (SfsPending){.kind = SFS_PENDING_GETATTR, .r = r, .node = node});

    int errnum = sfs_attributes_get(view_of(&r), node, &sight);
    if (errnum)
        return sfs_reply_errno(&r, errnum);
    sfs_reply_attributes_of(&r, node, &sight);
}

/* Without default_permissions the kernel asks here, for access(2) and chdir(2). */
static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    SfsRequest r = sfs_request(req, SFS_OP_ACCESS, "ACCESS", ino, NULL);
    g_autoptr(SfsNode) node = resolve(&r);
    g_auto(SfsSight) sight = {0};

    if (!node)
        return;

    int errnum = mask & W_OK ? EROFS : sfs_attributes_at_once(view_of(&r), node, &sight);
    mode_t mode = sight.st.st_mode;
    if (!errnum && (((mask & R_OK) && !(mode & 0444)) || ((mask & X_OK) && !(mode & 0111))))
        errnum = EACCES;
    sfs_reply_errno(&r, errnum);
}

/* Each open raw file is a descriptor of ours. Too many are ENFILE: EMFILE would be about the caller's own
 * limit.
 */
static void open_raw(const SfsRequest *r, SfsNode *node, struct fuse_file_info *fi)
{
    SfsQuota *quota = sfs_request_session(r)->raw_files;
    g_autoptr(GError) error = NULL;
    g_auto(SfsShare) share = {0};
    g_auto(SfsCaller) caller = sfs_caller_of(r);
    struct stat st;

    if (!sfs_share_take(&share, quota, fuse_req_ctx(r->req)->uid, 1))
        return sfs_reply_over_quota(r, node, quota, ENFILE);

    int fd = sfs_contents_open_raw(view_of(r), node, &caller, &st, &error);
    if (fd < 0 && !error)
        return sfs_reply_errno(r, EACCES);
    if (fd < 0)
        return sfs_reply_error(r, error);
    sfs_shown_file(sfs_request_session(r), node, &st);
    sfs_reply_open(r, fi, sfs_file_handle_new_raw(fd, sfs_share_steal(&share)));
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    SfsRequest r = sfs_request(req, SFS_OP_OPEN, "OPEN", ino, NULL);
    g_autoptr(SfsNode) node = NULL;

    if (sfs_announcer_ops_open(&r, fi))
        return;
    node = resolve(&r);
    if (!node)
        return;
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0)
        return sfs_reply_errno(&r, EROFS);
    if (node->kind == SFS_RAW)
        return open_raw(&r, node, fi);
    sfs_deferred_take(sfs_request_session(&r)->deferred,
                      (SfsPending){.kind = SFS_PENDING_OPEN, .r = r, .node = node, .fi = *fi});
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    SfsRequest r = sfs_request(req, SFS_OP_READ, "READ", ino, NULL);
    SfsFileHandle *handle = (SfsFileHandle *)(uintptr_t)fi->fh;
    g_autoptr(SfsNode) node = offset == 0 ? sfs_tree_get(sfs_view_tree(view_of(&r)), ino) : NULL;
    int errnum = 0;

    /* The read that a poller makes when he was told of a change. No other handle ever changes its content. */
    if (node && node->kind != SFS_RAW && sfs_file_handle_is_polled(handle))
        return sfs_deferred_take(
            sfs_request_session(&r)->deferred,
            (SfsPending){.kind = SFS_PENDING_READ, .r = r, .node = node, .handle = handle, .size = size});

    g_autoptr(GBytes) bytes = sfs_file_handle_read(handle, size, offset, &errnum);
    if (!bytes)
        return sfs_reply_errno(&r, errnum);
    sfs_reply_bytes(&r, bytes);
}

/* A computed file is readable at any time, and in an exceptional state from when its content changes until it
 * is read from the start, as sysfs has it for its attributes. */
static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *waiter)
{
    SfsRequest r = sfs_request(req, SFS_OP_POLL, "POLL", ino, NULL);
    SfsFileHandle *handle = (SfsFileHandle *)(uintptr_t)fi->fh;
    g_autoptr(SfsNode) node = sfs_tree_get(sfs_view_tree(view_of(&r)), ino);

    SfsSession *session = sfs_request_session(&r);
    gboolean ready = !node || node->kind == SFS_RAW;
    gboolean may = ready || sfs_file_handle_poll(handle, session->polled, fuse_req_ctx(req)->uid);

    if (waiter && may && !ready) /* before the comparison: what changes after it wakes him */
        sfs_pollers_set(session->pollers, handle, waiter);
    else if (waiter)
        fuse_pollhandle_destroy(waiter);
    if (ready)
        return sfs_reply_poll(&r, POLLIN | POLLRDNORM);
    if (!may)
        return sfs_reply_over_quota(&r, node, session->polled, ENFILE);
    sfs_deferred_take(session->deferred,
                      (SfsPending){.kind = SFS_PENDING_POLL, .r = r, .node = node, .handle = handle});
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    SfsRequest r = sfs_request(req, SFS_OP_RELEASE, "RELEASE", ino, NULL);

    sfs_pollers_drop(sfs_request_session(&r)->pollers, (void *)(uintptr_t)fi->fh);
    if (fi->fh) /* the announcer's have none */
        sfs_handles_remove(sfs_request_session(&r)->handles, (void *)(uintptr_t)fi->fh);
    sfs_reply_errno(&r, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    SfsRequest r = sfs_request(req, SFS_OP_OPENDIR, "OPENDIR", ino, NULL);
    g_autoptr(SfsNode) node = resolve(&r);

    if (!node)
        return;

    /* Taken now too, so that what can't be listed fails at the open, as everywhere. */
    g_autoptr(GPtrArray) entries = NULL;
    g_auto(SfsCaller) caller = sfs_caller_of(&r);
    SfsCaller *const callers[] = {&caller, NULL};
    int errnum = sfs_view_list(view_of(&r), node, callers, &entries);
    if (errnum)
        return sfs_reply_errno(&r, errnum);
    sfs_reply_opendir(&r, fi, sfs_directory_handle_new(sfs_caller_remember(caller.uid, caller.gid)));
}

/* As many of the entries from offset on as fit into size bytes. */
static GBytes *pack_entries(fuse_req_t req, GPtrArray *entries, size_t size, off_t offset)
{
    g_autofree char *buffer = g_malloc(MAX(size, 1));
    gsize used = 0;

    for (guint i = (guint)MIN(offset, (off_t)entries->len); i < entries->len; i++) {
        const SfsEntry *entry = g_ptr_array_index(entries, i);
        struct stat st = {.st_ino = entry->ino, .st_mode = entry->type};
        gsize needed = fuse_add_direntry(req, buffer + used, size - used, entry->name, &st, (off_t)i + 1);

        if (needed > size - used)
            break;
        used += needed;
    }
    return g_bytes_new_take(g_steal_pointer(&buffer), used);
}

/* Takes the listing and notes that all in it is shown. What is gone by then, and was never announced, nobody
 * would be told of: then the listing is taken again. */
static GPtrArray *list_from_start(const SfsRequest *r, SfsDirectoryHandle *handle, SfsNode *node,
                                  SfsCaller *caller, int *errnum)
{
    SfsSession *session = sfs_request_session(r);
    SfsTree *tree = sfs_view_tree(session->view);
    GPtrArray *entries = NULL;

    for (int i = 0; i < LISTINGS; i++) {
        guint lost = sfs_tree_count_lost(tree, node);

        g_clear_pointer(&entries, g_ptr_array_unref);
        entries =
            sfs_directory_handle_list(handle, session->view, node, caller, session->listings, 0, errnum);
        if (!entries)
            return NULL;
        sfs_shown_listing(session, node);
        if (sfs_tree_count_lost(tree, node) == lost)
            return entries;
    }
    return entries;
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    SfsRequest r = sfs_request(req, SFS_OP_READDIR, "READDIR", ino, NULL);
    g_autoptr(SfsNode) node = resolve(&r);
    int errnum = 0;

    if (!node)
        return;

    SfsDirectoryHandle *handle = (SfsDirectoryHandle *)(uintptr_t)fi->fh;
    SfsQuota *quota = sfs_request_session(&r)->listings;
    g_auto(SfsCaller) caller = sfs_caller_of(&r);
    g_autoptr(GPtrArray) entries =
        offset ? sfs_directory_handle_list(handle, view_of(&r), node, &caller, quota, offset, &errnum)
               : list_from_start(&r, handle, node, &caller, &errnum);
    if (!entries)
        return errnum ? sfs_reply_errno(&r, errnum) : sfs_reply_over_quota(&r, node, quota, ENFILE);

    g_autoptr(GBytes) packed = pack_entries(req, entries, size, offset);
    sfs_reply_bytes(&r, packed);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    SfsRequest r = sfs_request(req, SFS_OP_RELEASEDIR, "RELEASEDIR", ino, NULL);

    sfs_handles_remove(sfs_request_session(&r)->handles, (void *)(uintptr_t)fi->fh);
    sfs_reply_errno(&r, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    SfsRequest r = sfs_request(req, SFS_OP_STATFS, "STATFS", ino, NULL);
    g_autoptr(SfsNode) node = resolve(&r);
    struct statvfs sv = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};
    guint count;

    if (!node)
        return;

    int errnum = sfs_view_count_containers(view_of(&r), &count);
    if (errnum)
        return sfs_reply_errno(&r, errnum);
    sv.f_files = count;
    sfs_reply_statfs(&r, &sv);
}

/* Whatever would change something. ino may be a node or a parent; both are left unresolved, for the answer is
 * the same. */
static void refuse(fuse_req_t req, const char *op, fuse_ino_t ino, const char *name)
{
    SfsRequest r = sfs_request(req, SFS_OP_CHANGE, op, ino, name);

    sfs_reply_errno(&r, EROFS);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    (void)attr, (void)to_set, (void)fi;
    SfsRequest r = sfs_request(req, SFS_OP_CHANGE, "SETATTR", ino, NULL);

    if (!sfs_announcer_ops_attributes(&r))
        sfs_reply_errno(&r, EROFS);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)mode, (void)rdev;
    refuse(req, "MKNOD", parent, name);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode;
    SfsRequest r = sfs_request(req, SFS_OP_CHANGE, "MKDIR", parent, name);

    if (!sfs_announcer_ops_mkdir(&r))
        sfs_reply_errno(&r, EROFS);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    SfsRequest r = sfs_request(req, SFS_OP_CHANGE, "UNLINK", parent, name);

    if (!sfs_announcer_ops_remove(&r))
        sfs_reply_errno(&r, EROFS);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    SfsRequest r = sfs_request(req, SFS_OP_CHANGE, "RMDIR", parent, name);

    if (!sfs_announcer_ops_remove(&r))
        sfs_reply_errno(&r, EROFS);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target;
    refuse(req, "SYMLINK", parent, name);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned int flags)
{
    (void)new_parent, (void)new_name, (void)flags;
    refuse(req, "RENAME", parent, name);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    (void)new_parent;
    refuse(req, "LINK", ino, new_name);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    (void)mode;
    SfsRequest r = sfs_request(req, SFS_OP_CHANGE, "CREATE", parent, name);

    if (!sfs_announcer_ops_create(&r, fi))
        sfs_reply_errno(&r, EROFS);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                        int flags)
{
    (void)value, (void)size, (void)flags;
    refuse(req, "SETXATTR", ino, name);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    refuse(req, "REMOVEXATTR", ino, name);
}

/* No FLUSH, READLINK, GETXATTR and LISTXATTR: libfuse answers ENOSYS, and the kernel then stops asking. No
 * READDIRPLUS: with attributes that live no longer than the reply it would be work for nothing. */
const struct fuse_lowlevel_ops sfs_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .access = op_access,
    .open = op_open,
    .read = op_read,
    .poll = op_poll,
    .release = op_release,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .releasedir = op_releasedir,
    .statfs = op_statfs,
    .setattr = op_setattr,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .create = op_create,
    .setxattr = op_setxattr,
    .removexattr = op_removexattr,
};
