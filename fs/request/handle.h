/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle: what an open gives and what later reads of it are served from: the snapshot of a computed file, a
 * live descriptor of a raw one, the listing of a directory. It must not know how any of them came about.
 */
#pragma once

#include <glib.h>

#include "request/quota.h"
#include "view/contents.h"

/* An open file. A computed one keeps the content it was opened with; but once it has been polled, a read from
 * the start may give it a newer one. */
typedef struct {
    int fd;      /* of a raw file; -1: computed */
    GMutex lock; /* protects the rest */
    SfsContent content;
    SfsShare share; /* of the descriptors, for fd; or of the bytes, for the text */
    int errnum;     /* not 0: what it was given last is this error */
    gboolean polled;
    SfsShare waiting; /* of the files that are polled */
    SfsCaller opener; /* of a computed file; never changes */
    SfsNode *read;    /* likewise: it is open by this (readers.h); NULL: it is no other's to see */
} SfsFileHandle;

/* Each takes what it is given. read: has been entered, and is left at the end. */
SfsFileHandle *sfs_file_handle_new_raw(int fd, SfsShare share);
SfsFileHandle *sfs_file_handle_new_computed(SfsContent content, SfsShare share, SfsCaller opener,
                                            SfsNode *read);
void sfs_file_handle_free(void *data); /* an SfsFileHandle */

/* Up to size bytes at offset: NULL with *errnum. Less only at the end. */
GBytes *sfs_file_handle_read(SfsFileHandle *handle, gsize size, off_t offset, int *errnum);

/* Notes that it is polled, by uid. FALSE: he polls as many as quota lets him. */
gboolean sfs_file_handle_poll(SfsFileHandle *handle, SfsQuota *quota, uid_t uid);
gboolean sfs_file_handle_is_polled(SfsFileHandle *handle);
guint64 sfs_file_handle_serial(SfsFileHandle *handle); /* of its content */

/* Takes the newer text and its share; without one, reads fail with errnum until it is renewed once more. */
void sfs_file_handle_renew(SfsFileHandle *handle, SfsContent content, SfsShare share, int errnum);

/* A directory's listing is taken when it is read from the start, and stays until it is again. */
typedef struct {
    SfsCaller opener; /* never changes */
    GMutex lock;      /* several threads may read through one descriptor */
    GPtrArray *entries;
    SfsShare share; /* of the bytes of listings */
} SfsDirectoryHandle;

SfsDirectoryHandle *sfs_directory_handle_new(SfsCaller opener);
void sfs_directory_handle_free(void *data); /* an SfsDirectoryHandle */

/* The listing to serve offset from (a new reference); NULL with *errnum: 0 if quota has no room for it.
 * caller: who asks for it; a new one is what both he and the opener may know. */
GPtrArray *sfs_directory_handle_list(SfsDirectoryHandle *handle, SfsView *view, SfsNode *directory,
                                     SfsCaller *caller, SfsQuota *quota, off_t offset, int *errnum);

/* All handles that are open: what the kernel has not released by the end of the session is freed with it. */
typedef struct SfsHandles SfsHandles;

SfsHandles *sfs_handles_new(void);
void sfs_handles_free(SfsHandles *handles);
void sfs_handles_add(SfsHandles *handles, void *handle, GDestroyNotify free_func);
void sfs_handles_remove(SfsHandles *handles, void *handle); /* and frees it */
