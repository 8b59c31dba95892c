/* SPDX-License-Identifier: Apache-2.0 */
/* computed: the table of computed files; see computed.h. */
#include "computed.h"

#include <string.h>

static ShieldList *allowed(ShieldList *const *sources)
{
    return shield_list_union(sources, 2);
}

static ShieldList *denied(ShieldList *const *sources)
{
    return shield_list_union(sources, 1);
}

/* (profile ∪ live) − deny, of addresses or of domains */
static ShieldList *effective(ShieldList *const *sources)
{
    return shield_list_union_less(sources, 2, sources[2]);
}

const ShieldComputed shield_computed[] = {
    {"allowed", {SHIELD_PROFILE_ALLOWED, SHIELD_LIVE_ALLOWED}, 2, allowed},
    {"denied", {SHIELD_DENY}, 1, denied},
    {"effective", {SHIELD_PROFILE_ALLOWED, SHIELD_LIVE_ALLOWED, SHIELD_DENY}, 3, effective},
    {"effective.domains", {SHIELD_PROFILE_DOMAINS, SHIELD_LIVE_DOMAINS, SHIELD_DENIED_DOMAINS}, 3, effective},
};

const guint shield_computed_n = G_N_ELEMENTS(shield_computed);

const ShieldComputed *shield_computed_find(const char *name)
{
    for (guint i = 0; i < shield_computed_n; i++) {
        if (strcmp(shield_computed[i].name, name) == 0)
            return &shield_computed[i];
    }
    return NULL;
}

gboolean shield_computed_needs(const ShieldComputed *row, const char *file_name)
{
    for (guint i = 0; i < row->n_sources; i++) {
        if (g_strcmp0(shield_layout_name(row->sources[i]), file_name) == 0)
            return TRUE;
    }
    return FALSE;
}

gboolean shield_computed_is_source(const char *file_name)
{
    for (guint i = 0; i < shield_computed_n; i++) {
        if (shield_computed_needs(&shield_computed[i], file_name))
            return TRUE;
    }
    return FALSE;
}
