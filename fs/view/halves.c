/* SPDX-License-Identifier: Apache-2.0 */
/* halves: see halves.h. */
#include "view/halves.h"

#include "fault.h"
#include "lock.h"

enum { CONTAINERS, TASKS, N_HALVES };

typedef struct {
    SfsDirectory *directory; /* a reference; NULL: it is not open */
    guint64 number;
    gint64 used; /* monotonic time */
} Half;

struct SfsHalves {
    ShieldCatalog *catalog;
    guint n;
    GMutex lock; /* a leaf; protects the rest */
    Half *all;   /* N_HALVES for each source */
};

SfsHalves *sfs_halves_new(ShieldCatalog *catalog)
{
    SfsHalves *halves = g_new0(SfsHalves, 1);

    halves->catalog = catalog;
    halves->n = N_HALVES * shield_sources_count(shield_catalog_sources(catalog));
    halves->all = g_new0(Half, halves->n);
    g_mutex_init(&halves->lock);
    return halves;
}

void sfs_halves_free(SfsHalves *halves)
{
    (void)sfs_halves_expire(halves, TRUE);
    g_mutex_clear(&halves->lock);
    g_free(halves->all);
    g_free(halves);
}

static Half *half_of(SfsHalves *halves, const ShieldPlace *place)
{
    gboolean tasks = g_str_has_prefix(place->path, SHIELD_TASKS "/");

    return &halves->all[N_HALVES * place->source + (tasks ? TASKS : CONTAINERS)];
}

static SfsDirectory *recall(SfsHalves *halves, const ShieldPlace *place, guint64 number)
{
    SHIELD_AUTO_LOCK(&halves->lock);
    Half *half = half_of(halves, place);

    if (!half->directory || half->number != number)
        return NULL;
    half->used = g_get_monotonic_time();
    return sfs_directory_ref(half->directory);
}

static void keep(SfsHalves *halves, const ShieldPlace *place, guint64 number, SfsDirectory *directory)
{
    SHIELD_AUTO_LOCK(&halves->lock);
    Half *half = half_of(halves, place);

    g_clear_pointer(&half->directory, sfs_directory_unref);
    *half = (Half){sfs_directory_ref(directory), number, g_get_monotonic_time()};
}

SfsDirectory *sfs_halves_open(SfsHalves *halves, const ShieldPlace *place, guint64 number, gboolean *anew)
{
    SfsDirectory *directory = recall(halves, place, number);
    int fd;

    if (directory)
        return directory;
    fd = shield_catalog_open_half(halves->catalog, place);
    if (fd < 0)
        return NULL;
    directory = sfs_directory_new(fd);
    keep(halves, place, number, directory);
    *anew = TRUE;
    return directory;
}

gint64 sfs_halves_expire(SfsHalves *halves, gboolean all)
{
    SHIELD_AUTO_LOCK(&halves->lock);
    gint64 now = g_get_monotonic_time(), next = 0;

    if (shield_fault(SHIELD_FAULT_DESCRIPTORS) && !all)
        return 0;
    for (guint i = 0; i < halves->n; i++) {
        Half *half = &halves->all[i];

        if (!half->directory)
            continue;
        if (all || half->used + SFS_KEEP_USEC <= now)
            g_clear_pointer(&half->directory, sfs_directory_unref);
        else
            next = next ? MIN(next, half->used + SFS_KEEP_USEC) : half->used + SFS_KEEP_USEC;
    }
    return next;
}
