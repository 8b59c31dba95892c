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

/* The same of a string, as a GHashFunc. */
guint shield_hash_name(const void *name);
