/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops: the request handlers; see ops.h.
 *
 * Timeouts of entries and attributes are 0: the kernel asks each time, so what it shows is as fresh as the
 * answer. Files are direct_io: the page cache belongs to the inode, so that with it one reader's snapshot
 * would become another's. Nothing here operates on the mount or waits for the kernel.
 */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "handle.h"
#include "text.h"
#include "view.h"

/* One request, for its reply and for the line that -d prints of it. */
typedef struct {
    fuse_req_t req;
    const char *op;
    guint64 ino;
    const char *name; /* or NULL */
} Request;

static SfsView *view_of(const Request *r)
{
    return fuse_req_userdata(r->req);
}

static void trace(const Request *r, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void trace(const Request *r, const char *format, ...)
{
    if (!view_of(r)->options->debug)
        return;

    va_list args;
    va_start(args, format);
    g_autofree char *result = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *name = r->name ? shield_text_escape(r->name, -1) : NULL;
    g_debug("%s %" G_GUINT64_FORMAT "%s%s: %s", r->op, r->ino, name ? " " : "", name ? name : "", result);
}

static void reply_errno(const Request *r, int errnum)
{
    trace(r, "%s", errnum ? strerrorname_np(errnum) : "ok");
    fuse_reply_err(r->req, errnum);
}

/* What a person should know goes to the log; what is just gone does not. */
static void reply_error(const Request *r, const GError *error)
{
    int errnum = shield_error_errno(error);

    if (errnum != ENOENT && errnum != ESTALE)
        g_message("%s", error->message);
    reply_errno(r, errnum);
}

static void reply_bytes(const Request *r, GBytes *bytes)
{
    gsize len;
    const char *data = g_bytes_get_data(bytes, &len);

    trace(r, "%" G_GSIZE_FORMAT " bytes", len);
    fuse_reply_buf(r->req, data, len);
}

/* The node of the request; NULL if the reply has been sent. */
static SfsNode *resolve(const Request *r)
{
    int errnum;
    SfsNode *node = sfs_view_resolve(view_of(r), r->ino, &errnum);

    if (!node)
        reply_errno(r, errnum);
    return node;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    /* Else the kernel lets only one LOOKUP or READDIR at a time into a directory. */
    if (conn->capable & FUSE_CAP_PARALLEL_DIROPS)
        conn->want |= FUSE_CAP_PARALLEL_DIROPS;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent_ino, const char *name)
{
    Request r = {req, "LOOKUP", parent_ino, name};
    g_autoptr(SfsNode) parent = resolve(&r);
    struct fuse_entry_param entry = {0};
    int errnum = 0;

    if (!parent)
        return;

    g_autoptr(SfsNode) node = sfs_view_lookup(view_of(&r), parent, name, &errnum);
    if (!node)
        return reply_errno(&r, errnum);
    errnum = sfs_view_attributes(view_of(&r), node, &entry.attr);
    if (errnum)
        return reply_errno(&r, errnum);

    entry.ino = node->ino;
    /* Counted before the reply: the FORGET may overtake us. */
    sfs_tree_look_up(view_of(&r)->tree, node);
    trace(&r, "node %" G_GUINT64_FORMAT, node->ino);
    if (fuse_reply_entry(req, &entry) == -ENOENT) /* interrupted: the kernel never got it */
        sfs_tree_forget(view_of(&r)->tree, node->ino, 1);
}

static void forget(const Request *r, guint64 n)
{
    trace(r, "%" G_GUINT64_FORMAT " times", n);
    if (!sfs_tree_forget(view_of(r)->tree, r->ino, n) && r->ino != FUSE_ROOT_ID)
        g_critical("the kernel forgot node %" G_GUINT64_FORMAT " more often than it had it", r->ino);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    Request r = {req, "FORGET", ino, NULL};

    forget(&r, n);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++) {
        Request r = {req, "FORGET", forgets[i].ino, NULL};

        forget(&r, forgets[i].nlookup);
    }
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    Request r = {req, "GETATTR", ino, NULL};
    g_autoptr(SfsNode) node = resolve(&r);
    struct stat st;

    (void)fi;
    if (!node)
        return;

    int errnum = sfs_view_attributes(view_of(&r), node, &st);
    if (errnum)
        return reply_errno(&r, errnum);
    trace(&r, "size %lld", (long long)st.st_size);
    fuse_reply_attr(req, &st, 0);
}

