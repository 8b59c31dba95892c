/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set: which of some numbered entries are equal. It holds numbers alone; who made the set says what entry
 * each of them stands for. It must not know where entries come from, nor their order.
 *
 * The entries are hostile. The hash has a key that nobody knows, drawn once for the process, so that no list
 * can be made of which many entries have one hash.
 */
#pragma once

#include "shieldstate.h"

typedef struct {
    guint32 hash;
    guint32 number; /* and 1; 0: empty */
} ShieldSetSlot;

typedef struct {
    ShieldSlice (*entry)(const void *data, guint32 number); /* the entry that a number stands for */
    const void *data;
    ShieldSetSlot
        *slots; /* an open table: an entry's slot is the one of its hash's upper bits, or after it */
    guint bits; /* there are 2^bits slots */
    gsize used, expected; /* entries; expected: an estimate, which who adds them may mend */
} ShieldSet;

/* SipHash-1-3. */
guint64 shield_set_siphash(guint64 key0, guint64 key1, ShieldSlice entry);

/* The hash of an entry: the upper half of that, with the process's key. */
guint32 shield_set_hash(ShieldSlice entry);

/* An empty set. There is room for `expected` entries before it grows. */
void shield_set_init(ShieldSet *set, gsize expected, ShieldSlice (*entry)(const void *data, guint32 number),
                     const void *data);
void shield_set_clear(ShieldSet *set);

/* Says that an entry of this hash will be looked for soon, so that the memory is there by then. */
void shield_set_expect(const ShieldSet *set, guint32 hash);

/* Is an equal entry there? hash is that of entry. */
gboolean shield_set_holds(const ShieldSet *set, guint32 hash, ShieldSlice entry);

/* Adds the number, below G_MAXUINT32, of an entry. FALSE if an equal one is there: then that one stays. */
gboolean shield_set_add(ShieldSet *set, guint32 hash, ShieldSlice entry, guint32 number);
