/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory: the names in a directory. It must not know what any of them means.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct {
    char *name;
    mode_t type; /* the S_IFMT bits of what stands there */
} ShieldEntry;

/* The names in a directory (an O_PATH descriptor will do), "." and ".." left out, sorted by bytes; an array
 * of ShieldEntry that owns them. NULL with errno. */
GPtrArray *shield_directory_list(int dirfd);
