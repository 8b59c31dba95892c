/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle: what an open gives and what later reads of it are served from: the snapshot of a computed file, a
 * live descriptor of a raw one, the listing of a directory. It must not know how any of them came about.
 */
#pragma once

#include <glib.h>

#include "view.h"

typedef struct {
    GBytes *snapshot; /* NULL: a raw file */
    int fd;
} SfsFileHandle;

SfsFileHandle *sfs_file_handle_new(GBytes *snapshot, int fd); /* takes both */
void sfs_file_handle_free(SfsFileHandle *handle);

/* Up to size bytes at offset: NULL with *errnum. Less only at the end. */
GBytes *sfs_file_handle_read(SfsFileHandle *handle, gsize size, off_t offset, int *errnum);

/* A directory's listing is taken when it is read from the start, and stays until it is again. */
typedef struct {
    GMutex lock; /* several threads may read through one descriptor */
    GPtrArray *entries;
} SfsDirectoryHandle;

SfsDirectoryHandle *sfs_directory_handle_new(void);
void sfs_directory_handle_free(SfsDirectoryHandle *handle);

/* The listing to serve offset from (a new reference); NULL with *errnum. */
GPtrArray *sfs_directory_handle_list(SfsDirectoryHandle *handle, SfsView *view, SfsNode *directory,
                                     off_t offset, int *errnum);
