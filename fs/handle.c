/* SPDX-License-Identifier: Apache-2.0 */
/* handle: open files and directories; see handle.h. */
#include "handle.h"

#include <errno.h>
#include <unistd.h>

#include "open.h"

SfsFileHandle *sfs_file_handle_new(GBytes *snapshot, int fd)
{
    SfsFileHandle *handle = g_new(SfsFileHandle, 1);

    *handle = (SfsFileHandle){snapshot, fd};
    return handle;
}

void sfs_file_handle_free(SfsFileHandle *handle)
{
    g_clear_pointer(&handle->snapshot, g_bytes_unref);
    shield_fd_close(handle->fd);
    g_free(handle);
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
    return handle->snapshot ? read_snapshot(handle->snapshot, size, offset)
                            : read_live(handle->fd, size, offset, errnum);
}

SfsDirectoryHandle *sfs_directory_handle_new(void)
{
    SfsDirectoryHandle *handle = g_new0(SfsDirectoryHandle, 1);

    g_mutex_init(&handle->lock);
    return handle;
}

void sfs_directory_handle_free(SfsDirectoryHandle *handle)
{
    g_clear_pointer(&handle->entries, g_ptr_array_unref);
    g_mutex_clear(&handle->lock);
    g_free(handle);
}

GPtrArray *sfs_directory_handle_list(SfsDirectoryHandle *handle, SfsView *view, SfsNode *directory,
                                     off_t offset, int *errnum)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&handle->lock);

    if (offset == 0 || !handle->entries) {
        GPtrArray *entries = sfs_view_list(view, directory, errnum);

        if (!entries)
            return NULL;
        g_clear_pointer(&handle->entries, g_ptr_array_unref);
        handle->entries = entries;
    }
    return g_ptr_array_ref(handle->entries);
}
