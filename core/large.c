/* SPDX-License-Identifier: Apache-2.0 */
/* large: tries, and looks whether something is left; see large.h. */
#include "large.h"

/* Bytes: what is smaller is as good as nothing beside what is left for it. */
#define SMALL (64 * 1024)
#define LEFT (2 * 1024 * 1024)

static gboolean something_is_left(gsize size)
{
    g_autofree void *left = size < SMALL ? NULL : g_try_malloc(LEFT);

    return size < SMALL || left;
}

void *shield_large_alloc(gsize size)
{
    g_autofree void *block = g_try_malloc(size);

    return something_is_left(size) ? g_steal_pointer(&block) : NULL;
}

void *shield_large_resize(void *block, gsize size)
{
    return something_is_left(size) ? g_try_realloc(block, size) : NULL;
}
