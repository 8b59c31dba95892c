/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for the lists of domains in core/lists: which entries are names, and how they are folded,
 * against GLib's regular expressions. The input is a text.
 */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "lists.h"
#include "text.h"

#define MAX_NAIVE 4096 /* bytes of input: the naive way is quadratic */

/* The domains by GLib's regular expressions, after an ASCII lower-casing that knows U+212A. */
static GRegex *domain_regex(void)
{
    static GRegex *regex;

    if (!regex)
        regex = g_regex_new("\\A(\\*\\.)?([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\\.)+[a-zA-Z]{2,}\\z",
                            G_REGEX_RAW | G_REGEX_DOLLAR_ENDONLY, 0, NULL);
    return regex;
}

/* The same, each once. */
static GPtrArray *expected_domains(GBytes *text)
{
    GPtrArray *expected = g_ptr_array_new_with_free_func(g_free);
    ShieldSlice rest = {g_bytes_get_data(text, NULL), g_bytes_get_size(text)}, entry;

    while (rest.data && shield_text_next_entry(&rest, &entry)) {
        g_autoptr(GString) name = g_string_new_len(entry.data, (gssize)entry.len);

        if (memchr(name->str, '\0', name->len))
            continue;
        g_string_replace(name, "\xe2\x84\xaa", "k", 0);
        g_string_ascii_down(name);
        if (g_regex_match(domain_regex(), name->str, 0, NULL) &&
            !g_ptr_array_find_with_equal_func(expected, name->str, g_str_equal, NULL))
            g_ptr_array_add(expected, g_strdup(name->str));
    }
    return expected;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t bad;

    if (size > MAX_NAIVE || !shield_text_validate((const char *)data, size, &bad))
        return 0;

    g_autoptr(GBytes) text = g_bytes_new(data, size);
    g_autoptr(ShieldList) got = shield_list_parse_domains(text);
    g_autoptr(GPtrArray) expected = expected_domains(text);

    g_assert_cmpuint(shield_list_length(got), ==, expected->len);
    for (guint i = 0; i < expected->len; i++) {
        const char *name = g_ptr_array_index(expected, i);
        ShieldSlice entry = shield_list_get(got, i);

        g_assert_cmpmem(entry.data, entry.len, name, strlen(name));
    }
    return 0;
}
