/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for core/text. Validation is compared with a decoder written here from RFC 3629; splitting and
 * stripping with one that works on decoded code points, line by line, as the contract's Python does; escaping
 * is undone again.
 */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "text.h"

/* The length of the sequence at the start of bytes, and its code point; 0 if it can't be decoded. */
static gsize decode(const uint8_t *bytes, gsize len, gunichar *c)
{
    static const gunichar least[] = {0, 0, 0x80, 0x800, 0x10000};
    gsize width = bytes[0] < 0x80             ? 1
                  : (bytes[0] & 0xe0) == 0xc0 ? 2
                  : (bytes[0] & 0xf0) == 0xe0 ? 3
                  : (bytes[0] & 0xf8) == 0xf0 ? 4
                                              : 0;

    if (width == 0 || width > len)
        return 0;
    *c = width == 1 ? bytes[0] : bytes[0] & (0x7fU >> width);
    for (gsize i = 1; i < width; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        *c = *c << 6 | (bytes[i] & 0x3f);
    }
    return *c < least[width] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff) ? 0 : width;
}

/* All code points, or NULL and where it went wrong. */
static GArray *decode_all(const uint8_t *data, gsize size, gsize *bad)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(gunichar));

    for (gsize at = 0; at < size;) {
        gunichar c = 0;
        gsize width = decode(data + at, size - at, &c);

        if (width == 0) {
            *bad = at;
            return NULL;
        }
        g_array_append_val(all, c);
        at += width;
    }
    return g_steal_pointer(&all);
}

static gboolean is_one_of(gunichar c, const gunichar *set)
{
    for (; *set; set++) {
        if (*set == c)
            return TRUE;
    }
    return FALSE;
}

static gboolean ends_line(gunichar c)
{
    static const gunichar set[] = {10, 11, 12, 13, 28, 29, 30, 0x85, 0x2028, 0x2029, 0};

    return is_one_of(c, set);
}

static gboolean is_white(gunichar c)
{
    static const gunichar set[] = {9,      10,     11,     12,     13,     28,     29,     30,
                                   31,     32,     0x85,   0xa0,   0x1680, 0x2000, 0x2001, 0x2002,
                                   0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a,
                                   0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0};

    return is_one_of(c, set);
}

static void append_stripped(GByteArray *out, const gunichar *line, gsize len)
{
    while (len > 0 && is_white(line[0])) {
        line++;
        len--;
    }
    while (len > 0 && is_white(line[len - 1]))
        len--;
    for (gsize i = 0; i < len; i++) {
        char bytes[6];

        g_byte_array_append(out, (guint8 *)bytes, (guint)g_unichar_to_utf8(line[i], bytes));
    }
    if (len > 0)
        g_byte_array_append(out, (const guint8 *)"\n", 1);
}

/* The entries, one a line. */
static GByteArray *expected_entries(const GArray *text)
{
    GByteArray *out = g_byte_array_new();
    const gunichar *c = (const gunichar *)(const void *)text->data;
    gsize start = 0;

    for (gsize i = 0; i < text->len; i++) {
        if (ends_line(c[i])) {
            append_stripped(out, c + start, i - start);
            start = i + 1;
        }
    }
    if (text->len > start)
        append_stripped(out, c + start, text->len - start);
    return out;
}

static void check_entries(const uint8_t *data, size_t size, const GArray *decoded)
{
    g_autoptr(GByteArray) expected = expected_entries(decoded), got = g_byte_array_new();
    ShieldSlice rest = {(const char *)data, size}, entry;

    while (shield_text_next_entry(&rest, &entry)) {
        ShieldSlice again = shield_text_strip(entry);

        g_assert_cmpuint(entry.len, >, 0);
        g_assert_true(entry.data >= (const char *)data);
        g_assert_true(entry.data + entry.len <= (const char *)data + size);
        g_assert_true(again.data == entry.data && again.len == entry.len);
        g_byte_array_append(got, (const guint8 *)entry.data, (guint)entry.len);
        g_byte_array_append(got, (const guint8 *)"\n", 1);
    }
    g_assert_cmpuint(rest.len, ==, 0);
    g_assert_cmpmem(got->data, got->len, expected->data, expected->len);
}

static void check_newlines(const uint8_t *data, size_t size)
{
    g_autoptr(GString) got = shield_text_universal_newlines((ShieldSlice){(const char *)data, size});
    gsize at = 0;

    g_assert_null(memchr(got->str, '\r', got->len));
    for (gsize i = 0; i < size; i++) {
        if (data[i] == '\n' && i > 0 && data[i - 1] == '\r')
            continue;
        g_assert_cmpuint(at, <, got->len);
        g_assert_cmpint((uint8_t)got->str[at++], ==, data[i] == '\r' ? '\n' : data[i]);
    }
    g_assert_cmpuint(at, ==, got->len);
}

/* Escaped text is printable, and tells every byte. */
static void check_escape(const uint8_t *data, size_t size)
{
    g_autofree char *escaped = shield_text_escape((const char *)data, (gssize)size);
    g_autoptr(GString) back = g_string_new(NULL);

    g_assert_true(g_utf8_validate(escaped, -1, NULL));
    for (const char *at = escaped; *at; at = g_utf8_next_char(at))
        g_assert_true(g_unichar_isprint(g_utf8_get_char(at)));
    for (const char *at = escaped; *at;) {
        if (*at != '\\') {
            g_string_append_c(back, *at++);
        } else if (at[1] == '\\') {
            g_string_append_c(back, '\\');
            at += 2;
        } else {
            g_assert_true(at[1] == 'x' && g_ascii_isxdigit(at[2]) && g_ascii_isxdigit(at[3]));
            g_string_append_c(back, (char)(g_ascii_xdigit_value(at[2]) * 16 + g_ascii_xdigit_value(at[3])));
            at += 4;
        }
    }
    g_assert_cmpmem(back->str, back->len, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gsize bad = 0, expected_bad = 0;
    g_autoptr(GArray) decoded = decode_all(data, size, &expected_bad);
    gboolean valid = shield_text_validate((const char *)data, size, &bad);

    g_assert_cmpint(valid, ==, decoded != NULL);
    if (valid)
        check_entries(data, size, decoded);
    else
        g_assert_cmpuint(bad, ==, expected_bad);
    check_newlines(data, size);
    check_escape(data, size);
    return 0;
}
