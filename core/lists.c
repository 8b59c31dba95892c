/* SPDX-License-Identifier: Apache-2.0 */
/* lists: entries as places in texts, and sets of them; see lists.h. */
#include "lists.h"

#include <string.h>

#include "hash.h"
#include "large.h"
#include "set.h"
#include "text.h"

#define MIN_ALLOCATED 16
#define MAX_ENTRIES G_MAXINT32
#define BATCH 32 /* entries that are looked up together */

typedef struct {
    guint32 at, len; /* bytes, in the text of its part */
} Entry;

/* The entries from `first` on, up to the next part's, stand in this text. */
typedef struct {
    GBytes *text;
    const char *bytes;
    guint32 first;
} Part;

struct ShieldList {
    gatomicrefcount refs;
    Entry *entries;
    Part *parts;
    guint32 n, allocated, n_parts;
    gboolean failed; /* there was no memory for an entry; nobody is given such a list */
};

static ShieldList *list_new(guint32 allocated)
{
    ShieldList *list = g_new0(ShieldList, 1);

    g_atomic_ref_count_init(&list->refs);
    list->entries = shield_large_alloc(allocated * sizeof(Entry));
    list->failed = allocated > 0 && !list->entries;
    list->allocated = list->failed ? 0 : allocated;
    return list;
}

ShieldList *shield_list_ref(ShieldList *list)
{
    g_atomic_ref_count_inc(&list->refs);
    return list;
}

void shield_list_unref(ShieldList *list)
{
    if (!g_atomic_ref_count_dec(&list->refs))
        return;
    g_free(list->entries);
    for (guint32 p = 0; p < list->n_parts; p++)
        g_bytes_unref(list->parts[p].text);
    g_free(list->parts);
    g_free(list);
}

/* What whoever asked is given of a list that was made. */
static ShieldList *made(ShieldList *list, gboolean failed)
{
    if (!failed && !list->failed)
        return list;
    shield_list_unref(list);
    return NULL;
}

static const Part *part_at(const ShieldList *list, guint i)
{
    return &list->parts[i];
}

gsize shield_list_length(const ShieldList *list)
{
    return list->n;
}

static ShieldSlice slice_of(const Part *part, Entry entry)
{
    return (ShieldSlice){part->bytes + entry.at, entry.len};
}

ShieldSlice shield_list_get(const ShieldList *list, gsize i)
{
    guint p = list->n_parts - 1;

    while (part_at(list, p)->first > i)
        p--;
    return slice_of(part_at(list, p), list->entries[i]);
}

/* What is appended from now on stands in text. */
static void begin_part(ShieldList *list, GBytes *text)
{
    gsize len;
    const char *bytes = g_bytes_get_data(text, &len);
    Part part = {g_bytes_ref(text), bytes ? bytes : "", list->n};

    g_assert(len <= SHIELD_LIST_MAX_TEXT);
    list->parts = g_renew(Part, list->parts, list->n_parts + 1);
    list->parts[list->n_parts++] = part;
}

/* FALSE: there is no memory, and all is as it was. */
static gboolean resize(ShieldList *list, guint32 allocated)
{
    Entry *entries = shield_large_resize(list->entries, allocated * sizeof(Entry));

    if (!entries)
        return FALSE;
    list->allocated = allocated;
    list->entries = entries;
    return TRUE;
}

/* What there is too much room for is given back. */
static void trim(ShieldList *list)
{
    if (list->n > 0)
        (void)resize(list, list->n);
    else
        g_clear_pointer(&list->entries, g_free);
    if (list->n == 0)
        list->allocated = 0;
}

static void append(ShieldList *list, Entry entry)
{
    g_assert(list->n < MAX_ENTRIES);
    if (list->n == list->allocated && !resize(list, MAX(list->allocated * 2, MIN_ALLOCATED)))
        list->failed = TRUE;
    else
        list->entries[list->n++] = entry;
}

static ShieldSlice nth_entry(const void *list, guint32 number)
{
    return shield_list_get(list, number);
}

