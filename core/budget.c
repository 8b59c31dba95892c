/* SPDX-License-Identifier: Apache-2.0 */
/* budget: a count with a limit, and a queue of keepers; see budget.h. */
#include "budget.h"

#include <string.h>

#include "counter.h"
#include "lock.h"

/* Of the limit: what is small, and what there is beyond it for that. */
#define SMALL_PART 64
#define BEYOND_PART 8

/* Bytes: what is not longer is copied, which is one block in place of three. */
#define COPY_MAX 256

struct ShieldBudget {
    gsize limit;
    GMutex turn;    /* one evicts at a time; protects the queue */
    GQueue keepers; /* of ShieldKeeper; the most recently used is the first */
    GMutex lock;    /* a leaf: protects used, as what is evicted gives back */
    gsize used;
    ShieldCounter evictions;
};

ShieldBudget *shield_budget_new(gsize limit)
{
    ShieldBudget *budget = g_new0(ShieldBudget, 1);

    budget->limit = limit;
    g_mutex_init(&budget->turn);
    g_mutex_init(&budget->lock);
    return budget;
}

void shield_budget_free(ShieldBudget *budget)
{
    g_mutex_clear(&budget->turn);
    g_mutex_clear(&budget->lock);
    g_free(budget);
}

gsize shield_budget_used(ShieldBudget *budget)
{
    SHIELD_AUTO_LOCK(&budget->lock);

    return budget->used;
}

gsize shield_budget_max(const ShieldBudget *budget)
{
    return budget->limit;
}

guint64 shield_budget_evictions(ShieldBudget *budget)
{
    return shield_counter_get(&budget->evictions);
}

char *shield_budget_limit(const ShieldBudget *budget)
{
    static const char units[] = "KMG";
    gsize number = budget->limit;
    guint unit = 0;

    for (; number > 0 && number % 1024 == 0 && units[unit]; unit++)
        number /= 1024;
    return unit > 0 ? g_strdup_printf("%" G_GSIZE_FORMAT "%c", number, units[unit - 1])
                    : g_strdup_printf("%" G_GSIZE_FORMAT, number);
}

void shield_budget_join(ShieldBudget *budget, ShieldKeeper *keeper)
{
    keeper->link = (GList){.data = keeper};
    if (!budget)
        return;

    SHIELD_AUTO_LOCK(&budget->turn);
    g_queue_push_head_link(&budget->keepers, &keeper->link);
}

void shield_budget_leave(ShieldBudget *budget, ShieldKeeper *keeper)
{
    if (!budget)
        return;

    SHIELD_AUTO_LOCK(&budget->turn);
    g_queue_unlink(&budget->keepers, &keeper->link);
}

/* While somebody evicts, the order stays as it is: a warm answer waits for nobody. */
void shield_budget_touch(ShieldBudget *budget, ShieldKeeper *keeper)
{
    if (!budget || !g_mutex_trylock(&budget->turn))
        return;
    g_queue_unlink(&budget->keepers, &keeper->link);
    g_queue_push_head_link(&budget->keepers, &keeper->link);
    g_mutex_unlock(&budget->turn);
}

static gboolean add_up_to(ShieldBudget *budget, gsize bytes, gsize limit)
{
    SHIELD_AUTO_LOCK(&budget->lock);

    if (budget->used > limit || bytes > limit - budget->used)
        return FALSE;
    budget->used += bytes;
    return TRUE;
}

static gboolean add(ShieldBudget *budget, gsize bytes)
{
    return add_up_to(budget, bytes, budget->limit);
}

/* Somebody who is at work keeps much, and can't be told to drop it now. What is small does not wait for him:
 * there is some room beyond the limit, until he is done. */
static gboolean add_small(ShieldBudget *budget, gsize bytes)
{
    return bytes <= budget->limit / SMALL_PART &&
           add_up_to(budget, bytes, budget->limit + budget->limit / BEYOND_PART);
}

/* FALSE: the keeper is at work. */
static gboolean evict_from(ShieldBudget *budget, const ShieldKeeper *keeper, ShieldEvict what)
{
    gsize before = shield_budget_used(budget);
    gboolean done = keeper->evict(keeper->data, what);

    if (shield_budget_used(budget) < before)
        shield_counter_add(&budget->evictions, 1);
    return done;
}

/* Lets one after the other drop it, until bytes can be charged. */
static gboolean add_for(ShieldBudget *budget, const ShieldKeeper *taker, gsize bytes, ShieldEvict what,
                        gboolean *busy)
{
    for (GList *link = budget->keepers.tail; link; link = link->prev) {
        ShieldKeeper *keeper = link->data;

        if (add(budget, bytes))
            return TRUE;
        if (keeper != taker && !evict_from(budget, keeper, what))
            *busy = TRUE;
    }
    return add(budget, bytes);
}

ShieldTake shield_budget_take(ShieldBudget *budget, const ShieldKeeper *keeper, gsize bytes,
                              ShieldEvict evict)
{
    gboolean busy = FALSE;

    if (!budget || add(budget, bytes))
        return SHIELD_TAKEN;
    if (bytes > budget->limit)
        return SHIELD_FULL;

    SHIELD_AUTO_LOCK(&budget->turn);
    for (int what = SHIELD_EVICT_LISTS; what <= (int)evict; what++) {
        if (add_for(budget, keeper, bytes, (ShieldEvict)what, &busy))
            return SHIELD_TAKEN;
    }
    if (busy && add_small(budget, bytes))
        return SHIELD_TAKEN;
    return busy ? SHIELD_BUSY : SHIELD_FULL;
}

void shield_budget_give_back(ShieldBudget *budget, gsize bytes)
{
    if (!budget)
        return;

    SHIELD_AUTO_LOCK(&budget->lock);
    g_assert(bytes <= budget->used);
    budget->used -= bytes;
}

void shield_budget_make_room(ShieldBudget *budget, gsize bytes)
{
    if (budget &&
        shield_budget_take(budget, NULL, MIN(bytes, budget->limit), SHIELD_EVICT_TEXTS) == SHIELD_TAKEN)
        shield_budget_give_back(budget, MIN(bytes, budget->limit));
}

typedef struct {
    ShieldBudget *budget;
    gsize size;
    GBytes *bytes; /* NULL: they are in `own` */
    char own[];
} Charged;

static void charged_free(void *data)
{
    Charged *charged = data;

    g_clear_pointer(&charged->bytes, g_bytes_unref);
    shield_budget_give_back(charged->budget, charged->size);
    g_free(charged);
}

GBytes *shield_budget_bytes(ShieldBudget *budget, GBytes *bytes)
{
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);

    if (!budget || size == 0)
        return g_bytes_ref(bytes);

    gboolean copy = size <= COPY_MAX;
    Charged *charged = g_malloc(sizeof *charged + (copy ? size : 0));
    charged->budget = budget;
    charged->size = size;
    charged->bytes = copy ? NULL : g_bytes_ref(bytes);
    if (copy)
        data = memcpy(charged->own, data, size);
    return g_bytes_new_with_free_func(data, size, charged_free, charged);
}
