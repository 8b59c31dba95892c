/* SPDX-License-Identifier: Apache-2.0 */
/* set: a hash table of numbers; see set.h. */
#include "set.h"

#include <string.h>

#include "large.h"

#define MIN_BITS 4
#define MAX_BITS 32 /* a hash has no more */
#define GROWTH 8    /* times its size, at most, if so many entries are expected */

static gsize size_of(const ShieldSet *set)
{
    return (gsize)1 << set->bits;
}

/* A quarter of the slots stays empty, so that a free one is never far. */
static gboolean is_full(const ShieldSet *set, gsize entries)
{
    return entries > size_of(set) / 4 * 3;
}

/* Written here, not zeroed by the kernel page by page: else each page would fault twice, for a look and an
 * entry. NULL: there is no memory. */
static ShieldSetSlot *empty_slots(const ShieldSet *set)
{
    ShieldSetSlot *slots = shield_large_alloc(size_of(set) * sizeof *slots);

    return slots ? memset(slots, 0, size_of(set) * sizeof *slots) : NULL;
}

void shield_set_init(ShieldSet *set, gsize expected, ShieldSlice (*entry)(const void *data, guint32 number),
                     const void *data)
{
    *set = (ShieldSet){.entry = entry, .data = data, .bits = MIN_BITS, .expected = expected};
    while (is_full(set, expected) && set->bits < MAX_BITS)
        set->bits++;
    set->slots = empty_slots(set);
    if (!set->slots) {
        set->failed = TRUE;
        set->bits = MIN_BITS;
        set->slots = g_new0(ShieldSetSlot, size_of(set));
    }
}

void shield_set_clear(ShieldSet *set)
{
    g_clear_pointer(&set->slots, g_free);
}

static gboolean is_entry(const ShieldSet *set, guint32 number, ShieldSlice entry)
{
    ShieldSlice other = set->entry(set->data, number);

    return other.len == entry.len && memcmp(other.data, entry.data, entry.len) == 0;
}

static ShieldSetSlot *first_slot(const ShieldSet *set, guint32 hash)
{
    return set->slots + (hash >> (MAX_BITS - set->bits));
}

void shield_set_expect(const ShieldSet *set, guint32 hash)
{
    __builtin_prefetch(first_slot(set, hash));
}

static ShieldSetSlot *next_slot(const ShieldSet *set, ShieldSetSlot *slot)
{
    return ++slot == set->slots + size_of(set) ? set->slots : slot;
}

/* The slot of an equal entry, or the empty one where it would come. */
static ShieldSetSlot *find(const ShieldSet *set, guint32 hash, ShieldSlice entry)
{
    ShieldSetSlot *slot = first_slot(set, hash);

    while (slot->number != 0 && (slot->hash != hash || !is_entry(set, slot->number - 1, entry)))
        slot = next_slot(set, slot);
    return slot;
}

gint64 shield_set_find(const ShieldSet *set, guint32 hash, ShieldSlice entry)
{
    return (gint64)find(set, hash, entry)->number - 1;
}

/* The slots are in the order of their hashes, or nearly so: this is a walk through both tables. */
static void grow(ShieldSet *set)
{
    ShieldSetSlot *before = set->slots;
    guint bits = set->bits;
    gsize size = size_of(set);

    do
        set->bits++;
    while (is_full(set, set->expected) && size_of(set) < size * GROWTH && set->bits < MAX_BITS);
    set->slots = empty_slots(set);
    if (!set->slots) {
        set->failed = TRUE;
        set->bits = bits;
        set->slots = before;
        return;
    }
    for (gsize i = 0; i < size; i++) {
        ShieldSetSlot *slot = first_slot(set, before[i].hash);

        if (before[i].number == 0)
            continue;
        while (slot->number != 0)
            slot = next_slot(set, slot);
        *slot = before[i];
    }
    g_free(before);
}

gboolean shield_set_add(ShieldSet *set, guint32 hash, ShieldSlice entry, guint32 number)
{
    ShieldSetSlot *slot = find(set, hash, entry);

    if (slot->number != 0 || set->failed)
        return FALSE;
    *slot = (ShieldSetSlot){hash, number + 1};
    if (is_full(set, ++set->used) && set->bits < MAX_BITS)
        grow(set);
    return TRUE;
}
