/* SPDX-License-Identifier: Apache-2.0 */
/* reply: see reply.h. */
#include "request/reply.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "request/caller.h"
#include "request/shown.h"
#include "text.h"
#include "view/readers.h"
#include "view/wrong.h"

#define ENTRY_SEC 1.0

SfsRequest sfs_request(fuse_req_t req, SfsOp kind, const char *op, guint64 ino, const char *name)
{
    return (SfsRequest){req, op, ino, name, kind, g_get_monotonic_time()};
}

SfsSession *sfs_request_session(const SfsRequest *r)
{
    return fuse_req_userdata(r->req);
}

gboolean sfs_request_is_announcers(const SfsRequest *r)
{
    return sfs_announcer_client_is_announcer(sfs_request_session(r)->announcer, fuse_req_ctx(r->req)->pid);
}

void sfs_request_trace(const SfsRequest *r, const char *format, ...)
{
    if (!g_log_get_debug_enabled())
        return;

    va_list args;
    va_start(args, format);
    g_autofree char *result = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *name = r->name ? shield_text_escape(r->name, -1) : NULL;
    g_debug("%s%s %" G_GUINT64_FORMAT "%s%s: %s", sfs_request_is_announcers(r) ? "announcer's " : "", r->op,
            r->ino, name ? " " : "", name ? name : "", result);
}

/* It is about to be answered: who has the answer finds it counted. */
static void count(const SfsRequest *r)
{
    sfs_counts_add(&sfs_request_session(r)->counts, r->kind, g_get_monotonic_time() - r->since);
}

/* Entries live for a while in the kernel's cache, so a request may be about a node whose name has gone, or
 * leads elsewhere. Whoever sent it is told to look again, if there is anything to be found. A name in a
 * directory that is there has just been looked for. */
static int look_again(const SfsRequest *r, int errnum)
{
    const SfsView *view = sfs_request_session(r)->view;
    g_autoptr(SfsNode) node = NULL;

    if (errnum != ENOENT || sfs_request_is_announcers(r))
        return errnum;
    node = sfs_tree_get(sfs_view_tree(view), r->ino);
    if (!node || (r->name && sfs_tree_is_attached(sfs_view_tree(view), node)))
        return errnum;
    return sfs_view_errno_of_gone(sfs_request_session(r)->view, node);
}

void sfs_reply_errno(const SfsRequest *r, int errnum)
{
    errnum = look_again(r, errnum);
    sfs_request_trace(r, "%s", errnum ? strerrorname_np(errnum) : "ok");
    count(r);
    fuse_reply_err(r->req, errnum);
}

/* What a person should know goes to the log: once, until it is right again, or wrong in another way. That a
 * file has just gone does not. */
void sfs_reply_error(const SfsRequest *r, const GError *error)
{
    SfsTree *tree = sfs_view_tree(sfs_request_session(r)->view);
    g_autoptr(SfsNode) node = sfs_tree_get(tree, r->ino);
    int errnum = shield_error_errno(error);

    if (node && errnum != ENOENT && errnum != ESTALE)
        sfs_wrong_tell(tree, node, error);
    sfs_reply_errno(r, errnum);
}

void sfs_reply_over_quota(const SfsRequest *r, SfsNode *node, SfsQuota *quota, int errnum)
{
    g_autofree char *path = sfs_announcer_client_path(node);

    sfs_quota_tell(quota, path, fuse_req_ctx(r->req)->uid);
    sfs_reply_errno(r, errnum);
}

void sfs_reply_none(const SfsRequest *r)
{
    count(r);
    fuse_reply_none(r->req);
}

void sfs_reply_poll(const SfsRequest *r, unsigned events)
{
    sfs_request_trace(r, "events %#x", events);
    count(r);
    fuse_reply_poll(r->req, events);
}

void sfs_reply_statfs(const SfsRequest *r, const struct statvfs *sv)
{
    sfs_request_trace(r, "ok");
    count(r);
    fuse_reply_statfs(r->req, sv);
}

void sfs_reply_bytes(const SfsRequest *r, GBytes *bytes)
{
    gsize len;
    const char *data = g_bytes_get_data(bytes, &len);

    sfs_request_trace(r, "%" G_GSIZE_FORMAT " bytes", len);
    count(r);
    fuse_reply_buf(r->req, data, len);
}

void sfs_reply_attributes(const SfsRequest *r, const struct stat *st)
{
    sfs_request_trace(r, "size %lld", (long long)st->st_size);
    count(r);
    fuse_reply_attr(r->req, st, 0);
}

