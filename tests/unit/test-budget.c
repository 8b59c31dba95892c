/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of core/budget: what is kept stays within the limit, and the least recently used goes first. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "bundle.h"
#include "open.h"
#include "unit.h"

/* A keeper of some bytes. */
typedef struct {
    ShieldBudget *budget;
    ShieldKeeper keeper;
    gsize lists, texts;
    gboolean busy;
} Hoard;

static gboolean hoard_evict(void *data, ShieldEvict what)
{
    Hoard *hoard = data;

    if (hoard->busy)
        return FALSE;
    shield_budget_give_back(hoard->budget, hoard->lists);
    hoard->lists = 0;
    if (what == SHIELD_EVICT_TEXTS) {
        shield_budget_give_back(hoard->budget, hoard->texts);
        hoard->texts = 0;
    }
    return TRUE;
}

static void hoard_start(Hoard *hoard, ShieldBudget *budget, gsize lists, gsize texts)
{
    *hoard = (Hoard){.budget = budget, .lists = lists, .texts = texts};
    hoard->keeper = (ShieldKeeper){.evict = hoard_evict, .data = hoard};
    shield_budget_join(budget, &hoard->keeper);
    g_assert_cmpint(shield_budget_take(budget, &hoard->keeper, lists + texts, SHIELD_EVICT_TEXTS), ==,
                    SHIELD_TAKEN);
}

static void test_limit(void)
{
    g_autoptr(ShieldBudget) budget = shield_budget_new(100);

    g_assert_cmpint(shield_budget_take(budget, NULL, 100, SHIELD_EVICT_TEXTS), ==, SHIELD_TAKEN);
    g_assert_cmpint(shield_budget_take(budget, NULL, 0, SHIELD_EVICT_TEXTS), ==, SHIELD_TAKEN);
    g_assert_cmpint(shield_budget_take(budget, NULL, 1, SHIELD_EVICT_TEXTS), ==, SHIELD_FULL);
    g_assert_cmpint(shield_budget_take(budget, NULL, G_MAXSIZE, SHIELD_EVICT_TEXTS), ==, SHIELD_FULL);
    shield_budget_give_back(budget, 40);
    g_assert_cmpint(shield_budget_take(budget, NULL, 41, SHIELD_EVICT_TEXTS), ==, SHIELD_FULL);
    g_assert_cmpint(shield_budget_take(budget, NULL, 40, SHIELD_EVICT_TEXTS), ==, SHIELD_TAKEN);
    g_assert_cmpuint(shield_budget_used(budget), ==, 100);

    g_assert_cmpint(shield_budget_take(NULL, NULL, G_MAXSIZE, SHIELD_EVICT_TEXTS), ==, SHIELD_TAKEN);
}

static void test_limit_as_text(void)
{
    static const struct {
        gsize limit;
        const char *text;
    } cases[] = {{1, "1"},          {1023, "1023"},         {1024, "1K"},
                 {1025, "1025"},    {65536, "64K"},         {64 * 1024 * 1024, "64M"},
                 {3UL << 30, "3G"}, {4096UL << 30, "4096G"}};

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(ShieldBudget) budget = shield_budget_new(cases[i].limit);
        g_autofree char *text = shield_budget_limit(budget);

        g_assert_cmpstr(text, ==, cases[i].text);
    }
}

static void test_bytes(void)
{
    g_autoptr(ShieldBudget) budget = shield_budget_new(100);
    GBytes *text = g_bytes_new("0123456789", 10);

    g_assert_cmpint(shield_budget_take(budget, NULL, 10, SHIELD_EVICT_TEXTS), ==, SHIELD_TAKEN);
    GBytes *charged = shield_budget_bytes(budget, text);
    g_bytes_unref(text);
    GBytes *open = g_bytes_ref(charged), *part = g_bytes_new_from_bytes(charged, 2, 3);
    unit_assert_text(charged, "0123456789");
    g_bytes_unref(charged);
    g_bytes_unref(open);
    g_assert_cmpuint(shield_budget_used(budget), ==, 10); /* somebody still has a part */
    unit_assert_text(part, "234");
    g_bytes_unref(part);
    g_assert_cmpuint(shield_budget_used(budget), ==, 0);
}

/* Lists before texts, the least recently used first, never the taker's own, and no more than is needed. */
static void test_order(void)
{
    g_autoptr(ShieldBudget) budget = shield_budget_new(100);
    Hoard first, second, third;
    gsize small = 0;

    hoard_start(&first, budget, 10, 20);
    hoard_start(&second, budget, 10, 20);
    hoard_start(&third, budget, 10, 20);
    shield_budget_touch(budget, &first.keeper);
    g_assert_cmpint(shield_budget_take(budget, &second.keeper, 20, SHIELD_EVICT_LISTS), ==, SHIELD_TAKEN);
    g_assert_cmpuint(second.lists, ==, 10);
    g_assert_cmpuint(third.lists, ==, 0);
    g_assert_cmpuint(first.lists, ==, 10);
    g_assert_cmpint(shield_budget_take(budget, &third.keeper, 10, SHIELD_EVICT_TEXTS), ==, SHIELD_TAKEN);
    g_assert_cmpuint(second.lists, ==, 0);
    g_assert_cmpuint(first.lists, ==, 10);
    g_assert_cmpint(shield_budget_take(budget, &third.keeper, 15, SHIELD_EVICT_LISTS), ==, SHIELD_FULL);
    g_assert_cmpuint(first.lists, ==, 0);
    g_assert_cmpuint(second.texts, ==, 20); /* lists are not worth a text */
    g_assert_cmpint(shield_budget_take(budget, &third.keeper, 30, SHIELD_EVICT_TEXTS), ==, SHIELD_TAKEN);
    g_assert_cmpuint(second.texts, ==, 0);
    g_assert_cmpuint(first.texts, ==, 20);
    g_assert_cmpuint(third.texts, ==, 20);

    first.busy = TRUE;
    g_assert_cmpint(shield_budget_take(budget, &third.keeper, 30, SHIELD_EVICT_TEXTS), ==, SHIELD_BUSY);
    for (; shield_budget_take(budget, &third.keeper, 1, SHIELD_EVICT_TEXTS) == SHIELD_TAKEN; small++)
        ; /* what is small does not wait for who is at work */
    g_assert_cmpuint(shield_budget_used(budget), ==, 112);
    shield_budget_give_back(budget, small);
    shield_budget_leave(budget, &first.keeper);
    g_assert_cmpint(shield_budget_take(budget, &third.keeper, 30, SHIELD_EVICT_TEXTS), ==, SHIELD_FULL);
    g_assert_cmpuint(first.texts, ==, 20);
    g_assert_cmpuint(third.texts, ==, 20);
}

static void test_make_room(void)
{
    g_autoptr(ShieldBudget) budget = shield_budget_new(100);
    Hoard hoard;

    hoard_start(&hoard, budget, 10, 20);
    shield_budget_make_room(budget, 70);
    g_assert_cmpuint(shield_budget_used(budget), ==, 30);
    shield_budget_make_room(budget, 80);
    g_assert_cmpuint(shield_budget_used(budget), ==, 20);
    shield_budget_make_room(budget, 1000);
    g_assert_cmpuint(shield_budget_used(budget), ==, 0);
    shield_budget_make_room(NULL, 1000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/budget/limit", test_limit);
    g_test_add_func("/budget/limit-as-text", test_limit_as_text);
    g_test_add_func("/budget/bytes", test_bytes);
    g_test_add_func("/budget/order", test_order);
    g_test_add_func("/budget/make-room", test_make_room);
    return g_test_run();
}
