/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/lists: union and difference keep order and first occurrences and compare by exact bytes; the
 * domains rule is the writer's; nothing a hostile list can hold makes them slow.
 */
#include <glib.h>
#include <string.h>

#include "lists.h"
#include "unit.h"

static ShieldList *domains(const char *text)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));

    return shield_list_parse_domains(bytes);
}

static void test_parse(void)
{
    g_autoptr(ShieldList) list = unit_list(" b\r\na\n\nb\n#c\n");
    g_autoptr(ShieldList) empty = unit_list("");

    g_assert_cmpuint(shield_list_length(list), ==, 3);
    unit_assert_list(list, "b\na\n#c\n");
    g_assert_cmpmem(shield_list_get(list, 1).data, shield_list_get(list, 1).len, "a", 1);
    g_assert_cmpuint(shield_list_length(empty), ==, 0);
    unit_assert_list(empty, "");
}

/* A list keeps what it points to, whoever else has let go of it. */
static void test_lifetimes(void)
{
    GBytes *text = g_bytes_new("a\nb\n", 4);
    ShieldList *parsed = shield_list_parse(text);
    g_bytes_unref(text);

    ShieldList *other = unit_list("c\n");
    ShieldList *both[] = {parsed, other};
    ShieldList *all = shield_list_union(both, 2);
    shield_list_unref(parsed);
    shield_list_unref(other);

    ShieldList *minus = unit_list("b\n");
    g_autoptr(ShieldList) left = shield_list_subtract(all, minus);
    shield_list_unref(minus);
    shield_list_unref(all);
    unit_assert_list(left, "a\nc\n");
}

static void assert_union(const char *a, const char *b, const char *expected)
{
    g_autoptr(ShieldList) first = unit_list(a);
    g_autoptr(ShieldList) second = unit_list(b);
    ShieldList *both[] = {first, second};
    g_autoptr(ShieldList) got = shield_list_union(both, 2);

    unit_assert_list(got, expected);
}

static void test_union(void)
{
    assert_union("", "", "");
    assert_union("b\na\n", "", "b\na\n");
    assert_union("", "b\na\n", "b\na\n");
    assert_union("b\na\n", "c\na\nd\n", "b\na\nc\nd\n");
    assert_union("b\nb\na\nb\n", "a\na\n", "b\na\n");
    assert_union("1\n2\n3\n", "3\n2\n1\n", "1\n2\n3\n");
    assert_union("a\n", "ab\nabc\na\nab\n", "a\nab\nabc\n");

    g_autoptr(ShieldList) none = shield_list_union(NULL, 0);
    unit_assert_list(none, "");

    g_autoptr(ShieldList) one = unit_list("x\nx\n");
    ShieldList *thrice[] = {one, one, one};
    g_autoptr(ShieldList) got = shield_list_union(thrice, 3);
    unit_assert_list(got, "x\n");
    unit_assert_list(one, "x\n"); /* itself as it was */
}

/* The arguments stay as they were. */
static void test_arguments(void)
{
    g_autoptr(ShieldList) a = unit_list("a\nb\n"), b = unit_list("b\nc\n"), minus = unit_list("c\na\n");
    ShieldList *both[] = {a, b};
    g_autoptr(ShieldList) got = shield_list_union_less(both, 2, minus);
    g_autoptr(ShieldList) again = shield_list_union_less(&got, 1, got);

    unit_assert_list(got, "b\n");
    unit_assert_list(again, "");
    unit_assert_list(a, "a\nb\n");
    unit_assert_list(b, "b\nc\n");
    unit_assert_list(minus, "c\na\n");
}

/* The texts that entries stand in stay apart, however often lists are made of lists. */
static void test_of_unions(void)
{
    g_autoptr(ShieldList) a = unit_list("a\nb\n"), b = unit_list("c\nb\n"), c = unit_list("d\na\n");
    ShieldList *ab[] = {a, b};
    g_autoptr(ShieldList) first = shield_list_union(ab, 2);
    ShieldList *cab[] = {c, first, c, first};
    g_autoptr(ShieldList) all = shield_list_union(cab, 4);
    g_autoptr(ShieldList) left = shield_list_union_less(cab, 4, b);
    g_autoptr(ShieldList) other = shield_list_subtract(c, first);

    unit_assert_list(all, "d\na\nb\nc\n");
    g_assert_cmpmem(shield_list_get(all, 3).data, shield_list_get(all, 3).len, "c", 1);
    unit_assert_list(left, "d\na\n");
    unit_assert_list(other, "d\n");
}

