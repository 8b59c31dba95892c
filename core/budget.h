/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget: how much memory all bundles together may keep, with what is open of it. Whoever keeps something is
 * a keeper; when there is no room, the least recently used one is told to drop what it has. It must not know
 * what is kept.
 *
 * Any thread. A NULL budget is one without a limit.
 */
#pragma once

#include <glib.h>

typedef struct ShieldBudget ShieldBudget;

/* limit: bytes. It must outlive its keepers, and whatever is charged to it. */
ShieldBudget *shield_budget_new(gsize limit);
void shield_budget_free(ShieldBudget *budget);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShieldBudget, shield_budget_free)

gsize shield_budget_used(ShieldBudget *budget);
gsize shield_budget_max(const ShieldBudget *budget); /* the limit */

/* How often a keeper was told to drop what it has, and something was won. */
guint64 shield_budget_evictions(ShieldBudget *budget);

/* The limit as the option takes it: "64M". The caller frees it. */
char *shield_budget_limit(const ShieldBudget *budget);

/* What is to go: of all keepers what is made again without reading goes before what must be read. */
typedef enum { SHIELD_EVICT_LISTS, SHIELD_EVICT_TEXTS } ShieldEvict;

typedef struct {
    /* Drops it (with texts: lists too). FALSE: the keeper is at work, and that can't be waited for. Called
     * under the budget's lock: it may wait for nothing. */
    gboolean (*evict)(void *data, ShieldEvict what);
    void *data;
    GList link;
} ShieldKeeper;

void shield_budget_join(ShieldBudget *budget, ShieldKeeper *keeper);
void shield_budget_leave(ShieldBudget *budget, ShieldKeeper *keeper); /* evict is not called any more */

/* It was used just now. */
void shield_budget_touch(ShieldBudget *budget, ShieldKeeper *keeper);

/* Charges bytes, for which others (not keeper) drop what they have, at most `evict` of it. If one is at work,
 * up to a 64th of the limit may be charged beyond it, and an eighth in all. */
typedef enum {
    SHIELD_TAKEN,
    SHIELD_BUSY,      /* there may be room as soon as somebody's work is done */
    SHIELD_FULL,      /* there is no room as long as everything stays open that is */
    SHIELD_NO_MEMORY, /* said by others than the budget: the system has none */
} ShieldTake;
ShieldTake shield_budget_take(ShieldBudget *budget, const ShieldKeeper *keeper, gsize bytes,
                              ShieldEvict evict);
void shield_budget_give_back(ShieldBudget *budget, gsize bytes);

/* Has others drop what is in the way of bytes more, if that helps; charges nothing. */
void shield_budget_make_room(ShieldBudget *budget, gsize bytes);

/* The same bytes, for which their size has been charged; it is given back when the last reference goes. */
GBytes *shield_budget_bytes(ShieldBudget *budget, GBytes *bytes);
