/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/kept: what a bundle keeps is charged to the budget, goes when there is no room, and what was
 * known of it outlives it.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "bundle.h"
#include "open.h"
#include "unit.h"

/* A bundle with lists of 1,000 bytes each, in a budget that is told to take what is kept. */
typedef struct {
    UnitDir *dir;
    ShieldBudget *budget;
    ShieldPolicy policy;
    ShieldBundle *bundle;
} Case;

static char *lines(char c, guint n)
{
    g_autofree char *line = g_strnfill(99, c);
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < n; i++) {
        line[0] = (char)('0' + i);
        g_string_append_printf(text, "%s\n", line);
    }
    return g_string_free(text, FALSE);
}

static void write_lines(const Case *c, const char *name, char fill)
{
    g_autofree char *text = lines(fill, 10);

    unit_write(c->dir, name, text);
    unit_age(c->dir, name);
}

static Case *case_new(gsize limit)
{
    Case *c = g_new0(Case, 1);

    c->dir = unit_dir_new();
    c->budget = shield_budget_new(limit);
    c->policy = (ShieldPolicy){.max_size = 100000, .settle_ms = 30000, .budget = c->budget};
    c->bundle = shield_bundle_new("web-1", &c->policy);
    write_lines(c, "profile.allowed", 'p');
    write_lines(c, "live.allowed", 'l');
    write_lines(c, "deny.list", 'd');
    return c;
}

static void case_free(Case *c)
{
    shield_bundle_unref(c->bundle);
    g_assert_cmpuint(shield_budget_used(c->budget), ==, 0); /* each byte was given back */
    shield_budget_free(c->budget);
    unit_dir_free(c->dir);
    g_free(c);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Case, case_free)

static ShieldSnapshot *open_row(const Case *c, const char *name)
{
    ShieldSnapshot *snapshot = shield_bundle_open(c->bundle, c->dir->fd, shield_computed_find(name));

    g_assert_no_error(snapshot->error);
    g_assert_cmpuint(g_bytes_get_size(snapshot->text), ==, snapshot->size);
    return snapshot;
}

/* All that can go, goes. */
static void evict_all(const Case *c)
{
    shield_budget_make_room(c->budget, G_MAXSIZE);
}

static void assert_same(const ShieldSnapshot *a, const ShieldSnapshot *b)
{
    g_assert_cmpuint(a->serial, ==, b->serial);
    g_assert_cmpuint(a->size, ==, b->size);
    g_assert_true(shield_time_equal(a->mtime, b->mtime));
}

/* What is known of a snapshot that is not open any more. */
static ShieldSnapshot *closed(ShieldSnapshot *snapshot)
{
    g_autoptr(ShieldSnapshot) open = snapshot;

    return shield_snapshot_without_text(open);
}

static void test_charges(void)
{
    g_autoptr(Case) c = case_new(100000);
    g_autoptr(ShieldSnapshot) effective = open_row(c, "effective");

    /* Three texts, three lists of ten entries, and what is computed. */
    g_assert_cmpuint(shield_budget_used(c->budget), ==, 3 * 1000 + 3 * 10 * 8 + 2000);
    evict_all(c);
    g_assert_cmpuint(shield_budget_used(c->budget), ==, 2000); /* it is open */
    g_autoptr(ShieldSnapshot) again = open_row(c, "effective");
    g_assert_true(again == effective);
    g_autoptr(GBytes) text = shield_snapshot_open(effective);
    g_clear_pointer(&effective, shield_snapshot_unref);
    g_clear_pointer(&again, shield_snapshot_unref);
    evict_all(c);
    g_assert_cmpuint(shield_budget_used(c->budget), ==, 2000);
    g_clear_pointer(&text, g_bytes_unref);
    evict_all(c);
    g_assert_cmpuint(shield_budget_used(c->budget), ==, 0);
}