/* Without default_permissions the kernel asks here, for access(2) and chdir(2). */
static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    Request r = {req, "ACCESS", ino, NULL};
    g_autoptr(SfsNode) node = resolve(&r);
    struct stat st;

    if (!node)
        return;

    int errnum = mask & W_OK ? EROFS : sfs_view_attributes(view_of(&r), node, &st);
    if (!errnum && (((mask & R_OK) && !(st.st_mode & 0444)) || ((mask & X_OK) && !(st.st_mode & 0111))))
        errnum = EACCES;
    reply_errno(&r, errnum);
}

static void reply_open(const Request *r, struct fuse_file_info *fi, SfsFileHandle *handle)
{
    fi->fh = (uintptr_t)handle;
    fi->direct_io = 1;
    fi->noflush = 1; /* there is nothing to flush, and FLUSH takes the inode's lock */
    trace(r, "ok");
    if (fuse_reply_open(r->req, fi) == -ENOENT) /* interrupted: there will be no RELEASE */
        sfs_file_handle_free(handle);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    Request r = {req, "OPEN", ino, NULL};
    g_autoptr(SfsNode) node = resolve(&r);
    g_autoptr(GError) error = NULL;
    GBytes *snapshot = NULL;
    int fd = -1;

    if (!node)
        return;
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0)
        return reply_errno(&r, EROFS);
    if (node->kind == SFS_RAW)
        fd = sfs_view_open_raw(view_of(&r), node, &error);
    else
        snapshot = sfs_view_snapshot(view_of(&r), node, &error);
    if (error)
        return reply_error(&r, error);
    reply_open(&r, fi, sfs_file_handle_new(snapshot, fd));
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    Request r = {req, "READ", ino, NULL};
    int errnum = 0;
    g_autoptr(GBytes) bytes = sfs_file_handle_read((SfsFileHandle *)(uintptr_t)fi->fh, size, offset, &errnum);

    if (!bytes)
        return reply_errno(&r, errnum);
    reply_bytes(&r, bytes);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    Request r = {req, "RELEASE", ino, NULL};

    sfs_file_handle_free((SfsFileHandle *)(uintptr_t)fi->fh);
    reply_errno(&r, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    Request r = {req, "OPENDIR", ino, NULL};
    g_autoptr(SfsNode) node = resolve(&r);
    int errnum = 0;

    if (!node)
        return;

    /* Taken now too, so that what can't be listed fails at the open, as everywhere. */
    g_autoptr(GPtrArray) entries = sfs_view_list(view_of(&r), node, &errnum);
    if (!entries)
        return reply_errno(&r, errnum);

    SfsDirectoryHandle *handle = sfs_directory_handle_new();
    fi->fh = (uintptr_t)handle;
    trace(&r, "ok");
    if (fuse_reply_open(req, fi) == -ENOENT)
        sfs_directory_handle_free(handle);
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

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    Request r = {req, "READDIR", ino, NULL};
    g_autoptr(SfsNode) node = resolve(&r);
    int errnum = 0;

    if (!node)
        return;

    SfsDirectoryHandle *handle = (SfsDirectoryHandle *)(uintptr_t)fi->fh;
    g_autoptr(GPtrArray) entries = sfs_directory_handle_list(handle, view_of(&r), node, offset, &errnum);
    if (!entries)
        return reply_errno(&r, errnum);

    g_autoptr(GBytes) packed = pack_entries(req, entries, size, offset);
    reply_bytes(&r, packed);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    Request r = {req, "RELEASEDIR", ino, NULL};

    sfs_directory_handle_free((SfsDirectoryHandle *)(uintptr_t)fi->fh);
    reply_errno(&r, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    Request r = {req, "STATFS", ino, NULL};
    g_autoptr(SfsNode) node = resolve(&r);
    struct statvfs sv = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};

    if (!node)
        return;
    sv.f_files = sfs_view_count_containers(view_of(&r));
    trace(&r, "ok");
    fuse_reply_statfs(req, &sv);
}

/* Whatever would change something. ino may be a node or a parent; both are left unresolved, for the answer is
 * the same. */
static void refuse(fuse_req_t req, const char *op, fuse_ino_t ino, const char *name)
{
    Request r = {req, op, ino, name};

    reply_errno(&r, EROFS);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    (void)attr, (void)to_set, (void)fi;
    refuse(req, "SETATTR", ino, NULL);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)mode, (void)rdev;
    refuse(req, "MKNOD", parent, name);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode;
    refuse(req, "MKDIR", parent, name);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    refuse(req, "UNLINK", parent, name);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    refuse(req, "RMDIR", parent, name);
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
    (void)mode, (void)fi;
    refuse(req, "CREATE", parent, name);
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
