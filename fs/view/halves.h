/* SPDX-License-Identifier: Apache-2.0 */
/*
 * halves: descriptors of the directories `containers` and `tasks` of each source, kept while they are in use
 * and for two seconds after: so a bundle that is not open itself is opened by one system call. It must not
 * know when one may be used again, but for the number that it is told.
 */
#pragma once

#include <glib.h>

#include "catalog.h"
#include "view/directories.h"

typedef struct SfsHalves SfsHalves;

SfsHalves *sfs_halves_new(ShieldCatalog *catalog);
void sfs_halves_free(SfsHalves *halves);

/* The one that place lies in, if it was opened under the same number, which stands for all that could lead to
 * another directory; else it is opened anew, and *anew set: so from now on somebody must call
 * sfs_halves_expire. A new reference; NULL with errno. Any thread. */
SfsDirectory *sfs_halves_open(SfsHalves *halves, const ShieldPlace *place, guint64 number, gboolean *anew);

/* As sfs_directories_expire. */
gint64 sfs_halves_expire(SfsHalves *halves, gboolean all);