/* The hashes of n entries, BATCH at most. Their slots are asked for all at once, so that the waits for memory
 * are one. */
static void hash_all(const ShieldSet *set, const Part *part, const Entry *entries, guint32 n, guint32 *hashes)
{
    for (guint32 i = 0; i < n; i++) {
        hashes[i] = shield_hash(slice_of(part, entries[i]));
        shield_set_expect(set, hashes[i]);
    }
}

/* Appends those of the n entries, places in the last part, that the list does not have. FALSE: there is no
 * memory. */
static gboolean append_new(ShieldList *list, ShieldSet *seen, const Entry *entries, guint32 n)
{
    const Part *part = part_at(list, list->n_parts - 1);
    guint32 hashes[BATCH];

    hash_all(seen, part, entries, n, hashes);
    for (guint32 i = 0; i < n && !list->failed; i++) {
        if (shield_set_add(seen, hashes[i], slice_of(part, entries[i]), list->n))
            append(list, entries[i]);
    }
    return !list->failed && !seen->failed;
}

/* Takes entries off *rest, which is the end of the part's text: at most BATCH, fewer at its end. */
static guint32 take_batch(const Part *part, ShieldSlice *rest, Entry *entries)
{
    ShieldSlice entry;
    guint32 n = 0;

    while (n < BATCH && shield_text_next_entry(rest, &entry))
        entries[n++] = (Entry){(guint32)(entry.data - part->bytes), (guint32)entry.len};
    return n;
}

static gsize rendered_size(const ShieldList *list)
{
    gsize size = list->n;

    for (guint32 i = 0; i < list->n; i++)
        size += list->entries[i].len;
    return size;
}

/* A text most of which is duplicates or white space is not kept for the rest's sake. */
static void shrink(ShieldList *list)
{
    Part *part = &list->parts[0];
    guint32 at = 0;

    if (rendered_size(list) >= g_bytes_get_size(part->text) / 2)
        return;

    GBytes *rendered = shield_list_render(list);
    if (!rendered)
        return;

    g_autoptr(GBytes) before G_GNUC_UNUSED = part->text;
    part->text = rendered;
    part->bytes = g_bytes_get_data(part->text, NULL);
    for (guint32 i = 0; i < list->n; at += list->entries[i++].len + 1)
        list->entries[i].at = at;
}

ShieldList *shield_list_parse(GBytes *text)
{
    ShieldList *list = list_new(0);
    gsize len = g_bytes_get_size(text);
    Entry entries[BATCH];
    ShieldSet seen;

    if (len == 0)
        return list;
    begin_part(list, text);
    const Part *part = part_at(list, 0);
    ShieldSlice rest = {part->bytes, len};
    shield_set_init(&seen, 0, nth_entry, list);
    for (guint32 n; (n = take_batch(part, &rest, entries)) > 0 && append_new(list, &seen, entries, n);) {
        seen.expected = (gsize)((guint64)list->n * len / (len - rest.len)); /* if it goes on like that */
    }
    shield_set_clear(&seen);
    trim(list);
    shrink(list);
    return made(list, seen.failed);
}

GBytes *shield_list_text(const ShieldList *list)
{
    return list->n_parts > 0 ? g_bytes_ref(part_at(list, 0)->text) : g_bytes_new_static("", 0);
}

gsize shield_list_memory(const ShieldList *list)
{
    return list->allocated * sizeof(Entry);
}

/* Names, a line for each; there is room for as many as there are. */
typedef struct {
    char *str;
    gsize len;
} Names;

/* Domains. Of all characters that Unicode lower-cases, only A to Z and U+212A (KELVIN SIGN) become ASCII; a
 * line with any other character than ASCII is no domain whatever its case, so nothing else need be folded. */
