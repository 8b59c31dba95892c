/* SPDX-License-Identifier: Apache-2.0 */
/* handle: open files and directories; see handle.h. */
#include "request/handle.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lock.h"
#include "open.h"
#include "view/readers.h"

SfsFileHandle *sfs_file_handle_new_raw(int fd, SfsShare share)
{
    SfsFileHandle *handle = g_new0(SfsFileHandle, 1);

    handle->fd = fd;
    handle->share = share;
    g_mutex_init(&handle->lock);
    return handle;
}

SfsFileHandle *sfs_file_handle_new_computed(SfsContent content, SfsShare share, SfsCaller opener,
                                            SfsNode *read)
{
    SfsFileHandle *handle = sfs_file_handle_new_raw(-1, share);

    handle->opener = opener;
    handle->content = content;
    handle->read = read;
    return handle;
}

void sfs_file_handle_free(void *data)
{
    SfsFileHandle *handle = data;

    shield_fd_close(handle->fd);
    if (handle->read)
        sfs_readers_leave(handle->read);
    g_clear_pointer(&handle->read, sfs_node_unref);
    sfs_share_clear(&handle->waiting);
    sfs_share_clear(&handle->share); /* before the text goes that it is of */
    sfs_content_clear(&handle->content);
    g_mutex_clear(&handle->lock);
    g_free(handle);
}

gboolean sfs_file_handle_poll(SfsFileHandle *handle, SfsQuota *quota, uid_t uid)
{
    SHIELD_AUTO_LOCK(&handle->lock);

    handle->polled = handle->polled || sfs_share_take_of(&handle->waiting, quota, uid, handle, 1);
    return handle->polled;
}

gboolean sfs_file_handle_is_polled(SfsFileHandle *handle)
{
    SHIELD_AUTO_LOCK(&handle->lock);

    return handle->polled;
}

guint64 sfs_file_handle_serial(SfsFileHandle *handle)
{
    SHIELD_AUTO_LOCK(&handle->lock);

    return handle->content.serial;
}

void sfs_file_handle_renew(SfsFileHandle *handle, SfsContent content, SfsShare share, int errnum)
{
    SHIELD_AUTO_LOCK(&handle->lock);

    sfs_share_clear(&handle->share);
    handle->share = share;
    g_clear_pointer(&handle->content.text, g_bytes_unref);
    handle->content = content;
    handle->errnum = content.text ? 0 : errnum;
}

static GBytes *read_snapshot(GBytes *snapshot, gsize size, off_t offset)
{
    gsize whole = g_bytes_get_size(snapshot), start = MIN((gsize)offset, whole);

    return g_bytes_new_from_bytes(snapshot, start, MIN(size, whole - start));
}

static GBytes *read_live(int fd, gsize size, off_t offset, int *errnum)
{
    g_autofree guint8 *buffer = g_malloc(MAX(size, 1));
    gsize filled = 0;

    while (filled < size) {
        ssize_t got = pread(fd, buffer + filled, size - filled, offset + (off_t)filled);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && filled == 0) {
            *errnum = errno;
            return NULL;
        }
        if (got <= 0)
            break;
        filled += (gsize)got;
    }
    return g_bytes_new_take(g_steal_pointer(&buffer), filled);
}

GBytes *sfs_file_handle_read(SfsFileHandle *handle, gsize size, off_t offset, int *errnum)
{
    if (handle->fd >= 0)
        return read_live(handle->fd, size, offset, errnum);

    SHIELD_AUTO_LOCK(&handle->lock);
    *errnum = handle->errnum;
    return handle->errnum ? NULL : read_snapshot(handle->content.text, size, offset);
}

SfsDirectoryHandle *sfs_directory_handle_new(SfsCaller opener)
{
    SfsDirectoryHandle *handle = g_new0(SfsDirectoryHandle, 1);

    handle->opener = opener;
    g_mutex_init(&handle->lock);
    return handle;
}

static void drop_listing(SfsDirectoryHandle *handle)
{
    g_clear_pointer(&handle->entries, g_ptr_array_unref);
    sfs_share_clear(&handle->share);
}

void sfs_directory_handle_free(void *data)
{
    SfsDirectoryHandle *handle = data;

    drop_listing(handle);
    g_mutex_clear(&handle->lock);
    g_free(handle);
}

static gsize size_of(const GPtrArray *entries)
{
    gsize size = 0;

    for (guint i = 0; i < entries->len; i++) {
        const SfsEntry *entry = g_ptr_array_index(entries, i);
        size += sizeof(SfsEntry *) + sizeof *entry + strlen(entry->name) + 1;
    }
    return size;
}

/* Lock held. FALSE with *errnum. */
static gboolean take_listing(SfsDirectoryHandle *handle, SfsView *view, SfsNode *directory, SfsCaller *caller,
                             SfsQuota *quota, int *errnum)
{
    SfsCaller *other = sfs_caller_is(&handle->opener, caller) ? NULL : &handle->opener;
    SfsCaller *const callers[] = {caller, other, NULL};
    g_autoptr(GPtrArray) entries = NULL;

    *errnum = sfs_view_list(view, directory, callers, &entries);
    if (*errnum)
        return FALSE;
    drop_listing(handle);
    if (!sfs_share_take(&handle->share, quota, handle->opener.uid, size_of(entries)))
        return FALSE;
    handle->entries = g_steal_pointer(&entries);
    return TRUE;
}

GPtrArray *sfs_directory_handle_list(SfsDirectoryHandle *handle, SfsView *view, SfsNode *directory,
                                     SfsCaller *caller, SfsQuota *quota, off_t offset, int *errnum)
{
    SHIELD_AUTO_LOCK(&handle->lock);

    if ((offset == 0 || !handle->entries) && !take_listing(handle, view, directory, caller, quota, errnum))
        return NULL;
    return g_ptr_array_ref(handle->entries);
}

struct SfsHandles {
    GMutex lock;
    GHashTable *open; /* handle to its free function */
};

SfsHandles *sfs_handles_new(void)
{
    SfsHandles *handles = g_new0(SfsHandles, 1);

    g_mutex_init(&handles->lock);
    handles->open = g_hash_table_new(NULL, NULL);
    return handles;
}

void sfs_handles_free(SfsHandles *handles)
{
    GHashTableIter iter;
    void *handle, *free_func;

    g_hash_table_iter_init(&iter, handles->open);
    while (g_hash_table_iter_next(&iter, &handle, &free_func))
        ((GDestroyNotify)free_func)(handle);
    g_hash_table_unref(handles->open);
    g_mutex_clear(&handles->lock);
    g_free(handles);
}

void sfs_handles_add(SfsHandles *handles, void *handle, GDestroyNotify free_func)
{
    SHIELD_AUTO_LOCK(&handles->lock);

    g_hash_table_insert(handles->open, handle, free_func);
}

void sfs_handles_remove(SfsHandles *handles, void *handle)
{
    void *free_func = NULL;

    g_mutex_lock(&handles->lock);
    (void)g_hash_table_steal_extended(handles->open, handle, NULL, &free_func);
    g_mutex_unlock(&handles->lock);
    if (free_func)
        ((GDestroyNotify)free_func)(handle);
}
