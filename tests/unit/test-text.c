/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/text: that decoding, splitting and stripping are Python's, for every code point there is. The
 * expected sets are spelled out here from upstream.md, not taken from the code.
 */
#include <glib.h>
#include <string.h>

#include "text.h"
#include "unit.h"

#define LAST_CODE_POINT 0x10ffff

static const gunichar boundaries[] = {0x0a, 0x0b, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029};

static const gunichar spaces[] = {0x09,   0x0a,   0x0b,   0x0c,   0x0d,   0x1c,   0x1d,   0x1e,
                                  0x1f,   0x20,   0x85,   0xa0,   0x1680, 0x2000, 0x2001, 0x2002,
                                  0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a,
                                  0x2028, 0x2029, 0x202f, 0x205f, 0x3000};

static gboolean is_in(gunichar c, const gunichar *set, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (set[i] == c)
            return TRUE;
    }
    return FALSE;
}

static ShieldSlice slice(const char *text)
{
    return (ShieldSlice){text, strlen(text)};
}

static void assert_slice(ShieldSlice got, const char *expected, gsize len)
{
    g_assert_cmpmem(got.data, got.len, expected, len);
}

/* The entries of text[len], joined by '|'. */
static char *entries(const char *text, gsize len)
{
    ShieldSlice rest = {text, len}, entry;
    GString *out = g_string_new(NULL);

    while (shield_text_next_entry(&rest, &entry)) {
        if (out->len > 0)
            g_string_append_c(out, '|');
        g_string_append_len(out, entry.data, (gssize)entry.len);
    }
    g_assert_cmpuint(rest.len, ==, 0);
    return g_string_free(out, FALSE);
}

static void test_every_boundary(void)
{
    for (gunichar c = 0; c <= LAST_CODE_POINT; c++) {
        if (c >= 0xd800 && c <= 0xdfff)
            continue;

        char text[16] = "a";
        gsize len = 1 + (gsize)g_unichar_to_utf8(c, text + 1);
        ShieldSlice rest = {text, len + 1}, entry;

        text[len] = 'b';
        g_assert_true(shield_text_next_entry(&rest, &entry));
        if (is_in(c, boundaries, G_N_ELEMENTS(boundaries))) {
            assert_slice(entry, "a", 1);
            g_assert_true(shield_text_next_entry(&rest, &entry));
            assert_slice(entry, "b", 1);
        } else {
            assert_slice(entry, text, len + 1);
        }
        g_assert_false(shield_text_next_entry(&rest, &entry));
    }
}

static void test_every_space(void)
{
    for (gunichar c = 0; c <= LAST_CODE_POINT; c++) {
        if (c >= 0xd800 && c <= 0xdfff)
            continue;

        char text[24];
        gsize width = (gsize)g_unichar_to_utf8(c, text);
        gsize len = 2 * width + 1;

        text[width] = 'x';
        memcpy(text + width + 1, text, width);
        if (is_in(c, spaces, G_N_ELEMENTS(spaces))) {
            assert_slice(shield_text_strip((ShieldSlice){text, len}), "x", 1);
            g_assert_cmpuint(shield_text_strip((ShieldSlice){text, width}).len, ==, 0);
        } else {
            assert_slice(shield_text_strip((ShieldSlice){text, len}), text, len);
        }
    }
}

static void test_strip_mixtures(void)
{
    assert_slice(shield_text_strip(slice(" \t\r\n a b \xc2\xa0\xe3\x80\x80\x1f")), "a b", 3);
    assert_slice(shield_text_strip(slice("")), "", 0);
    assert_slice(shield_text_strip(slice(" ")), "", 0);
    assert_slice(shield_text_strip(slice("\xe2\x80\x89\xe2\x80\xa8\x1c")), "", 0);
    assert_slice(shield_text_strip((ShieldSlice){" \0 ", 3}), "\0", 1);
    /* Inside, white space stays. */
    assert_slice(shield_text_strip(slice("a\xe3\x80\x80\x62")), "a\xe3\x80\x80\x62", 5);
    /* The last byte of the letter is 0xa0, and 0x85: bytes of it are no white space. */
    assert_slice(shield_text_strip(slice("\xc3\xa0")), "\xc3\xa0", 2);
    assert_slice(shield_text_strip(slice("\xc3\x85")), "\xc3\x85", 2);
}

