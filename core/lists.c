/* SPDX-License-Identifier: Apache-2.0 */
/* lists: ordered sets of slices, made by sorting; see lists.h. */
#include "lists.h"

#include <string.h>

#include "text.h"

struct ShieldList {
    gatomicrefcount refs;
    GArray *entries;   /* of ShieldSlice */
    GPtrArray *owners; /* GBytes and ShieldLists that hold the bytes that entries point to */
};

static ShieldList *list_new(void)
{
    ShieldList *list = g_new0(ShieldList, 1);

    g_atomic_ref_count_init(&list->refs);
    list->entries = g_array_new(FALSE, FALSE, sizeof(ShieldSlice));
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
    g_array_unref(list->entries);
    if (list->owners)
        g_ptr_array_unref(list->owners);
    g_free(list);
}

gsize shield_list_length(const ShieldList *list)
{
    return list->entries->len;
}

ShieldSlice shield_list_get(const ShieldList *list, gsize i)
{
    return g_array_index(list->entries, ShieldSlice, i);
}

static ShieldSlice bytes_slice(GBytes *bytes)
{
    ShieldSlice slice;

    slice.data = g_bytes_get_data(bytes, &slice.len);
    if (!slice.data)
        slice.data = "";
    return slice;
}

static ShieldList *list_on_bytes(GBytes *text)
{
    ShieldList *list = list_new();

    list->owners = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_ptr_array_add(list->owners, g_bytes_ref(text));
    return list;
}

static ShieldList *list_on_lists(ShieldList *const *lists, gsize n)
{
    ShieldList *list = list_new();

    list->owners = g_ptr_array_new_with_free_func((GDestroyNotify)shield_list_unref);
    for (gsize i = 0; i < n; i++)
        g_ptr_array_add(list->owners, shield_list_ref(lists[i]));
    return list;
}

ShieldList *shield_list_parse(GBytes *text)
{
    ShieldList *list = list_on_bytes(text);
    ShieldSlice rest = bytes_slice(text), entry;

    while (shield_text_next_entry(&rest, &entry))
        g_array_append_val(list->entries, entry);
    return list;
}

/* Domains. Of all characters that Unicode lower-cases, only A to Z and U+212A (KELVIN SIGN) become ASCII; a
 * line with any other character than ASCII is no domain whatever its case, so nothing else need be folded. */
static gboolean fold_domain(ShieldSlice entry, GString *out)
{
    g_string_truncate(out, 0);
    for (gsize i = 0; i < entry.len; i++) {
        if (entry.len - i >= 3 && memcmp(entry.data + i, "\xe2\x84\xaa", 3) == 0) {
            g_string_append_c(out, 'k');
            i += 2;
        } else if ((signed char)entry.data[i] < 0) {
            return FALSE;
        } else {
            g_string_append_c(out, g_ascii_tolower(entry.data[i]));
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

ShieldList *shield_list_parse_domains(GBytes *text)
{
    GString *names = g_string_new(NULL);
    g_autoptr(GString) name = g_string_new(NULL);
    ShieldSlice rest = bytes_slice(text), entry;

    while (shield_text_next_entry(&rest, &entry)) {
        if (fold_domain(entry, name) && is_domain(name->str, name->len))
            g_string_append_printf(names, "%s\n", name->str);
    }

    g_autoptr(GBytes) folded = g_string_free_to_bytes(names);
    return shield_list_parse(folded);
}

/* Sets. An entry with the place where it stands, so that equal ones sort by their order. */
typedef struct {
    ShieldSlice entry;
    gsize at;
} Ranked;

static int compare_slices(ShieldSlice a, ShieldSlice b)
{
    int order = memcmp(a.data, b.data, MIN(a.len, b.len));

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_ranked(const void *pa, const void *pb)
{
    const Ranked *a = pa, *b = pb;
    int order = compare_slices(a->entry, b->entry);

    return order ? order : (a->at > b->at) - (a->at < b->at);
}

static GArray *sorted(const GArray *entries)
{
    GArray *ranked = g_array_sized_new(FALSE, FALSE, sizeof(Ranked), entries->len);

    for (gsize i = 0; i < entries->len; i++) {
        Ranked r = {g_array_index(entries, ShieldSlice, i), i};
        g_array_append_val(ranked, r);
    }
    g_array_sort(ranked, compare_ranked);
    return ranked;
}

static void append_entries(GArray *to, const GArray *from)
{
    if (from->len > 0)
        g_array_append_vals(to, from->data, from->len);
}

ShieldList *shield_list_union(ShieldList *const *lists, gsize n)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(ShieldSlice));

    for (gsize i = 0; i < n; i++)
        append_entries(all, lists[i]->entries);

    g_autoptr(GArray) ranked = sorted(all);
    g_autofree guint8 *first = g_malloc0(MAX(all->len, 1));
    const Ranked *r = (const Ranked *)(const void *)ranked->data;

    for (gsize i = 0; i < ranked->len; i++)
        first[r[i].at] = i == 0 || compare_slices(r[i].entry, r[i - 1].entry) != 0;

    ShieldList *list = list_on_lists(lists, n);
    for (gsize i = 0; i < all->len; i++) {
        if (first[i])
            g_array_append_val(list->entries, g_array_index(all, ShieldSlice, i));
    }
    return list;
}

static int find_ranked(const void *key, const void *element)
{
    return compare_slices(*(const ShieldSlice *)key, ((const Ranked *)element)->entry);
}

ShieldList *shield_list_subtract(ShieldList *list, ShieldList *minus)
{
    g_autoptr(GArray) ranked = sorted(minus->entries);
    ShieldList *left = list_on_lists(&list, 1);

    for (gsize i = 0; i < list->entries->len; i++) {
        ShieldSlice entry = shield_list_get(list, i);

        if (ranked->len == 0 || !bsearch(&entry, ranked->data, ranked->len, sizeof(Ranked), find_ranked))
            g_array_append_val(left->entries, entry);
    }
    return left;
}

GBytes *shield_list_render(const ShieldList *list)
{
    GString *out = g_string_new(NULL);

    for (gsize i = 0; i < list->entries->len; i++) {
        ShieldSlice entry = shield_list_get(list, i);

        g_string_append_len(out, entry.data, (gssize)entry.len);
        g_string_append_c(out, '\n');
    }
    return g_string_free_to_bytes(out);
}
