/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for core/lists: union and difference against naive ones, which search from the front.
 * The input is three lists with U+001A between them: profile, live, deny.
 */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "lists.h"
#include "text.h"

#define SEPARATOR 0x1a
#define MAX_NAIVE 4096 /* bytes of input: the naive ones are quadratic */

static gboolean same(ShieldSlice a, ShieldSlice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static gboolean holds(const GArray *entries, ShieldSlice entry)
{
    for (guint i = 0; i < entries->len; i++) {
        if (same(g_array_index(entries, ShieldSlice, i), entry))
            return TRUE;
    }
    return FALSE;
}

static gboolean list_holds(const ShieldList *list, ShieldSlice entry)
{
    for (gsize i = 0; i < shield_list_length(list); i++) {
        if (same(shield_list_get(list, i), entry))
            return TRUE;
    }
    return FALSE;
}

static GArray *naive_union(ShieldList *const *lists, gsize n)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(ShieldSlice));

    for (gsize l = 0; l < n; l++) {
        for (gsize i = 0; i < shield_list_length(lists[l]); i++) {
            ShieldSlice entry = shield_list_get(lists[l], i);

            if (!holds(out, entry))
                g_array_append_val(out, entry);
        }
    }
    return out;
}

static GArray *naive_subtract(const ShieldList *list, const ShieldList *minus)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(ShieldSlice));

    for (gsize i = 0; i < shield_list_length(list); i++) {
        ShieldSlice entry = shield_list_get(list, i);

        if (!list_holds(minus, entry))
            g_array_append_val(out, entry);
    }
    return out;
}

static void assert_same(const ShieldList *got, const GArray *expected)
{
    g_autoptr(GBytes) rendered = shield_list_render(got);
    gsize size = 0;

    g_assert_cmpuint(shield_list_length(got), ==, expected->len);
    for (guint i = 0; i < expected->len; i++) {
        ShieldSlice entry = g_array_index(expected, ShieldSlice, i);

        g_assert_true(same(shield_list_get(got, i), entry));
        size += entry.len + 1;
    }
    g_assert_cmpuint(g_bytes_get_size(rendered), ==, size);
}

static void check_sets(ShieldList *const *lists)
{
    g_autoptr(ShieldList) both = shield_list_union(lists, 2);
    g_autoptr(ShieldList) all = shield_list_union(lists, 3);
    g_autoptr(ShieldList) left = shield_list_subtract(both, lists[2]);
    g_autoptr(ShieldList) at_once = shield_list_union_less(lists, 2, lists[2]);
    g_autoptr(ShieldList) difference = shield_list_subtract(lists[0], lists[1]);
    g_autoptr(GArray) expected_both = naive_union(lists, 2), expected_all = naive_union(lists, 3);
    g_autoptr(GArray) expected_left = naive_subtract(both, lists[2]);
    g_autoptr(GArray) expected_difference = naive_subtract(lists[0], lists[1]);

    assert_same(both, expected_both);
    assert_same(all, expected_all);
    assert_same(left, expected_left);
    assert_same(at_once, expected_left);
    assert_same(difference, expected_difference);
}

/* Are these the text's entries, each once? */
static void check_entries(const ShieldList *got, const char *text, gsize len)
{
    g_autoptr(GArray) expected = g_array_new(FALSE, FALSE, sizeof(ShieldSlice));
    ShieldSlice rest = {text, len}, entry;

    while (shield_text_next_entry(&rest, &entry)) {
        if (!holds(expected, entry))
            g_array_append_val(expected, entry);
    }
    assert_same(got, expected);
}

/* What is rendered parses to the same again. */
static void check_round_trip(const ShieldList *list)
{
    g_autoptr(GBytes) text = shield_list_render(list);
    g_autoptr(ShieldList) again = shield_list_parse(text);
    g_autoptr(GBytes) again_text = shield_list_render(again);

    g_assert_cmpuint(shield_list_length(again), ==, shield_list_length(list));
    g_assert_true(g_bytes_equal(text, again_text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ShieldList *lists[3];
    size_t bad;

    if (size > MAX_NAIVE || !shield_text_validate((const char *)data, size, &bad))
        return 0;
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
        const uint8_t *end = i + 1 < G_N_ELEMENTS(lists) && size > 0 ? memchr(data, SEPARATOR, size) : NULL;
        gsize len = end ? (gsize)(end - data) : size;
        g_autoptr(GBytes) text = g_bytes_new(data, len);

        lists[i] = shield_list_parse(text);
        check_entries(lists[i], (const char *)data, len);
        check_round_trip(lists[i]);
        data += len + (end != NULL);
        size -= len + (end != NULL);
    }
    check_sets(lists);
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++)
        shield_list_unref(lists[i]);
    return 0;
}