/* What looks like white space or a line boundary and is neither. */
static void test_near_misses(void)
{
    static const struct {
        const char *text;
        gsize len;
        const char *entries;
        gsize entries_len;
    } cases[] = {
        {"a\x1f\x62\n", 4, "a\x1f\x62", 3}, /* U+001F: white space, no boundary */
        {"\x1f\x61\x1f\n", 4, "a", 1},      /* and stripped */
        {"\xe2\x80\x8b\x61\xe2\x80\x8b\n", 8, "\xe2\x80\x8b\x61\xe2\x80\x8b", 7}, /* U+200B */
        {"\xef\xbb\xbf\x61\n", 5, "\xef\xbb\xbf\x61", 4}, /* U+FEFF, a byte-order mark */
        {"\xef\xbb\xbf\n", 4, "\xef\xbb\xbf", 3},         /* alone it is an entry */
        {"\xe1\xa0\x8e\x61\n", 5, "\xe1\xa0\x8e\x61", 4}, /* U+180E */
        {"\0a\0\n", 4, "\0a\0", 3},                       /* NUL is part of the entry */
        {"\0\n", 2, "\0", 1},
        {"a\\nb\n", 5, "a\\nb", 4},
        {"# a\n#\n", 6, "# a|#", 5}, /* comments are entries */
        {"\xc2\x84\x61", 3, "\xc2\x84\x61", 3},
        {"\xc2\x86\x61", 3, "\xc2\x86\x61", 3},
        {"\xe2\x80\xa7\x61\xe2\x80\xaa", 7, "\xe2\x80\xa7\x61\xe2\x80\xaa", 7}, /* U+2027, U+202A */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        ShieldSlice rest = {cases[i].text, cases[i].len}, entry;
        g_autoptr(GString) got = g_string_new(NULL);

        while (shield_text_next_entry(&rest, &entry)) {
            if (got->len > 0)
                g_string_append_c(got, '|');
            g_string_append_len(got, entry.data, (gssize)entry.len);
        }
        g_assert_cmpmem(got->str, got->len, cases[i].entries, cases[i].entries_len);
    }
}

static void test_entries(void)
{
    static const struct {
        const char *text, *entries;
    } cases[] = {
        {"", ""},
        {"\n", ""},
        {"\n\r\n\r\x0b \x0c\n\n", ""},
        {"a", "a"},
        {"a\n", "a"},
        {"a\nb", "a|b"},
        {"a\r\nb\r\n", "a|b"},
        {"a\rb\r", "a|b"},
        {"a\n\rb", "a|b"},
        {"a\r\r\nb", "a|b"},
        {" a \n\t b\t \n \n", "a|b"},
        {"a b\n", "a b"},
        {"a\x1c"
         "b\x1d"
         "c\x1e"
         "d\x1f"
         "e",
         "a|b|c|d\x1f"
         "e"},
        {"a\xc2\x85"
         "b\xe2\x80\xa8"
         "c\xe2\x80\xa9"
         "d",
         "a|b|c|d"},
        {"a\n a\na ", "a|a|a"},
        {"\xe3\x80\x80"
         "1.1.1.1\xe3\x80\x80\n",
         "1.1.1.1"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = entries(cases[i].text, strlen(cases[i].text));

        g_assert_cmpstr(got, ==, cases[i].entries);
    }
}

/* The entries of text, each with a newline, found one code point after the other. */
static GString *naive_entries(const GString *text)
{
    GString *out = g_string_new(NULL);
    gsize started = 0,
          solid = 0; /* the length of out when the line began, and without the white space at its end */

    for (const char *at = text->str; at < text->str + text->len; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);

        if (is_in(c, boundaries, G_N_ELEMENTS(boundaries))) {
            g_string_truncate(out, solid);
            if (solid > started)
                g_string_append_c(out, '\n');
            started = solid = out->len;
        } else if (!is_in(c, spaces, G_N_ELEMENTS(spaces))) {
            g_string_append_len(out, at, g_utf8_next_char(at) - at);
            solid = out->len;
        } else if (solid > started) {
            g_string_append_len(out, at, g_utf8_next_char(at) - at);
        }
    }
    g_string_truncate(out, solid);
    if (solid > started)
        g_string_append_c(out, '\n');
    return out;
}

