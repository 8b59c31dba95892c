/* SPDX-License-Identifier: Apache-2.0 */
/* first: twice as many are gathered, then half of them go; see first.h. */
#include "first.h"

void shield_first_init(ShieldFirst *first, guint max, GCompareFunc compare, GDestroyNotify free_func)
{
    *first = (ShieldFirst){g_ptr_array_new_with_free_func(free_func), max, compare, 0};
}

void shield_first_cut(ShieldFirst *first, guint max)
{
    GPtrArray *items = first->items;

    first->max = MIN(first->max, max);
    g_ptr_array_sort(items, first->compare);
    if (items->len <= first->max)
        return;
    first->left_out += items->len - first->max;
    g_ptr_array_set_size(items, (gint)first->max);
}

void shield_first_add(ShieldFirst *first, void *item)
{
    g_ptr_array_add(first->items, item);
    if (first->items->len / 2 > first->max)
        shield_first_cut(first, first->max);
}

void shield_first_clear(ShieldFirst *first)
{
    g_clear_pointer(&first->items, g_ptr_array_unref);
}