static gboolean fold_domain(ShieldSlice entry, Names *out)
{
    for (gsize i = 0; i < entry.len; i++) {
        if (entry.len - i >= 3 && memcmp(entry.data + i, "\xe2\x84\xaa", 3) == 0) {
            out->str[out->len++] = 'k';
            i += 2;
        } else if ((signed char)entry.data[i] < 0) {
            return FALSE;
        } else {
            out->str[out->len++] = g_ascii_tolower(entry.data[i]);
        }
    }
    return TRUE;
}

/* [a-z0-9]([a-z0-9-]*[a-z0-9])? */
static gboolean is_label(const char *label, gsize len)
{
    if (len == 0 || label[0] == '-' || label[len - 1] == '-')
        return FALSE;
    for (gsize i = 0; i < len; i++) {
        if (!g_ascii_isalnum(label[i]) && label[i] != '-')
            return FALSE;
    }
    return TRUE;
}

static gboolean is_top_level(const char *label, gsize len)
{
    for (gsize i = 0; i < len; i++) {
        if (!g_ascii_isalpha(label[i]))
            return FALSE;
    }
    return len >= 2;
}

static gboolean is_domain(const char *name, gsize len)
{
    const char *end = name + len, *dot;
    gsize labels = 0;

    if (len > 2 && name[0] == '*' && name[1] == '.')
        name += 2;
    for (; (dot = memchr(name, '.', (gsize)(end - name))); name = dot + 1, labels++) {
        if (!is_label(name, (gsize)(dot - name)))
            return FALSE;
    }
    return labels > 0 && is_top_level(name, (gsize)(end - name));
}

/* The line that begins there. */
static ShieldSlice line_at(const void *names, guint32 at)
{
    const Names *all = names;
    const char *line = all->str + at;

    return (ShieldSlice){line, (gsize)((const char *)memchr(line, '\n', all->len - at) - line)};
}

/* Does a domain that no line before it is begin there, at the last line? */
static gboolean is_new_domain(const Names *names, gsize at, ShieldSet *seen)
{
    ShieldSlice name = {names->str + at, names->len - at};

    return is_domain(name.data, name.len) && shield_set_add(seen, shield_hash(name), name, (guint32)at);
}

ShieldList *shield_list_parse_domains(GBytes *text)
{
    gsize len;
    const char *bytes = g_bytes_get_data(text, &len);
    Names names = {shield_large_alloc(len + 1), 0}; /* the last line may have no newline */
    ShieldSlice rest = {bytes ? bytes : "", len}, entry;
    ShieldSet seen;

    g_assert(len <= SHIELD_LIST_MAX_TEXT);
    if (!names.str)
        return NULL;
    shield_set_init(&seen, 0, line_at, &names);
    while (shield_text_next_entry(&rest, &entry)) {
        gsize at = names.len;

        if (fold_domain(entry, &names) && is_new_domain(&names, at, &seen))
            names.str[names.len++] = '\n';
        else
            names.len = at;
    }
    shield_set_clear(&seen);

    g_autoptr(GBytes) folded = g_bytes_new_take(g_realloc(names.str, MAX(names.len, 1)), names.len);
    return seen.failed ? NULL : shield_list_parse(folded);
}

static guint32 part_end(const ShieldList *list, guint p)
{
    return p + 1 < list->n_parts ? part_at(list, p + 1)->first : list->n;
}

/* Sets. The first list of a union is most often by far the longest. So not it is put into a table, but the
 * rest: what is to be missing, and after that the other lists. Then the first list's entries are looked up
 * there. */
typedef struct {
    ShieldList *list;
    ShieldSet set;
    guint32 barred; /* so many entries, at the start, are to be missing */
} Rest;

static void add_to_rest(Rest *rest, const ShieldList *list)
{
    for (guint p = 0; p < list->n_parts; p++) {
        guint32 end = part_end(list, p);

        begin_part(rest->list, part_at(list, p)->text);
        for (guint32 i = part_at(list, p)->first; i < end; i += BATCH) {
            if (!append_new(rest->list, &rest->set, list->entries + i, MIN(BATCH, end - i)))
                return;
        }
    }
}

