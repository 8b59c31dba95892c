/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counter: a number that any thread may add to and read, without a lock and without waiting. It orders
 * nothing: who reads it learns nothing of what else was done. It must not know what it counts.
 */
#pragma once

#include <glib.h>
#include <stdatomic.h>

typedef struct {
    _Atomic guint64 n;
} ShieldCounter;

static inline void shield_counter_add(ShieldCounter *counter, guint64 n)
{
    atomic_fetch_add_explicit(&counter->n, n, memory_order_relaxed);
}

/* Of what goes down as well: by one thread alone. */
static inline void shield_counter_set(ShieldCounter *counter, guint64 n)
{
    atomic_store_explicit(&counter->n, n, memory_order_relaxed);
}

static inline guint64 shield_counter_get(ShieldCounter *counter)
{
    return atomic_load_explicit(&counter->n, memory_order_relaxed);
}