static void assert_subtract(const char *list, const char *minus, const char *expected)
{
    g_autoptr(ShieldList) first = unit_list(list);
    g_autoptr(ShieldList) second = unit_list(minus);
    g_autoptr(ShieldList) got = shield_list_subtract(first, second);

    unit_assert_list(got, expected);
}

static void test_subtract(void)
{
    assert_subtract("", "", "");
    assert_subtract("a\nb\n", "", "a\nb\n");
    assert_subtract("", "a\n", "");
    assert_subtract("c\nb\na\n", "b\n", "c\na\n");
    assert_subtract("c\nb\na\nb\nc\n", "b\n", "c\na\n");
    assert_subtract("a\nb\n", "b\nb\na\na\n", "");
    assert_subtract("b\n", "a\nc\n", "b\n");
    assert_subtract("a\nab\nabc\n", "ab\n", "a\nabc\n");
}

/* Entries are strings, not addresses. */
static void test_exact(void)
{
    assert_subtract("10.0.0.0/8\n", "10.0.0.5\n", "10.0.0.0/8\n");
    assert_subtract("1.1.1.1\n", "1.1.1.1/32\n", "1.1.1.1\n");
    assert_subtract("2001:0db8::1\n", "2001:db8::1\n", "2001:0db8::1\n");
    assert_subtract("\xef\xbb\xbf"
                    "1.1.1.1\n",
                    "1.1.1.1\n",
                    "\xef\xbb\xbf"
                    "1.1.1.1\n");
    assert_subtract("A\n", "a\n", "A\n");
    assert_union("e\xcc\x81\n", "\xc3\xa9\n", "e\xcc\x81\n\xc3\xa9\n"); /* no normalisation */

    g_autoptr(GBytes) with_nul = g_bytes_new_static("a\0b\na\na\0c\n", 10);
    g_autoptr(ShieldList) list = shield_list_parse(with_nul);
    g_autoptr(ShieldList) a = unit_list("a\n");
    g_autoptr(ShieldList) got = shield_list_subtract(list, a);
    g_autoptr(GBytes) rendered = shield_list_render(got);
    gsize len;
    const char *bytes = g_bytes_get_data(rendered, &len);
    g_assert_cmpmem(bytes, len, "a\0b\na\0c\n", 8);
}

static void test_domains(void)
{
    static const struct {
        const char *line, *kept; /* NULL: skipped */
    } cases[] = {
        {"github.com", "github.com"},
        {"GitHub.COM", "github.com"},
        {"  github.com \t", "github.com"},
        {"*.github.com", "*.github.com"},
        {"*.GitHub.com", "*.github.com"},
        {"a.b.c.d.example", "a.b.c.d.example"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"1.2.3.com", "1.2.3.com"},
        {"0.io", "0.io"},
        {"a-b.c--d.com", "a-b.c--d.com"},
        {"k\xe2\x84\xaa.com", "kk.com"}, /* KELVIN SIGN */
        {"x.co\xe2\x84\xaa", "x.cok"},
        {"\xe2\x84\xaa.\xe2\x84\xaa\xe2\x84\xaa", "k.kk"},
        /* no domain */
        {"", NULL},
        {"com", NULL},
        {"localhost", NULL},
        {"*.com", NULL},
        {"*.", NULL},
        {"*", NULL},
        {"*.*.example.com", NULL},
        {"a.*.com", NULL},
        {"**.example.com", NULL},
        {"*example.com", NULL},
        {"*..example.com", NULL},
        {".example.com", NULL},
        {"example.com.", NULL},
        {"example..com", NULL},
        {"-a.com", NULL},
        {"a-.com", NULL},
        {"-.com", NULL},
        {"a.-b.com", NULL},
        {"a.c", NULL},
        {"a.c0m", NULL},
        {"a.co-m", NULL},
        {"a.xn--p1ai", NULL}, /* the writer's rule wants letters only at the top */
        {"1.1.1.1", NULL},
        {"2001:db8::1", NULL},
        {"a_b.com", NULL},
        {"a b.com", NULL},
        {"a.com # why", NULL},
        {"#a.com", NULL},
        {"a.com,b.com", NULL},
        {"http://a.com", NULL},
        {"a.com/", NULL},
        {"b\xc3\xbc"
         "cher.example",
         NULL},
        {"\xc4\xb0.com", NULL},     /* I WITH DOT ABOVE lower-cases to two characters */
        {"\xe2\x84\xab.com", NULL}, /* ANGSTROM SIGN: its neighbour lower-cases too, but not to ASCII */
        {"\xe2\x84.com", NULL},
        {"\xef\xbb\xbf"
         "a.com",
         NULL},
        {"\xef\xbd\x81.com", NULL}, /* FULLWIDTH a */
        {"\xd9\xa1.com", NULL},     /* ARABIC-INDIC DIGIT ONE */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (!g_utf8_validate(cases[i].line, -1, NULL))
            continue; /* never given to it */

        g_autofree char *text = g_strconcat(cases[i].line, "\n", NULL);
        g_autofree char *expected = cases[i].kept ? g_strconcat(cases[i].kept, "\n", NULL) : g_strdup("");
        g_autoptr(ShieldList) got = domains(text);

        unit_assert_list(got, expected);
    }
}

