/* SPDX-License-Identifier: Apache-2.0 */
/*
 * first: of any number of things the first so many, by an order, in bounded memory. It must not know what
 * they are.
 */
#pragma once

#include <glib.h>

typedef struct {
    GPtrArray *items; /* owned */
    guint max;
    GCompareFunc compare; /* as for g_ptr_array_sort; of two that are equal either may stay */
    gsize left_out;
} ShieldFirst;

void shield_first_init(ShieldFirst *first, guint max, GCompareFunc compare, GDestroyNotify free_func);

/* Takes item. */
void shield_first_add(ShieldFirst *first, void *item);

/* Leaves max of them, or with a smaller max fewer, sorted; left_out tells how many there are besides. */
void shield_first_cut(ShieldFirst *first, guint max);

void shield_first_clear(ShieldFirst *first);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ShieldFirst, shield_first_clear)
