/* SPDX-License-Identifier: Apache-2.0 */
/* text: decoding, line boundaries and white space as Python's str has them; see text.h. */
#include "text.h"

#include <string.h>

#define EACH_BYTE(byte) (G_MAXUINT64 / 0xff * (byte))
#define VALIDATED 256 /* bytes at a time: at least one sequence */

/* Eight bytes, the first one lowest. */
static guint64 load_word(const char *at)
{
    guint64 word;

    memcpy(&word, at, sizeof word);
    return GUINT64_FROM_LE(word);
}

/* The first byte that is not ASCII, or the end. */
static const char *skip_ascii(const char *at, const char *end)
{
    while ((gsize)(end - at) >= sizeof(guint64) && (load_word(at) & EACH_BYTE(0x80)) == 0)
        at += sizeof(guint64);
    while (at < end && (guint8)*at < 0x80)
        at++;
    return at;
}

/* The first byte that is not ASCII or is a control character, or the end. Less 0x20, a control character has
 * the top bit set; it borrows from the bytes after it alone, so the first one of those with that bit is
 * exact. */
static const char *skip_plain(const char *at, const char *end)
{
    while ((gsize)(end - at) >= sizeof(guint64)) {
        guint64 word = load_word(at);
        guint64 found = (word | (word - EACH_BYTE(0x20))) & EACH_BYTE(0x80);

        if (found)
            return at + __builtin_ctzll(found) / 8;
        at += sizeof(guint64);
    }
    while (at < end && (guint8)*at >= 0x20 && (guint8)*at < 0x80)
        at++;
    return at;
}

gboolean shield_text_validate(const char *bytes, gsize len, gsize *bad)
{
    const char *end = bytes + len, *from, *at = bytes;

    while ((from = skip_ascii(at, end)) < end) {
        /* It stops at a NUL, which is an ordinary character here, and at a sequence that it sees half of. */
        (void)g_utf8_validate_len(from, MIN((gsize)(end - from), VALIDATED), &at);
        if (at == from) {
            *bad = (gsize)(at - bytes);
            return FALSE;
        }
    }
    return TRUE;
}

/* Where str.splitlines ends a line. U+001F is white space, but no boundary. */
static gboolean is_boundary(gunichar c)
{
    return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/* str.isspace, which str.strip goes by; not g_unichar_isspace, which has another set. */
static gboolean is_space(gunichar c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

/* Is this the byte of an ASCII character that is no white space? */
static gboolean is_solid(char byte)
{
    return (guint8)byte > 0x20 && (guint8)byte < 0x80;
}

ShieldSlice shield_text_strip(ShieldSlice text)
{
    const char *start = text.data, *end = text.data + text.len;

    if (start < end && is_solid(start[0]) && is_solid(end[-1]))
        return text;

    while (start < end && is_space(g_utf8_get_char(start)))
        start = g_utf8_next_char(start);
    while (end > start) {
        const char *last = g_utf8_prev_char(end);

        if (!is_space(g_utf8_get_char(last)))
            break;
        end = last;
    }
    return (ShieldSlice){start, (gsize)(end - start)};
}

gboolean shield_text_next_entry(ShieldSlice *rest, ShieldSlice *entry)
{
    while (rest->len > 0) {
        const char *end = rest->data + rest->len, *at = skip_plain(rest->data, end);

        while (at < end && !is_boundary(g_utf8_get_char(at)))
            at = skip_plain(g_utf8_next_char(at), end);

        *entry = shield_text_strip((ShieldSlice){rest->data, (gsize)(at - rest->data)});
        if (at < end) /* CR LF gives an empty line more, which is dropped like every empty one */
            at = g_utf8_next_char(at);
        *rest = (ShieldSlice){at, (gsize)(end - at)};
        if (entry->len > 0)
            return TRUE;
    }
    return FALSE;
}

GString *shield_text_universal_newlines(ShieldSlice text)
{
    GString *out = g_string_sized_new(text.len);

    for (gsize i = 0; i < text.len; i++) {
        if (text.data[i] != '\r') {
            g_string_append_c(out, text.data[i]);
            continue;
        }
        g_string_append_c(out, '\n');
        if (i + 1 < text.len && text.data[i + 1] == '\n')
            i++;
    }
    return out;
}

/* GLib counts the line and the paragraph separator as printable. */
static gboolean is_printable(gunichar c)
{
    return c != 0 && c < (gunichar)-2 && c != 0x2028 && c != 0x2029 && g_unichar_isprint(c);
}

char *shield_text_escape(const char *bytes, gssize len)
{
    gsize left = len < 0 ? strlen(bytes) : (gsize)len;
    GString *out = g_string_sized_new(left);

    while (left > 0) {
        gunichar c = g_utf8_get_char_validated(bytes, (gssize)left);
        gsize width = 1;

        if (c == '\\') {
            g_string_append(out, "\\\\");
        } else if (is_printable(c)) {
            width = (gsize)(g_utf8_next_char(bytes) - bytes);
            g_string_append_len(out, bytes, (gssize)width);
        } else {
            g_string_append_printf(out, "\\x%02x", (unsigned char)*bytes);
        }
        bytes += width;
        left -= width;
    }
    return g_string_free(out, FALSE);
}