static void test_domains_lines(void)
{
    g_autoptr(ShieldList) list = domains("B.example\r\n\nbad\na.example\x0b"
                                         "b.EXAMPLE\n c.example");
    unit_assert_list(list, "b.example\na.example\nc.example\n");

    g_autoptr(GBytes) with_nul = g_bytes_new_static("a.com\0\nb\0.com\nc.com\n", 20);
    g_autoptr(ShieldList) got = shield_list_parse_domains(with_nul);
    unit_assert_list(got, "c.com\n");

    g_autofree char *label = g_strnfill(100000, 'a');
    g_autofree char *longest = g_strconcat(label, ".", label, "\n", NULL);
    g_autoptr(ShieldList) found = domains(longest); /* the rule has no limit of length */
    unit_assert_list(found, longest);
}

/* Sets of n numbers against arithmetic. */
static void test_large(void)
{
    const guint n = 200000;
    g_autoptr(GString) even = g_string_new(NULL), threes = g_string_new(NULL), expected = g_string_new(NULL);

    for (guint i = 0; i < n; i++) {
        guint number = (guint)(((guint64)i * 7919) % n); /* a permutation: 7919 has no factor of n */

        if (number % 2 == 0)
            g_string_append_printf(even, "%u\n", number);
        if (number % 3 == 0)
            g_string_append_printf(threes, "%u\n", number);
        if (number % 2 == 0 && number % 3 != 0)
            g_string_append_printf(expected, "%u\n", number);
    }

    g_autoptr(ShieldList) list = unit_list(even->str);
    g_autoptr(ShieldList) minus = unit_list(threes->str);
    ShieldList *twice[] = {list, list};
    g_autoptr(ShieldList) all = shield_list_union(twice, 2);
    g_autoptr(ShieldList) left = shield_list_subtract(all, minus);

    g_assert_cmpuint(shield_list_length(all), ==, n / 2);
    unit_assert_list(left, expected->str);
}

/* n lines with duplicates, odd white space and odd ends. */
static char *random_lines(guint n)
{
    static const char *const ends[] = {"\n", "\r\n", " \n", "\xc2\x85", "\t\xc2\xa0\n\n", "\xe2\x80\xa8 "};
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < n; i++)
        g_string_append_printf(out, "%x%s", (guint)g_test_rand_int_range(0, 1 << 18),
                               ends[g_test_rand_int_range(0, G_N_ELEMENTS(ends))]);
    return g_string_free(out, FALSE);
}

/* Appends those of the lines of text that were not seen before. */
static void append_unseen(GString *out, GHashTable *seen, const char *text)
{
    g_auto(GStrv) lines = g_strsplit_set(text, " \t\r\n\xc2\x85\xa0\xe2\x80\xa8", -1);

    for (char **line = lines; *line; line++) {
        if (**line && g_hash_table_add(seen, g_strdup(*line)))
            g_string_append_printf(out, "%s\n", *line);
    }
}

