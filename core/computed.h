/* SPDX-License-Identifier: Apache-2.0 */
/*
 * computed: the table of computed files. A row says what a file is called, which of the bundle's lists it is
 * computed from, and how. Every other part asks this table; a new computed file is a new row here. It must
 * not know where the lists come from.
 */
#pragma once

#include "layout.h"
#include "lists.h"
#include "reading.h"

#define SHIELD_COMPUTED_MAX_SOURCES 3

typedef struct {
    const char *name;
    ShieldFile sources[SHIELD_COMPUTED_MAX_SOURCES];
    guint n_sources;
    /* sources: the parsed lists in the row's order; a missing file is an empty list. Returns a new reference.
     */
    ShieldList *(*compute)(ShieldList *const *sources);
} ShieldComputed;

extern const ShieldComputed shield_computed[];
extern const guint shield_computed_n;

/* NULL if there is no computed file of that name. */
const ShieldComputed *shield_computed_find(const char *name);

/* Is the file of that name one of its sources? */
gboolean shield_computed_needs(const ShieldComputed *row, const char *file_name);

/* Is file a list that some computed file needs? */
gboolean shield_computed_is_source(const char *file_name);