static void append_random_piece(GString *text)
{
    static const struct {
        const char *bytes;
        gssize len;
    } odd[] = {
        {"\0", 1},           {"\t", 1},           {"\r\n", 2},         {"\r", 1},
        {"\x0b", 1},         {"\x0c", 1},         {"\x1b", 1},         {"\x1c", 1},
        {"\x1e", 1},         {"\x1f", 1},         {"\x7f", 1},         {"\xc2\x80", 2},
        {"\xc2\x85", 2},     {"\xc2\xa0", 2},     {"\xc3\xa9", 2},     {"\xe2\x80\xa8", 3},
        {"\xe2\x80\xa9", 3}, {"\xe2\x80\xaa", 3}, {"\xe3\x80\x80", 3}, {"\xf0\x9f\x98\x80", 4},
    };
    gint kind = g_test_rand_int_range(0, 10);

    if (kind < 3) {
        gint i = g_test_rand_int_range(0, G_N_ELEMENTS(odd));

        g_string_append_len(text, odd[i].bytes, odd[i].len);
    } else if (kind < 5) {
        g_string_append_c(text, '\n');
    } else if (kind < 6) {
        g_string_append_c(text, ' ');
    } else {
        for (gint i = g_test_rand_int_range(0, 20); i >= 0; i--)
            g_string_append_c(text, (char)g_test_rand_int_range(0x21, 0x7f));
    }
}

/* Plain lines and others mixed, against the slow way; each text in a buffer of its own size. */
static void test_random(void)
{
    for (guint round = unit_rounds(20000); round > 0; round--) {
        g_autoptr(GString) text = g_string_new(NULL), got = g_string_new(NULL);

        for (gint n = g_test_rand_int_range(0, 30); n > 0; n--)
            append_random_piece(text);

        g_autoptr(GString) expected = naive_entries(text);
        g_autofree char *copy = g_memdup2(text->str, MAX(text->len, 1));
        ShieldSlice rest = {copy, text->len}, entry;
        gsize bad;
        g_assert_true(shield_text_validate(copy, text->len, &bad));
        while (shield_text_next_entry(&rest, &entry)) {
            g_string_append_len(got, entry.data, (gssize)entry.len);
            g_string_append_c(got, '\n');
        }
        g_assert_cmpmem(got->str, got->len, expected->str, expected->len);
    }
}

/* Each entry is a slice of the text itself. */
static void test_entries_are_slices(void)
{
    const char *text = "  first\r\nsecond  ";
    ShieldSlice rest = slice(text), entry;

    g_assert_true(shield_text_next_entry(&rest, &entry));
    g_assert_true(entry.data == text + 2);
    g_assert_true(shield_text_next_entry(&rest, &entry));
    g_assert_true(entry.data == text + 9);
    g_assert_false(shield_text_next_entry(&rest, &entry));
    g_assert_false(shield_text_next_entry(&rest, &entry));
}

