/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: a hash of entries that nobody can foresee, as it has a key that each process draws anew. Entries are
 * hostile; so no list can be made of which many have one hash. It must not know what a hash is for.
 */
#pragma once

#include "shieldstate.h"

/* SipHash-1-3. */
guint64 shield_siphash(guint64 key0, guint64 key1, ShieldSlice entry);

/* The upper half of that, with the key of this process. */
guint32 shield_hash(ShieldSlice entry);

/* What stands for a whole text: no two texts have the same one, but for a chance of one to 2^128. */
typedef struct {
    guint64 half[2];
} ShieldDigest;

ShieldDigest shield_digest(GBytes *text);
gboolean shield_digest_equal(const ShieldDigest *a, const ShieldDigest *b);