/* The union of two, less a third, against GHashTable. */
static void test_random(void)
{
    g_autofree char *a = random_lines(100000), *b = random_lines(70000), *c = random_lines(50000);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) ignored = g_string_new(NULL), expected = g_string_new(NULL);

    append_unseen(ignored, seen, c);
    append_unseen(expected, seen, a);
    append_unseen(expected, seen, b);

    g_autoptr(ShieldList) first = unit_list(a), second = unit_list(b), minus = unit_list(c);
    ShieldList *both[] = {first, second};
    g_autoptr(ShieldList) got = shield_list_union_less(both, 2, minus);
    unit_assert_list(got, expected->str);
}

/* One line a million times is one entry, and takes the room of one. */
static void test_repeated(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < 500000; i++)
        g_string_append(text, i % 2 ? "Example.com\n" : "  example.com\n");

    g_autoptr(ShieldList) list = unit_list(text->str);
    g_autoptr(ShieldList) names = domains(text->str);
    unit_assert_list(list, "example.com\nExample.com\n");
    unit_assert_list(names, "example.com\n");
}

/* Equal entries by the hundred thousand, and long ones that differ at the end only: what makes a bad hash
 * quadratic. The whole must stay within seconds, where a quadratic one takes hours. */
static void test_adversarial(void)
{
    g_autoptr(GString) equal = g_string_new(NULL), prefixed = g_string_new(NULL),
                       falling = g_string_new(NULL);
    g_autofree char *prefix = g_strnfill(1000, 'p');

    for (guint i = 0; i < 500000; i++)
        g_string_append(equal, "10.0.0.1\n");
    for (guint i = 0; i < 5000; i++)
        g_string_append_printf(prefixed, "%s%u\n", prefix, i);
    for (guint i = 200000; i > 0; i--)
        g_string_append_printf(falling, "%07u\n", i);

    g_autoptr(ShieldList) a = unit_list(equal->str);
    g_autoptr(ShieldList) b = unit_list(prefixed->str);
    g_autoptr(ShieldList) c = unit_list(falling->str);
    ShieldList *lists[] = {a, b, c, b, a};
    gint64 start = g_get_monotonic_time();
    g_autoptr(ShieldList) all = shield_list_union(lists, G_N_ELEMENTS(lists));
    g_autoptr(ShieldList) left = shield_list_subtract(all, b);

    g_assert_cmpuint(shield_list_length(all), ==, 1 + 5000 + 200000);
    g_assert_cmpuint(shield_list_length(left), ==, 1 + 200000);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 120 * G_USEC_PER_SEC);
    g_assert_cmpmem(shield_list_get(left, 0).data, shield_list_get(left, 0).len, "10.0.0.1", 8);
    g_assert_cmpmem(shield_list_get(left, 1).data, shield_list_get(left, 1).len, "0200000", 7);
}

/* A list is immutable: threads that use and drop one need no lock. */
static void *use_and_drop(void *data)
{
    ShieldList *list = data;

    for (int i = 0; i < 200; i++) {
        g_autoptr(ShieldList) mine = shield_list_ref(list);
        ShieldList *one[] = {mine};
        g_autoptr(ShieldList) unique = shield_list_union(one, 1);
        unit_assert_list(unique, "a\nb\n");
    }
    shield_list_unref(list);
    return NULL;
}

static void test_threads(void)
{
    GThread *threads[4];
    ShieldList *list = unit_list("a\nb\na\n");

    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("lists", use_and_drop, shield_list_ref(list));
    shield_list_unref(list);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lists/parse", test_parse);
    g_test_add_func("/lists/lifetimes", test_lifetimes);
    g_test_add_func("/lists/union", test_union);
    g_test_add_func("/lists/arguments", test_arguments);
    g_test_add_func("/lists/of-unions", test_of_unions);
    g_test_add_func("/lists/subtract", test_subtract);
    g_test_add_func("/lists/exact", test_exact);
    g_test_add_func("/lists/domains", test_domains);
    g_test_add_func("/lists/domains-lines", test_domains_lines);
    g_test_add_func("/lists/large", test_large);
    g_test_add_func("/lists/random", test_random);
    g_test_add_func("/lists/repeated", test_repeated);
    g_test_add_func("/lists/adversarial", test_adversarial);
    g_test_add_func("/lists/threads", test_threads);
    return g_test_run();
}