static void test_validate(void)
{
    static const struct {
        const char *bytes;
        gsize len;
        gssize bad; /* -1: valid */
    } cases[] = {
        {"", 0, -1},
        {"abc", 3, -1},
        {"a\0b\0\0", 5, -1},
        {"\x7f", 1, -1},
        {"\xc2\x80", 2, -1},
        {"\xdf\xbf", 2, -1},
        {"\xe0\xa0\x80", 3, -1},
        {"\xed\x9f\xbf", 3, -1}, /* U+D7FF */
        {"\xee\x80\x80", 3, -1}, /* U+E000 */
        {"\xef\xbf\xbe", 3, -1}, /* U+FFFE: no character, but a code point */
        {"\xef\xbf\xbf", 3, -1},
        {"\xef\xb7\x90", 3, -1}, /* U+FDD0 */
        {"\xf0\x90\x80\x80", 4, -1},
        {"\xf4\x8f\xbf\xbf", 4, -1}, /* U+10FFFF */
        {"\xef\xbb\xbf\x61", 4, -1},
        /* alone, or in the wrong place */
        {"\x80", 1, 0},
        {"\xbf", 1, 0},
        {"ab\xff", 3, 2},
        {"ab\xfe", 3, 2},
        {"a\0\x80", 3, 2},
        {"\0\0\0\xc0", 4, 3},
        /* overlong */
        {"\xc0\x80", 2, 0},
        {"\xc1\xbf", 2, 0},
        {"a\xe0\x80\x80", 4, 1},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xf0\x80\x80\x80", 4, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        /* surrogates */
        {"\xed\xa0\x80", 3, 0},
        {"\xed\xbf\xbf", 3, 0},
        {"ok\xed\xa0\xbd\xed\xb8\x80", 8, 2},
        /* above U+10FFFF */
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xf8\x88\x80\x80\x80", 5, 0},
        {"\xfc\x84\x80\x80\x80\x80", 6, 0},
        /* truncated: by the end, by another character, by a NUL */
        {"abc\xc3", 4, 3},
        {"\xe2\x80", 2, 0},
        {"\xf0\x9f\x98", 3, 0},
        {"\xe2\x80\x61", 3, 0},
        {"\xe2\x28\xa1", 3, 0},
        {"\xc3\0", 2, 0},
        {"\xe2\x82\xac\xe2\x82", 5, 3},
        {"caf\xe9\n", 5, 3}, /* Latin-1 */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        /* A copy of the exact size, so that a checker sees a read beyond the end. */
        g_autofree char *copy = g_memdup2(cases[i].bytes, MAX(cases[i].len, 1));
        gsize bad = 12345;
        gboolean valid = shield_text_validate(copy, cases[i].len, &bad);

        if (cases[i].bad < 0) {
            g_assert_true(valid);
        } else {
            g_assert_false(valid);
            g_assert_cmpuint(bad, ==, (gsize)cases[i].bad);
        }
    }
}

/* Each code point's own encoding is valid, and its bytes but the first alone are not. */
static void test_validate_every_code_point(void)
{
    gsize bad;

    for (gunichar c = 0; c <= LAST_CODE_POINT; c++) {
        char bytes[8];
        gsize len = (gsize)g_unichar_to_utf8(c, bytes);
        gboolean surrogate = c >= 0xd800 && c <= 0xdfff;

        g_assert_cmpint(shield_text_validate(bytes, len, &bad), ==, !surrogate);
        if (len > 1) {
            g_assert_false(shield_text_validate(bytes, len - 1, &bad));
            g_assert_false(shield_text_validate(bytes + 1, len - 1, &bad));
            g_assert_cmpuint(bad, ==, 0);
        }
    }
}

/* Each kind of invalid sequence at each place: eight bytes and 256 are looked at together. */
static void test_validate_every_place(void)
{
    static const char *const sequences[] = {"\x80",         "\xff",     "\xc0\x80",
                                            "\xed\xa0\x80", "\xe2\x80", "\xf0\x9f\x98"};
    static const char *const before[] = {"a", "\xc3\xa9", "\xe2\x80\xa8", "\xf0\x9f\x98\x80"};

    for (gsize b = 0; b < G_N_ELEMENTS(before); b++) {
        g_autoptr(GString) text = g_string_new(NULL);

        for (gsize n = 0; n < 600; n++) {
            gsize start = text->len, bad = 0;
            const char *sequence = sequences[n % G_N_ELEMENTS(sequences)];

            g_assert_true(shield_text_validate(text->str, text->len, &bad));
            g_string_append(text, sequence);
            g_assert_false(shield_text_validate(text->str, text->len, &bad));
            g_assert_cmpuint(bad, ==, start);
            g_string_append(text, "\n\n and more");
            g_assert_false(shield_text_validate(text->str, text->len, &bad));
            g_assert_cmpuint(bad, ==, start);
            g_string_truncate(text, start);
            g_string_append(text, n % 100 == 99 ? "x" : before[b]);
        }
    }
}