/* What was known of a content outlives it: no serial without a change, and no change without a serial. */
static void test_serial_survives(void)
{
    g_autoptr(Case) c = case_new(100000);
    const ShieldComputed *row = shield_computed_find("effective");
    g_autoptr(ShieldSnapshot) open = open_row(c, "effective");
    g_autoptr(GBytes) text = g_bytes_new(g_bytes_get_data(open->text, NULL), open->size);
    g_autoptr(ShieldSnapshot) first = closed(g_steal_pointer(&open));
    guint version = shield_bundle_version(c->bundle);

    evict_all(c);
    g_assert_null(shield_bundle_warm(c->bundle, c->dir->fd, row));
    g_autoptr(ShieldSnapshot) known = shield_bundle_known(c->bundle, c->dir->fd, row);
    g_autoptr(ShieldSnapshot) peeked = shield_bundle_peek(c->bundle, c->dir->fd, row);
    g_autoptr(ShieldSnapshot) last = shield_bundle_last(c->bundle, row);
    assert_same(first, known);
    assert_same(first, peeked);
    assert_same(first, last);
    g_assert_null(peeked->text); /* nothing was read for it */

    g_clear_pointer(&known, shield_snapshot_unref);
    g_clear_pointer(&peeked, shield_snapshot_unref);
    g_clear_pointer(&last, shield_snapshot_unref);
    g_autoptr(ShieldSnapshot) again = open_row(c, "effective");
    assert_same(first, again);
    g_assert_true(g_bytes_equal(text, again->text));
    g_assert_cmpuint(shield_bundle_version(c->bundle), ==, version);
    g_clear_pointer(&again, shield_snapshot_unref);

    /* Written anew as it was. */
    evict_all(c);
    write_lines(c, "live.allowed", 'l');
    g_autoptr(ShieldSnapshot) rewritten = closed(open_row(c, "effective"));
    g_assert_cmpuint(rewritten->serial, ==, first->serial);

    /* Of the same size, and another. */
    evict_all(c);
    write_lines(c, "live.allowed", 'm');
    g_autoptr(ShieldSnapshot) other = closed(open_row(c, "effective"));
    g_assert_cmpuint(other->serial, ==, first->serial + 1);
    g_assert_cmpuint(other->size, ==, first->size);
    g_assert_true(shield_time_before(first->mtime, other->mtime));

    /* And without an open in between. */
    evict_all(c);
    write_lines(c, "live.allowed", 'l');
    g_autoptr(ShieldSnapshot) back = shield_bundle_peek(c->bundle, c->dir->fd, row);
    g_assert_cmpuint(back->serial, ==, first->serial + 2);
}

/* An error keeps its serial too, and a text that is still there is used when lists have gone. */
static void test_partly_evicted(void)
{
    g_autoptr(Case) c = case_new(100000);
    g_autoptr(ShieldSnapshot) first = open_row(c, "effective");

    g_assert_cmpuint(first->serial, ==, 1);
    shield_budget_make_room(c->budget, 100000 - shield_budget_used(c->budget) + 1); /* the lists */
    g_assert_cmpuint(shield_budget_used(c->budget), ==, 5000);
    write_lines(c, "deny.list", 'p');
    g_autoptr(ShieldSnapshot) less = open_row(c, "effective");
    g_autofree char *text = lines('l', 10);
    unit_assert_text(less->text, text);

    unit_write(c->dir, "deny.list", "\xff");
    g_autoptr(ShieldSnapshot) failed =
        shield_bundle_open(c->bundle, c->dir->fd, shield_computed_find("effective"));
    unit_assert_error(failed->error, EILSEQ, NULL);
    evict_all(c);
    g_autoptr(ShieldSnapshot) again =
        shield_bundle_open(c->bundle, c->dir->fd, shield_computed_find("effective"));
    unit_assert_error(again->error, EILSEQ, NULL);
    g_assert_cmpuint(failed->serial, ==, again->serial);
}

