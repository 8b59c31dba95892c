/* SPDX-License-Identifier: Apache-2.0 */
/* reply: see reply.h. */
#include "request/reply.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "text.h"

SfsSession *sfs_request_session(const SfsRequest *r)
{
    return fuse_req_userdata(r->req);
}

gboolean sfs_request_is_announcers(const SfsRequest *r)
{
    return sfs_announcer_client_is_announcer(sfs_outbox_client(sfs_request_session(r)->outbox),
                                             fuse_req_ctx(r->req)->pid);
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

void sfs_reply_errno(const SfsRequest *r, int errnum)
{
    sfs_request_trace(r, "%s", errnum ? strerrorname_np(errnum) : "ok");
    fuse_reply_err(r->req, errnum);
}

/* Is it another error than the last open of the node met? NULL: this one works. */
static gboolean is_news(const SfsRequest *r, const char *message)
{
    SfsTree *tree = sfs_view_tree(sfs_request_session(r)->view);
    g_autoptr(SfsNode) node = sfs_tree_get(tree, r->ino);

    return !node || sfs_tree_note_error(tree, node, message);
}

/* What a person should know goes to the log, once until it is right or wrong in another way; what is just
 * gone does not. */
void sfs_reply_error(const SfsRequest *r, const GError *error)
{
    int errnum = shield_error_errno(error);

    if (errnum != ENOENT && errnum != ESTALE && is_news(r, error->message))
        g_message("%s", error->message);
    sfs_reply_errno(r, errnum);
}

void sfs_reply_bytes(const SfsRequest *r, GBytes *bytes)
{
    gsize len;
    const char *data = g_bytes_get_data(bytes, &len);

    sfs_request_trace(r, "%" G_GSIZE_FORMAT " bytes", len);
    fuse_reply_buf(r->req, data, len);
}

void sfs_reply_attributes(const SfsRequest *r, const struct stat *st)
{
    sfs_request_trace(r, "size %lld", (long long)st->st_size);
    fuse_reply_attr(r->req, st, 0);
}

void sfs_request_check_announced(const SfsRequest *r, SfsNode *node, const struct stat *st)
{
    SfsTree *tree = sfs_view_tree(sfs_request_session(r)->view);
    SfsState announced_state = sfs_tree_announced_state(tree, node);

    if (node->kind != SFS_ROOT && node->kind != SFS_META && sfs_tree_is_announced(tree, node) &&
        (announced_state.st.st_size != st->st_size ||
         !shield_time_equal(announced_state.st.st_mtim, st->st_mtim) ||
         sfs_state_access_differs(&announced_state, st)))
        sfs_watcher_recheck(sfs_request_session(r)->watcher, node);
}

void sfs_reply_attributes_of(const SfsRequest *r, SfsNode *node, const struct stat *st)
{
    sfs_request_check_announced(r, node, st);
    sfs_reply_attributes(r, st);
}

void sfs_reply_entry(const SfsRequest *r, SfsNode *node, const struct stat *st)
{
    struct fuse_entry_param entry = {.ino = node->ino, .attr = *st};
    SfsTree *tree = sfs_view_tree(sfs_request_session(r)->view);

    /* Counted before the reply: the FORGET may overtake us. */
    sfs_tree_look_up(tree, node);
    sfs_request_trace(r, "node %" G_GUINT64_FORMAT, node->ino);
    if (fuse_reply_entry(r->req, &entry) == -ENOENT) /* interrupted: the kernel never got it */
        sfs_tree_forget(tree, node->ino, 1);
}

/* Registered before the reply: the RELEASE may overtake us. Interrupted: there will be none. */
static void reply_open(const SfsRequest *r, struct fuse_file_info *fi, void *handle, GDestroyNotify free_func)
{
    SfsHandles *handles = sfs_request_session(r)->handles;

    fi->fh = (uintptr_t)handle;
    sfs_handles_add(handles, handle, free_func);
    sfs_request_trace(r, "ok");
    if (fuse_reply_open(r->req, fi) == -ENOENT)
        sfs_handles_remove(handles, handle);
}

void sfs_reply_open(const SfsRequest *r, struct fuse_file_info *fi, SfsFileHandle *handle)
{
    (void)is_news(r, NULL);
    fi->direct_io = 1;
    fi->noflush = 1; /* there is nothing to flush, and FLUSH takes the inode's lock */
    reply_open(r, fi, handle, sfs_file_handle_free);
}

void sfs_reply_opendir(const SfsRequest *r, struct fuse_file_info *fi, SfsDirectoryHandle *handle)
{
    reply_open(r, fi, handle, sfs_directory_handle_free);
}
