/* SPDX-License-Identifier: Apache-2.0 */
/* set: a hash table of numbers, and the keyed hash; see set.h. */
#include "set.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#define MIN_BITS 4
#define MAX_BITS 32 /* a hash has no more */
#define GROWTH 8    /* times its size, at most, if so many entries are expected */

static guint64 key[2];

/* The key. Where the kernel has no random bytes yet, or gives none, those that it gave the process at its
 * start must do. */
static void draw_key(void)
{
    static gsize drawn;

    if (!g_once_init_enter(&drawn))
        return;
    if (getrandom(key, sizeof key, GRND_NONBLOCK) != sizeof key)
        memcpy(key, (const void *)getauxval(AT_RANDOM), sizeof key); /* NOLINT(performance-no-int-to-ptr) */
    g_once_init_leave(&drawn, 1);
}

typedef struct {
    guint64 a, b, c, d;
} Sip;

static inline guint64 rotated(guint64 word, guint by)
{
    return word << by | word >> (64 - by);
}

static inline void sip_round(Sip *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = rotated(s->b, 13) ^ s->a;
    s->d = rotated(s->d, 16) ^ s->c;
    s->a = rotated(s->a, 32) + s->d;
    s->c += s->b;
    s->d = rotated(s->d, 21) ^ s->a;
    s->b = rotated(s->b, 17) ^ s->c;
    s->c = rotated(s->c, 32);
}

static inline void sip_word(Sip *s, guint64 word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

guint64 shield_set_siphash(guint64 key0, guint64 key1, ShieldSlice entry)
{
    Sip s = {key0 ^ 0x736f6d6570736575, key1 ^ 0x646f72616e646f6d, key0 ^ 0x6c7967656e657261,
             key1 ^ 0x7465646279746573};
    guint64 word = 0;
    gsize at = 0;

    for (; entry.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, entry.data + at, sizeof word);
        sip_word(&s, GUINT64_FROM_LE(word));
    }
    word = (guint64)entry.len << 56;
    for (guint shift = 0; at < entry.len; at++, shift += 8)
        word |= (guint64)(guint8)entry.data[at] << shift;
    sip_word(&s, word);
    s.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

guint32 shield_set_hash(ShieldSlice entry)
{
    draw_key();
    return (guint32)(shield_set_siphash(key[0], key[1], entry) >> 32);
}

static gsize size_of(const ShieldSet *set)
{
    return (gsize)1 << set->bits;
}

/* An entry gets its slot, one of the emptier three quarters of them all. */
static gboolean is_full(const ShieldSet *set, gsize entries)
{
    return entries > size_of(set) / 4 * 3;
}

/* Written here, not zeroed by the kernel page by page: else each page would fault twice, for a look and an
 * entry. */
static ShieldSetSlot *empty_slots(const ShieldSet *set)
{
    ShieldSetSlot *slots = g_new(ShieldSetSlot, size_of(set));

    memset(slots, 0, size_of(set) * sizeof *slots);
    return slots;
}

void shield_set_init(ShieldSet *set, gsize expected, ShieldSlice (*entry)(const void *data, guint32 number),
                     const void *data)
{
    *set = (ShieldSet){entry, data, NULL, MIN_BITS, 0, expected};
    while (is_full(set, expected) && set->bits < MAX_BITS)
        set->bits++;
    set->slots = empty_slots(set);
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

gboolean shield_set_holds(const ShieldSet *set, guint32 hash, ShieldSlice entry)
{
    return find(set, hash, entry)->number != 0;
}

/* The slots are in the order of their hashes, or nearly so: this is a walk through both tables. */
static void grow(ShieldSet *set)
{
    g_autofree ShieldSetSlot *before = set->slots;
    gsize size = size_of(set);

    do
        set->bits++;
    while (is_full(set, set->expected) && size_of(set) < size * GROWTH && set->bits < MAX_BITS);
    set->slots = empty_slots(set);
    for (gsize i = 0; i < size; i++) {
        ShieldSetSlot *slot = first_slot(set, before[i].hash);

        if (before[i].number == 0)
            continue;
        while (slot->number != 0)
            slot = next_slot(set, slot);
        *slot = before[i];
    }
}

gboolean shield_set_add(ShieldSet *set, guint32 hash, ShieldSlice entry, guint32 number)
{
    ShieldSetSlot *slot = find(set, hash, entry);

    if (slot->number != 0)
        return FALSE;
    *slot = (ShieldSetSlot){hash, number + 1};
    if (is_full(set, ++set->used) && set->bits < MAX_BITS)
        grow(set);
    return TRUE;
}