/* What is open leaves no room: the asker is told so, nobody else, and not for longer than that. */
static void test_no_room(void)
{
    g_autoptr(Case) c = case_new(2048);
    const ShieldComputed *denied = shield_computed_find("denied");
    g_autoptr(ShieldSnapshot) before = open_row(c, "denied");
    struct timespec mtime = before->mtime;
    guint64 serial = before->serial;

    g_clear_pointer(&before, shield_snapshot_unref);
    g_autoptr(ShieldSnapshot) effective = open_row(c, "effective"); /* 2,000 bytes */
    g_assert_cmpuint(shield_budget_used(c->budget), <=, 2048);
    g_autoptr(ShieldSnapshot) refused = shield_bundle_open(c->bundle, c->dir->fd, denied);
    unit_assert_error(refused->error, ENOMEM,
                      "web-1/denied: not enough of the cache (cache=2K): close files or raise it");
    g_assert_cmpuint(refused->serial, ==, serial);
    g_autoptr(ShieldSnapshot) peeked = shield_bundle_peek(c->bundle, c->dir->fd, denied);
    g_assert_no_error(peeked->error);
    g_assert_cmpuint(peeked->serial, ==, serial);
    g_assert_cmpuint(peeked->size, ==, 1000);
    g_assert_true(shield_time_equal(peeked->mtime, mtime));

    /* What changes meanwhile has a new serial all the same. */
    write_lines(c, "deny.list", 'e');
    g_autoptr(ShieldSnapshot) changed = shield_bundle_peek(c->bundle, c->dir->fd, denied);
    g_assert_cmpuint(changed->serial, ==, serial + 1);
    g_assert_null(changed->text);

    g_clear_pointer(&effective, shield_snapshot_unref);
    g_autoptr(ShieldSnapshot) after = open_row(c, "denied");
    g_autofree char *text = lines('e', 10);
    unit_assert_text(after->text, text);
    g_assert_cmpuint(after->serial, ==, serial + 1);
}

/* What would not fit at all, though nothing is open. */
static void test_too_large(void)
{
    g_autoptr(Case) c = case_new(1999);
    g_autoptr(ShieldSnapshot) effective =
        shield_bundle_open(c->bundle, c->dir->fd, shield_computed_find("effective"));

    unit_assert_error(effective->error, ENOMEM, NULL);
    g_autoptr(ShieldSnapshot) denied = open_row(c, "denied");
    g_assert_cmpuint(denied->size, ==, 1000);
}

/* Of two that are used in turn each has what it asks for, and the budget is never exceeded. */
static void test_two_bundles(void)
{
    g_autoptr(Case) c = case_new(6000);
    g_autoptr(ShieldBundle) other = shield_bundle_new("web-2", &c->policy);

    for (int i = 0; i < 20; i++) {
        for (guint row = 0; row < shield_computed_n; row++) {
            g_autoptr(ShieldSnapshot) one = open_row(c, shield_computed[row].name);
            g_autoptr(ShieldSnapshot) two = shield_bundle_open(other, c->dir->fd, &shield_computed[row]);

            g_assert_no_error(two->error);
            g_assert_true(g_bytes_equal(one->text, two->text));
            g_assert_cmpuint(one->serial, ==, 1);
            g_assert_cmpuint(two->serial, ==, 1);
            g_assert_cmpuint(shield_budget_used(c->budget), <=, 6000);
        }
    }
}

/* Duplicates are not kept, nor what is no domain, nor the list of what is left if that is short. */
static void test_duplicates(void)
{
    g_autoptr(Case) c = case_new(100000);
    g_autofree char *same = g_strnfill(50000, '\n');

    for (gsize i = 0; i < 50000; i += 2)
        same[i] = 'a';
    unit_write(c->dir, "deny.list", same);
    unit_write(c->dir, "denied.domains", same);
    g_autoptr(ShieldSnapshot) denied = open_row(c, "denied");
    unit_assert_text(denied->text, "a\n");
    unit_assert_text(denied->readings[0]->text, "a\n");
    g_assert_null(denied->readings[0]->list);
    g_assert_cmpuint(shield_budget_used(c->budget), ==, 2 + 2);
    g_autoptr(ShieldSnapshot) domains = open_row(c, "effective.domains");
    unit_assert_text(domains->text, "");
    g_assert_cmpuint(shield_budget_used(c->budget), ==, 2 + 2);
}

/* Writes all lists anew when the queue of events is read for the n-th time. */
typedef struct {
    Case *c;
    guint n, drained;
} Turn;

static void write_all(void *data)
{
    static const char *const names[] = {"profile.allowed", "live.allowed", "deny.list"};
    Turn *turn = data;

    if (++turn->drained != turn->n)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *text = g_strdup_printf("%s-new\nboth\n", names[i]);

        unit_write(turn->c->dir, names[i], text);
        (void)shield_bundle_invalidate(turn->c->bundle, names[i], SHIELD_MARK_WRITTEN);
    }
}

