/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set: which of some numbered entries are equal. It holds numbers alone; who made the set says what entry
 * each of them stands for. It must not know where entries come from, nor their order.
 *
 * It is as fast as the hashes are good, which are the caller's: those of hash.h.
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
    ShieldSetSlot *slots; /* an entry's is the one of its hash's upper bits, or the first free one after it */
    guint bits;           /* there are 2^bits slots */
    gsize used;           /* of them */
    gsize expected;       /* how many will be, by an estimate, which who adds entries may mend */
    gboolean failed;      /* there was no memory: nothing is added any more */
} ShieldSet;

/* An empty set. There is room for `expected` entries before it grows. */
void shield_set_init(ShieldSet *set, gsize expected, ShieldSlice (*entry)(const void *data, guint32 number),
                     const void *data);
void shield_set_clear(ShieldSet *set);

/* Says that an entry of this hash will be looked for soon, so that the memory is there by then. */
void shield_set_expect(const ShieldSet *set, guint32 hash);

/* The number of the equal entry that is there, or -1. hash is that of entry. */
gint64 shield_set_find(const ShieldSet *set, guint32 hash, ShieldSlice entry);

/* Adds the number, below G_MAXUINT32, of an entry. FALSE if an equal one is there: then that one stays. FALSE
 * also if it has failed. */
gboolean shield_set_add(ShieldSet *set, guint32 hash, ShieldSlice entry, guint32 number);