void sfs_reply_attributes_of(const SfsRequest *r, SfsNode *node, const SfsSight *sight)
{
    SfsSight shown = *sight; /* what it refers to stays the caller's */
    g_auto(SfsCaller) caller = sfs_caller_of(r);
    int errnum;

    sfs_shown_attributes(sfs_request_session(r), node, &sight->st);
    if (sfs_sight_hide(&shown, &caller, &errnum) && !sfs_readers_hide(node))
        errnum = EACCES;
    if (errnum)
        sfs_reply_errno(r, errnum);
    else
        sfs_reply_attributes(r, &shown.st);
}

void sfs_reply_forget_size(const SfsRequest *r, SfsNode *node)
{
    /* Fails if the kernel has not the node any more: as good. Pages it keeps none of. */
    (void)fuse_lowlevel_notify_inval_inode(sfs_request_session(r)->fuse, node->ino, -1, 0);
}

/* For how long the kernel may go by a name without asking, in seconds. Its end must reach the kernel, so for
 * none that is gone, or is yet to be announced, nor without an announcer, nor where no event tells of it. Nor
 * for a directory with something in it that is, nor for one that only the announcer asks for: who asks for
 * what is in it, just when an older directory of that name ends, would be told by the kernel that there is no
 * such file. */
static double lifetime(const SfsRequest *r, SfsNode *node)
{
    const SfsSession *session = sfs_request_session(r);

    return !(sfs_request_is_announcers(r) && sfs_node_is_directory(node)) &&
                   sfs_tree_is_told(sfs_view_tree(session->view), node) &&
                   sfs_announcer_client_socket(session->announcer) >= 0 && sfs_view_tells(session->view, node)
               ? ENTRY_SEC
               : 0;
}

/* Counted before the reply: the FORGET may overtake us. */
static struct fuse_entry_param look_up(const SfsRequest *r, SfsNode *node, const struct stat *st)
{
    const SfsSession *session = sfs_request_session(r);

    if (sfs_tree_look_up(sfs_view_tree(session->view), node))
        sfs_watcher_recheck(session->watcher, node);
    sfs_request_trace(r, "node %" G_GUINT64_FORMAT, node->ino);
    return (struct fuse_entry_param){.ino = node->ino, .attr = *st, .entry_timeout = lifetime(r, node)};
}

/* Interrupted: the kernel never got it. The request is gone by now. */
static void take_back(SfsTree *tree, const SfsNode *node, int result)
{
    if (result == -ENOENT)
        sfs_tree_forget(tree, node->ino, 1);
}

void sfs_reply_entry(const SfsRequest *r, SfsNode *node, const struct stat *st)
{
    SfsTree *tree = sfs_view_tree(sfs_request_session(r)->view);
    struct fuse_entry_param entry = look_up(r, node, st);

    count(r);
    take_back(tree, node, fuse_reply_entry(r->req, &entry));
}

static void set_flags(struct fuse_file_info *fi)
{
    /* The page cache belongs to the inode: with it, one reader's snapshot would be another's. */
    fi->direct_io = 1;
    /* There is nothing to flush, and FLUSH takes the inode's lock. */
    fi->noflush = 1;
}

void sfs_reply_created(const SfsRequest *r, struct fuse_file_info *fi, SfsNode *node, const struct stat *st)
{
    SfsTree *tree = sfs_view_tree(sfs_request_session(r)->view);
    struct fuse_entry_param entry = look_up(r, node, st);

    fi->fh = 0;
    set_flags(fi);
    count(r);
    take_back(tree, node, fuse_reply_create(r->req, &entry, fi));
}

void sfs_reply_open_unread(const SfsRequest *r, struct fuse_file_info *fi)
{
    fi->fh = 0;
    set_flags(fi);
    sfs_request_trace(r, "ok");
    count(r);
    fuse_reply_open(r->req, fi);
}

/* Registered before the reply: the RELEASE may overtake us. Interrupted: there will be none. */
static void reply_open(const SfsRequest *r, struct fuse_file_info *fi, void *handle, GDestroyNotify free_func)
{
    SfsHandles *handles = sfs_request_session(r)->handles;

    fi->fh = (uintptr_t)handle;
    sfs_handles_add(handles, handle, free_func);
    sfs_request_trace(r, "ok");
    count(r);
    if (fuse_reply_open(r->req, fi) == -ENOENT)
        sfs_handles_remove(handles, handle);
}

void sfs_reply_open(const SfsRequest *r, struct fuse_file_info *fi, SfsFileHandle *handle)
{
    SfsTree *tree = sfs_view_tree(sfs_request_session(r)->view);
    g_autoptr(SfsNode) node = sfs_tree_get(tree, r->ino);

    if (node)
        sfs_wrong_is_right(tree, node);
    set_flags(fi);
    reply_open(r, fi, handle, sfs_file_handle_free);
}

void sfs_reply_opendir(const SfsRequest *r, struct fuse_file_info *fi, SfsDirectoryHandle *handle)
{
    reply_open(r, fi, handle, sfs_directory_handle_free);
}
