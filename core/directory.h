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

/* Calls func for each name in a directory (an O_PATH descriptor will do), "." and ".." left out, in no order.
 * The entry is func's for the call only. FALSE with errno: the directory could not be read, or not to its
 * end.
 */
typedef void (*ShieldEntryFunc)(void *data, const ShieldEntry *entry);
gboolean shield_directory_visit(int dirfd, ShieldEntryFunc func, void *data);

/* All names in a directory, sorted by bytes; an array of ShieldEntry that owns them. NULL with errno. */
GPtrArray *shield_directory_list(int dirfd);

/* Which names to keep of a directory that has too many. */
typedef enum {
    SHIELD_KEEP_NOT,
    SHIELD_KEEP_ALWAYS, /* whoever says so sees to it that these are few */
    SHIELD_KEEP_FIRST,  /* before the others */
    SHIELD_KEEP_OTHER,
} ShieldKeep;
typedef ShieldKeep (*ShieldKeepFunc)(void *data, const ShieldEntry *entry);

/* The same of at most max names besides those that are always kept: those that keep says are to come first,
 * and within these by bytes. No more than twice as many are in memory. */
GPtrArray *shield_directory_list_most(int dirfd, guint max, ShieldKeepFunc keep, void *data);
