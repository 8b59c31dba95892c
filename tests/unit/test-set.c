/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/set and core/hash: equal entries are found and others are not, whatever their hashes are,
 * against a table of GLib's; the hash is SipHash's.
 */
#include <glib.h>
#include <string.h>

#include "hash.h"
#include "set.h"
#include "unit.h"

static ShieldSlice slice(const char *text)
{
    return (ShieldSlice){text, strlen(text)};
}

static ShieldSlice word_at(const void *words, guint32 number)
{
    return slice(((const char *const *)words)[number]);
}

static gboolean add(ShieldSet *set, const char **words, guint32 number, guint32 hash)
{
    return shield_set_add(set, hash, slice(words[number]), number);
}

static void test_duplicates(void)
{
    const char *words[] = {"a", "b", "", "b", "ab", "a", ""};
    static const gint64 before[] = {-1, -1, -1, 1, -1, 0, 2};
    ShieldSet set;

    shield_set_init(&set, 0, word_at, words);
    for (guint32 i = 0; i < G_N_ELEMENTS(words); i++) {
        guint32 hash = shield_hash(slice(words[i]));

        shield_set_expect(&set, hash);
        g_assert_cmpint(shield_set_find(&set, hash, slice(words[i])), ==, before[i]);
        g_assert_cmpint(add(&set, words, i, hash), ==, before[i] < 0);
        g_assert_cmpint(shield_set_find(&set, hash, slice(words[i])), ==, before[i] < 0 ? i : before[i]);
    }
    g_assert_cmpuint(set.used, ==, 4);
    shield_set_clear(&set);
}

/* Python's hash() of bytes is SipHash-1-3; with PYTHONHASHSEED=0 its key is 0. */
static void test_siphash(void)
{
    char bytes[24];

    for (gsize i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7 + 250);
    g_assert_cmphex(shield_siphash(0, 0, (ShieldSlice){bytes, 1}), ==, 0x23fc96840823313e);
    g_assert_cmphex(shield_siphash(0, 0, (ShieldSlice){bytes, 7}), ==, 0x38c926335b51aceb);
    g_assert_cmphex(shield_siphash(0, 0, (ShieldSlice){bytes, 8}), ==, 0x540ffa0e558bc280);
    g_assert_cmphex(shield_siphash(0, 0, (ShieldSlice){bytes, 9}), ==, 0xf07004fd14a1f22e);
    g_assert_cmphex(shield_siphash(0, 0, (ShieldSlice){bytes, 15}), ==, 0xb20162a5af5c21a4);
    g_assert_cmphex(shield_siphash(0, 0, (ShieldSlice){bytes, 16}), ==, 0xb8870b79a6428a65);
    g_assert_cmphex(shield_siphash(0, 0, (ShieldSlice){bytes, 23}), ==, 0x890f6c67794f5677);
    g_assert_cmphex(shield_siphash(0, 0, (ShieldSlice){bytes, 24}), ==, 0xdd553969db0448ca);
}

/* Entries of any length are told apart by each of their bytes, and NUL is one. */
static void test_hash(void)
{
    static const char zeros[64];
    char bytes[64] = {0};

    for (gsize len = 0; len < sizeof bytes; len++) {
        guint32 hash = shield_hash((ShieldSlice){zeros, len});
        guint same = 0;

        g_assert_cmpuint(shield_hash((ShieldSlice){bytes, len}), ==, hash);
        same += len > 0 && shield_hash((ShieldSlice){zeros, len - 1}) == hash;
        for (gsize i = 0; i < len; i++) {
            bytes[i] = 1;
            same += shield_hash((ShieldSlice){bytes, len}) == hash;
            bytes[i] = 0;
        }
        g_assert_cmpuint(same, <=, 1); /* two of 2^32 may be, by chance */
    }
}

/* Numbers 0 to n - 1 as entries, added twice each, with hashes by a rule of the test's. */
static void assert_numbers(guint n, guint32 (*hash)(guint i))
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    ShieldSet set;

    for (guint i = 0; i < n; i++)
        g_ptr_array_add(words, g_strdup_printf("%u", i));

    const char **texts = (const char **)words->pdata;
    shield_set_init(&set, 0, word_at, texts);
    for (guint i = 0; i < n; i++) {
        g_assert_true(add(&set, texts, i, hash(i)));
        g_assert_false(add(&set, texts, i / 2, hash(i / 2)));
    }
    for (guint i = 0; i < n; i++)
        g_assert_cmpint(shield_set_find(&set, hash(i), slice(texts[i])), ==, i);
    g_assert_cmpint(shield_set_find(&set, hash(0), slice("none")), ==, -1);
    g_assert_cmpuint(set.used, ==, n);
    shield_set_clear(&set);
}