/* Whenever they change, be it while the texts that have gone are read again: no mixture of both. */
static void test_one_cut(void)
{
    guint n = 0, drained;
    g_autoptr(GString) old = g_string_new(NULL);

    do {
        g_autoptr(Case) c = case_new(100000);
        Turn turn = {.c = c, .n = ++n};
        g_autoptr(ShieldSnapshot) first = closed(open_row(c, "effective"));

        if (old->len == 0) {
            g_autoptr(ShieldSnapshot) again = open_row(c, "effective");
            g_string_append_len(old, g_bytes_get_data(again->text, NULL), (gssize)again->size);
        }
        shield_bundle_set_watched(c->bundle, TRUE);
        evict_all(c);
        if (n % 2 == 0) { /* that one alone has its text */
            g_autoptr(ShieldSnapshot) denied = closed(open_row(c, "denied"));
            g_assert_cmpuint(denied->size, ==, 1000);
        }
        c->policy.drain = write_all;
        c->policy.drain_data = &turn;
        g_autoptr(ShieldSnapshot) snapshot = open_row(c, "effective");
        drained = turn.drained;
        if (snapshot->serial == first->serial)
            unit_assert_text(snapshot->text, old->str);
        else
            unit_assert_text(snapshot->text, "profile.allowed-new\nlive.allowed-new\n");
    } while (drained >= n);
    g_assert_cmpuint(n, >, 5);
}

/* Many threads, a budget that is too small for them, and lists that change. */
typedef struct {
    Case *c;
    ShieldBundle *bundles[4];
    int failed; /* atomic: opens for which there was no room */
} Crowd;

static void *jostle(void *data)
{
    Crowd *crowd = data;

    for (guint i = 0; i < unit_rounds(400); i++) {
        ShieldBundle *bundle = crowd->bundles[g_random_int_range(0, G_N_ELEMENTS(crowd->bundles))];
        const ShieldComputed *row = &shield_computed[g_random_int_range(0, (gint32)shield_computed_n)];
        g_autoptr(ShieldSnapshot) opened = shield_bundle_try(bundle, crowd->c->dir->fd, row);
        g_autoptr(ShieldSnapshot) peeked = shield_bundle_peek(bundle, crowd->c->dir->fd, row);

        if (opened->error && opened->error->code != EBUSY)
            g_atomic_int_inc(&crowd->failed);
        else if (!opened->error)
            g_assert_cmpuint(g_bytes_get_size(opened->text), ==, opened->size);
        if (!peeked->error)
            g_assert_cmpuint(peeked->size % 1000, ==, 0);
        g_assert_cmpuint(shield_budget_used(crowd->c->budget), <=, 20000 + 20000 / 8);
    }
    return NULL;
}

static void test_crowd(void)
{
    g_autoptr(Case) c = case_new(20000); /* what four threads may have open fits: 4 times 2 texts of 2,000 */
    Crowd crowd = {.c = c};
    GThread *threads[4];

    for (gsize i = 0; i < G_N_ELEMENTS(crowd.bundles); i++)
        crowd.bundles[i] = shield_bundle_new("web", &c->policy);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("jostle", jostle, &crowd);
    for (guint i = 0; i < unit_rounds(20); i++)
        write_lines(c, "live.allowed", (char)('a' + i % 20));
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(crowd.failed, ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(crowd.bundles); i++)
        shield_bundle_unref(crowd.bundles[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kept/charges", test_charges);
    g_test_add_func("/kept/serial-survives", test_serial_survives);
    g_test_add_func("/kept/partly-evicted", test_partly_evicted);
    g_test_add_func("/kept/no-room", test_no_room);
    g_test_add_func("/kept/too-large", test_too_large);
    g_test_add_func("/kept/two-bundles", test_two_bundles);
    g_test_add_func("/kept/duplicates", test_duplicates);
    g_test_add_func("/kept/one-cut", test_one_cut);
    g_test_add_func("/kept/crowd", test_crowd);
    return g_test_run();
}