static gboolean rest_failed(const Rest *rest)
{
    return rest->list->failed || rest->set.failed;
}

static void rest_init(Rest *rest, ShieldList *const *others, gsize n, const ShieldList *minus)
{
    gsize total = minus->n;

    for (gsize i = 0; i < n; i++)
        total += others[i]->n;
    g_assert(total <= MAX_ENTRIES);
    *rest = (Rest){.list = list_new((guint32)total), .barred = minus->n};
    shield_set_init(&rest->set, total, nth_entry, rest->list);
    add_to_rest(rest, minus);
    for (gsize i = 0; i < n; i++)
        add_to_rest(rest, others[i]);
}

static void rest_clear(Rest *rest)
{
    shield_set_clear(&rest->set);
    shield_list_unref(rest->list);
}

/* Is an entry of the first list to stay? If it is in another list too, that one is struck out there. */
static gboolean stays(Rest *rest, guint32 hash, ShieldSlice entry)
{
    gint64 found = shield_set_find(&rest->set, hash, entry);

    if (found >= rest->barred)
        rest->list->entries[found].len = 0;
    return found < 0 || found >= rest->barred;
}

static void append_first(ShieldList *list, Rest *rest, const ShieldList *first)
{
    guint32 hashes[BATCH];

    for (guint p = 0; p < first->n_parts; p++) {
        const Part *part = part_at(first, p);
        guint32 end = part_end(first, p);

        begin_part(list, part->text);
        for (guint32 i = part->first, n; i < end && !list->failed; i += n) {
            n = MIN(BATCH, end - i);
            hash_all(&rest->set, part, first->entries + i, n, hashes);
            for (guint32 j = 0; j < n && !list->failed; j++) {
                if (stays(rest, hashes[j], slice_of(part, first->entries[i + j])))
                    append(list, first->entries[i + j]);
            }
        }
    }
}

/* What is not to be missing, nor was struck out. */
static void append_rest(ShieldList *list, const Rest *rest)
{
    for (guint p = 0; p < rest->list->n_parts; p++) {
        const Part *part = part_at(rest->list, p);

        begin_part(list, part->text);
        for (guint32 i = MAX(part->first, rest->barred); i < part_end(rest->list, p) && !list->failed; i++) {
            if (rest->list->entries[i].len > 0)
                append(list, rest->list->entries[i]);
        }
    }
}

ShieldList *shield_list_union_less(ShieldList *const *lists, gsize n, ShieldList *minus)
{
    gsize total = 0;
    Rest rest;

    for (gsize i = 0; i < n; i++)
        total += lists[i]->n;
    if (total == 0)
        return list_new(0);
    g_assert(total <= MAX_ENTRIES);
    rest_init(&rest, lists + 1, n - 1, minus);

    gboolean failed = rest_failed(&rest);
    ShieldList *list = rest.list->n == 0 ? shield_list_ref(lists[0]) : list_new(lists[0]->n);
    if (rest.list->n > 0 && !failed && !list->failed) {
        append_first(list, &rest, lists[0]);
        append_rest(list, &rest);
        trim(list);
    }
    rest_clear(&rest);
    return made(list, failed);
}

ShieldList *shield_list_union(ShieldList *const *lists, gsize n)
{
    g_autoptr(ShieldList) none = list_new(0);

    return shield_list_union_less(lists, n, none);
}

ShieldList *shield_list_subtract(ShieldList *list, ShieldList *minus)
{
    return shield_list_union_less(&list, 1, minus);
}

GBytes *shield_list_render(const ShieldList *list)
{
    gsize size = rendered_size(list), at = 0;
    if (size == 0)
        return g_bytes_new_static("", 0);

    char *out = shield_large_alloc(size);
    for (guint32 i = 0; out && i < list->n; i++) {
        ShieldSlice entry = shield_list_get(list, i);

        memcpy(out + at, entry.data, entry.len);
        at += entry.len;
        out[at++] = '\n';
    }
    return out ? g_bytes_new_take(out, size) : NULL;
}