static guint32 all_the_same(guint i)
{
    return 42;
}

static guint32 all_the_last(guint i)
{
    return G_MAXUINT32;
}

static guint32 few_at_the_end(guint i)
{
    return G_MAXUINT32 - i % 3;
}

static guint32 falling(guint i)
{
    return (guint32)(G_MAXUINT32 - i * 7919U);
}

/* Entries that share hashes, or slots, or fill the table's end and go on at its start. */
static void test_collisions(void)
{
    for (guint n = 1; n < 40; n++) {
        assert_numbers(n, all_the_same);
        assert_numbers(n, all_the_last);
        assert_numbers(n, few_at_the_end);
        assert_numbers(n, falling);
    }
    assert_numbers(500, all_the_same);
    assert_numbers(500, few_at_the_end);
    assert_numbers(500, falling);
}

/* A set that was told how many there will be does not grow, and at least a quarter of it is empty. */
static void test_room(void)
{
    const char *words[] = {"x"};

    for (guint n = 0; n < 2000; n += 13) {
        ShieldSet set;

        shield_set_init(&set, n, word_at, words);
        guint bits = set.bits;
        for (guint i = 0; i < n; i++)
            g_assert_true(shield_set_add(&set, i << 18, slice(i == 0 ? "x" : "y"), 0));
        g_assert_cmpuint(set.bits, ==, bits);
        g_assert_cmpuint(set.used * 4, <=, (1U << set.bits) * 3);
        shield_set_clear(&set);
    }
}

/* It grows to what is expected, but not by more than eight times at once. */
static void test_expected(void)
{
    const char *words[] = {"x"};
    ShieldSet set;

    shield_set_init(&set, 0, word_at, words);
    set.expected = 1000000;
    guint bits = set.bits, steps = 0;
    for (guint i = 0; i < 100000; i++) {
        g_assert_true(shield_set_add(&set, i << 15, slice("y"), 0));
        g_assert_cmpuint(set.bits, <=, bits + 3);
        steps += set.bits != bits;
        bits = set.bits;
    }
    g_assert_cmpuint(steps, <=, 5);
    set.expected = 0; /* by less than it has */
    for (guint i = 100000; i < 131072; i++)
        g_assert_true(shield_set_add(&set, i << 15, slice("y"), 0));
    shield_set_clear(&set);
}

/* Random words, many of them more than once, against GHashTable. */
static void test_random(void)
{
    const guint n = 200000;
    g_autoptr(GHashTable) model = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) words = g_ptr_array_new_full(n, g_free);
    ShieldSet set;

    for (guint i = 0; i < n; i++)
        g_ptr_array_add(words, g_strdup_printf("%x.%u", (guint)g_test_rand_int_range(0, 1 << 17), i % 2));

    const char **texts = (const char **)words->pdata;
    shield_set_init(&set, 0, word_at, texts);
    for (guint i = 0; i < n; i++)
        g_assert_cmpint(add(&set, texts, i, shield_hash(slice(texts[i]))), ==,
                        g_hash_table_add(model, words->pdata[i]));
    g_assert_cmpuint(set.used, ==, g_hash_table_size(model));
    shield_set_clear(&set);
}

/* Whose hash can be foreseen, can be made to meet in one slot. */
static void test_names(void)
{
    const guint n = 4096;
    g_autoptr(GHashTable) foreseen = g_hash_table_new(NULL, NULL), hashes = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < n; i++) {
        g_autofree char *name = unit_meeting_name(i);

        g_assert_cmpuint(shield_hash_name(name), ==, shield_hash(slice(name)));
        g_hash_table_add(foreseen, GUINT_TO_POINTER(g_str_hash(name)));
        g_hash_table_add(hashes, GUINT_TO_POINTER(shield_hash_name(name)));
    }
    g_assert_cmpuint(g_hash_table_size(foreseen), ==, 1);
    g_assert_cmpuint(g_hash_table_size(hashes), >, n - 10);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/set/duplicates", test_duplicates);
    g_test_add_func("/set/siphash", test_siphash);
    g_test_add_func("/set/hash", test_hash);
    g_test_add_func("/set/names", test_names);
    g_test_add_func("/set/collisions", test_collisions);
    g_test_add_func("/set/room", test_room);
    g_test_add_func("/set/expected", test_expected);
    g_test_add_func("/set/random", test_random);
    return g_test_run();
}