static void test_universal_newlines(void)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"a", "a"},
        {"a\nb", "a\nb"},
        {"a\r\nb", "a\nb"},
        {"a\rb", "a\nb"},
        {"a\n\rb", "a\n\nb"},
        {"\r", "\n"},
        {"\r\n", "\n"},
        {"\r\r\n\r", "\n\n\n"},
        {"\r\r", "\n\n"},
        {"\x0b\x0c", "\x0b\x0c"},
        {"a\xc2\x85", "a\xc2\x85"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) got = shield_text_universal_newlines(slice(cases[i].text));

        g_assert_cmpstr(got->str, ==, cases[i].expected);
    }

    g_autoptr(GString) nul = shield_text_universal_newlines((ShieldSlice){"\0\r\0", 3});
    g_assert_cmpmem(nul->str, nul->len, "\0\n\0", 3);
}

static void test_escape(void)
{
    static const struct {
        const char *bytes;
        gssize len;
        const char *expected;
    } cases[] = {
        {"", -1, ""},
        {"web-1/deny.list", -1, "web-1/deny.list"},
        {"a\nb", -1, "a\\x0ab"},
        {"\x1b[31m", -1, "\\x1b[31m"},
        {"a\\x0ab", -1, "a\\\\x0ab"},
        {"\\", -1, "\\\\"},
        {"\x7f", -1, "\\x7f"},
        {"\xff\xfe", -1, "\\xff\\xfe"},
        {"\xc3", -1, "\\xc3"},
        {"\xc3\xa9", -1, "\xc3\xa9"},
        {"\xc2\x9b", -1, "\\xc2\\x9b"},          /* a C1 control: CSI */
        {"\xe2\x80\xae", -1, "\\xe2\\x80\\xae"}, /* right-to-left override */
        {"\xe2\x80\xa8", -1, "\\xe2\\x80\\xa8"}, /* LINE SEPARATOR */
        {"\xef\xbb\xbf", -1, "\\xef\\xbb\\xbf"}, /* invisible */
        {"\xed\xa0\x80", -1, "\\xed\\xa0\\x80"}, /* a surrogate */
        {"\xe6\xbc\xa2\xe5\xad\x97", -1, "\xe6\xbc\xa2\xe5\xad\x97"},
        {"a\0b", 3, "a\\x00b"},
        {"abc", 2, "ab"},
        {"\xe6\xbc\xa2", 2, "\\xe6\\xbc"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = shield_text_escape(cases[i].bytes, cases[i].len);

        g_assert_cmpstr(got, ==, cases[i].expected);
    }
}

/* Whatever comes in, one printable line comes out, and different bytes give different lines. */
static void test_escape_every_byte(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (int first = 0; first < 256; first++) {
        for (int second = 0; second < 256; second++) {
            const char bytes[2] = {(char)first, (char)second};
            char *got = shield_text_escape(bytes, 2);

            g_assert_true(g_utf8_validate(got, -1, NULL));
            for (const char *at = got; *at; at = g_utf8_next_char(at))
                g_assert_true(g_unichar_isprint(g_utf8_get_char(at)));
            g_assert_true(g_hash_table_add(seen, got));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text/every-boundary", test_every_boundary);
    g_test_add_func("/text/every-space", test_every_space);
    g_test_add_func("/text/strip-mixtures", test_strip_mixtures);
    g_test_add_func("/text/near-misses", test_near_misses);
    g_test_add_func("/text/entries", test_entries);
    g_test_add_func("/text/random", test_random);
    g_test_add_func("/text/entries-are-slices", test_entries_are_slices);
    g_test_add_func("/text/validate", test_validate);
    g_test_add_func("/text/validate-every-code-point", test_validate_every_code_point);
    g_test_add_func("/text/validate-every-place", test_validate_every_place);
    g_test_add_func("/text/universal-newlines", test_universal_newlines);
    g_test_add_func("/text/escape", test_escape);
    g_test_add_func("/text/escape-every-byte", test_escape_every_byte);
    return g_test_run();
}
