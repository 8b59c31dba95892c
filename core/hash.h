/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: a hash of entries and names that nobody can foresee, as it has a key that each process draws anew.
 * Both are hostile; so no list, and no directory, can be made of which many have one hash. It must not know
 * what a hash is for.
 */
#pragma once

#include "shieldstate.h"

/* SipHash-1-3. */
guint64 shield_siphash(guint64 key0, guint64 key1, ShieldSlice entry);

/* The upper half of that, with the key of this process. */
guint32 shield_hash(ShieldSlice entry);

/* The same of a C string, a GHashFunc: for every table whose keys are names from a disk, or made of such.
 * g_str_hash can be foreseen: one owner's names would make all of them meet in one slot. */
guint shield_hash_name(const void *name);

/* What stands for a whole text: no two texts have the same one, but for a chance of one to 2^128. */
typedef struct {
    guint64 half[2];
} ShieldDigest;

ShieldDigest shield_digest(GBytes *text);
gboolean shield_digest_equal(const ShieldDigest *a, const ShieldDigest *b);
