/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/bundle and core/reading with somebody who writes at the same time: nobody sees the middle of
 * a rewrite, nobody waits longer than the policy says, and all that is shown stood on disk at one moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bundle.h"
#include "open.h"
#include "unit.h"

/* Patience without end, for tests in which the writer finishes; none to speak of, where it does not. */
static const ShieldPolicy patient = {.max_size = 1000000, .settle_ms = 120000};
static const ShieldPolicy hasty = {.max_size = 1000000, .settle_ms = 50};

typedef struct {
    const UnitDir *dir;
    ShieldBundle *bundle;
    const char *name;
    pid_t tid; /* atomic; 0: not running yet */
    ShieldSnapshot *snapshot;
} Opening;

static void *open_in_thread(void *data)
{
    Opening *opening = data;

    g_atomic_int_set(&opening->tid, gettid());
    opening->snapshot =
        shield_bundle_open(opening->bundle, opening->dir->fd, shield_computed_find(opening->name));
    return NULL;
}

static gboolean is_running(void *data)
{
    return g_atomic_int_get(&((Opening *)data)->tid) != 0;
}

/* Starts to open name, and comes back when that has gone to sleep some times: it waits for the writer. */
static GThread *start_waiting(Opening *opening)
{
    GThread *thread = g_thread_new("opening", open_in_thread, opening);

    unit_wait(is_running, opening);
    unit_wait_for_naps(opening->tid, unit_naps(opening->tid) + 3);
    return thread;
}

static void test_open_waits(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &patient);

    unit_write(dir, "profile.allowed", "a\nb\nc\n");
    unit_write(dir, "deny.list", "b\n");
    int writer = unit_open_for_writing(dir, "deny.list"); /* truncated */
    Opening opening = {dir, bundle, "effective"};
    GThread *thread = start_waiting(&opening);

    g_assert_cmpint(write(writer, "a\n", 2), ==, 2);
    unit_wait_for_naps(opening.tid, unit_naps(opening.tid) + 1);
    g_assert_cmpint(write(writer, "b\n", 2), ==, 2);
    close(writer);
    g_thread_join(thread);
    g_assert_no_error(opening.snapshot->error);
    unit_assert_text(opening.snapshot->text, "c\n");
    shield_snapshot_unref(opening.snapshot);
}

/* A writer who goes away by unlinking. */
static void test_open_waits_for_unlink(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &patient);

    unit_write(dir, "profile.allowed", "a\nb\n");
    int writer = unit_open_for_writing(dir, "deny.list");
    Opening opening = {dir, bundle, "effective"};
    GThread *thread = start_waiting(&opening);

    g_assert_cmpint(write(writer, "b\n", 2), ==, 2);
    unit_remove(dir, "deny.list");
    g_thread_join(thread);
    close(writer);
    g_assert_no_error(opening.snapshot->error);
    unit_assert_text(opening.snapshot->text, "a\nb\n");
    shield_snapshot_unref(opening.snapshot);
}

static void test_busy_past_settle(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &hasty);

    unit_write(dir, "profile.allowed", "a\n");
    unit_write(dir, "deny.list", "a\n");
    int writer = openat(dir->fd, "deny.list", O_WRONLY | O_APPEND | O_CLOEXEC);
    gint64 start = g_get_monotonic_time();
    g_autoptr(ShieldSnapshot) busy = shield_bundle_open(bundle, dir->fd, shield_computed_find("effective"));
    gint64 took = g_get_monotonic_time() - start;

    unit_assert_error(busy->error, EBUSY, "web-1/deny.list: still being written after 50 ms: try again");
    g_assert_null(busy->text);
    g_assert_cmpint(took, >=, 50000);
    g_assert_cmpint(took, <, 20 * G_USEC_PER_SEC);

    /* Others aren't concerned, nor is it remembered. */
    g_autoptr(ShieldSnapshot) allowed = shield_bundle_open(bundle, dir->fd, shield_computed_find("allowed"));
    unit_assert_text(allowed->text, "a\n");
    close(writer);
    g_autoptr(ShieldSnapshot) after = shield_bundle_open(bundle, dir->fd, shield_computed_find("effective"));
    unit_assert_text(after->text, "");
}

/* A list that stands as it was read before is not read again, so a writer who has it open and has not changed
 * it yet is in nobody's way. */
static void test_idle_writer(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &hasty);

    unit_write(dir, "deny.list", "a\n");
    unit_age(dir, "deny.list");
    g_autoptr(ShieldSnapshot) before = shield_bundle_open(bundle, dir->fd, shield_computed_find("denied"));
    int writer = openat(dir->fd, "deny.list", O_WRONLY | O_APPEND | O_CLOEXEC);
    g_autoptr(ShieldSnapshot) idle = shield_bundle_open(bundle, dir->fd, shield_computed_find("denied"));
    g_assert_true(before == idle);

    g_assert_cmpint(write(writer, "b\n", 2), ==, 2);
    g_autoptr(ShieldSnapshot) busy = shield_bundle_open(bundle, dir->fd, shield_computed_find("denied"));
    unit_assert_error(busy->error, EBUSY, NULL);
    close(writer);
}

/* Those who don't wait get the last complete version. */
static void test_peek_during_rewrite(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &patient);
    const ShieldComputed *row = shield_computed_find("effective");

    unit_write(dir, "profile.allowed", "a\nb\n");
    unit_write(dir, "deny.list", "a\n");
    g_autoptr(ShieldSnapshot) complete = shield_bundle_open(bundle, dir->fd, row);
    int writer = unit_open_for_writing(dir, "deny.list");
    gint64 start = g_get_monotonic_time();

    for (int i = 0; i < 3; i++) {
        g_autoptr(ShieldSnapshot) peeked = shield_bundle_peek(bundle, dir->fd, row);

        g_assert_true(peeked == complete);
        g_assert_cmpint(write(writer, "b\n", 2), ==, 2);
    }
    g_assert_cmpint(g_get_monotonic_time() - start, <, 60 * G_USEC_PER_SEC);
    close(writer);
    g_autoptr(ShieldSnapshot) after = shield_bundle_peek(bundle, dir->fd, row);
    unit_assert_text(after->text, "a\n");

    /* Nothing was ever complete: then there is nothing to show. */
    g_autoptr(ShieldBundle) fresh = shield_bundle_new("web-1", &patient);
    writer = unit_open_for_writing(dir, "deny.list");
    g_autoptr(ShieldSnapshot) busy = shield_bundle_peek(fresh, dir->fd, row);
    unit_assert_error(busy->error, EBUSY, NULL);
    close(writer);
}

/* settle=0: taken as it stands. */
static void test_without_settling(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    const ShieldPolicy none = {.max_size = 1000, .settle_ms = 0};
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &none);
    int writer = unit_open_for_writing(dir, "deny.list");

    g_assert_cmpint(write(writer, "half", 4), ==, 4);
    g_autoptr(ShieldSnapshot) snapshot = shield_bundle_open(bundle, dir->fd, shield_computed_find("denied"));
    g_assert_no_error(snapshot->error);
    unit_assert_text(snapshot->text, "half\n");
    close(writer);
}

/* The racing writer. It counts: n goes to profile.allowed, then to live.allowed, then to deny.list, each list
 * being truncated and rewritten. So at any one moment profile >= live >= deny >= profile - 1. Any list that
 * is empty, or any set of lists that were not all so at one moment, breaks that. */
typedef struct {
    const UnitDir *dir;
    gboolean stop;  /* atomic */
    guint finished; /* atomic: n that has reached all lists */
} Writer;

static const char *const counters[] = {"profile.allowed", "live.allowed", "deny.list"};

static void write_number(const UnitDir *dir, const char *name, guint n)
{
    int fd = unit_open_for_writing(dir, name);

    dprintf(fd, "%c", "pld"[name[0] == 'p' ? 0 : name[0] == 'l' ? 1 : 2]); /* in two writes */
    dprintf(fd, "%u\n", n);
    close(fd);
}

static void *count(void *data)
{
    Writer *writer = data;
    g_autoptr(GRand) random = g_rand_new_with_seed(1);

    for (guint n = 2; !g_atomic_int_get(&writer->stop); n++) {
        for (gsize i = 0; i < G_N_ELEMENTS(counters); i++) {
            write_number(writer->dir, counters[i], n);
            if (g_rand_int_range(random, 0, 3) == 0) /* the load is uneven: else nobody would ever get in */
                g_usleep((gulong)g_rand_int_range(random, 1, 400));
        }
        g_atomic_int_set(&writer->finished, n);
    }
    return NULL;
}

static guint64 number_in(const ShieldSnapshot *snapshot, guint source)
{
    const ShieldReading *reading = snapshot->readings[source];

    g_autoptr(ShieldList) list = shield_list_parse(reading->text);

    g_assert_cmpuint(shield_list_length(list), ==, 1);
    ShieldSlice entry = shield_list_get(list, 0);
    g_autofree char *digits = g_strndup(entry.data + 1, entry.len - 1);
    return g_ascii_strtoull(digits, NULL, 10);
}

static void check_cut(const ShieldSnapshot *snapshot, guint at_least)
{
    guint64 profile = number_in(snapshot, 0), live = number_in(snapshot, 1), deny = number_in(snapshot, 2);
    g_autofree char *text =
        g_strdup_printf("p%" G_GUINT64_FORMAT "\nl%" G_GUINT64_FORMAT "\n", profile, live);

    g_assert_cmpuint(profile, >=, live);
    g_assert_cmpuint(live, >=, deny);
    g_assert_cmpuint(deny + 1, >=, profile);
    g_assert_cmpuint(deny, >=, at_least);
    unit_assert_text(snapshot->text, text);
}

static void test_one_cut(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &patient);
    Writer writer = {.dir = dir, .finished = 1};
    const guint rounds = unit_rounds(1000);

    for (gsize i = 0; i < G_N_ELEMENTS(counters); i++)
        write_number(dir, counters[i], 1);
    GThread *thread = g_thread_new("writer", count, &writer);
    struct timespec last = {0, 0};
    for (guint i = 0; i < rounds; i++) {
        guint complete = (guint)g_atomic_int_get(&writer.finished);
        g_autoptr(ShieldSnapshot) snapshot =
            shield_bundle_open(bundle, dir->fd, shield_computed_find("effective"));

        g_assert_no_error(snapshot->error);
        check_cut(snapshot, complete); /* whole, of one cut, and fresh */
        g_assert_false(shield_time_before(snapshot->mtime, last));
        last = snapshot->mtime;
    }
    g_atomic_int_set(&writer.stop, TRUE);
    g_thread_join(thread);
    g_assert_cmpuint((guint)g_atomic_int_get(&writer.finished), >, 1);
}

/* Many readers of one bundle, of all its files, by both ways. */
typedef struct {
    const UnitDir *dir;
    ShieldBundle *bundle;
    guint rounds;
} Readers;

static void *read_all_files(void *data)
{
    const Readers *readers = data;

    for (guint i = 0; i < readers->rounds; i++) {
        const ShieldComputed *row = &shield_computed[i % shield_computed_n];
        g_autoptr(ShieldSnapshot) opened = shield_bundle_open(readers->bundle, readers->dir->fd, row);
        g_autoptr(ShieldSnapshot) peeked = shield_bundle_peek(readers->bundle, readers->dir->fd, row);

        g_assert_no_error(opened->error);
        g_assert_no_error(peeked->error);
        if (g_strcmp0(row->name, "effective") == 0)
            check_cut(opened, 1);
        if (i % 16 == 0)
            shield_bundle_forget(readers->bundle);
    }
    return NULL;
}

static void test_many_readers(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &patient);
    Writer writer = {.dir = dir, .finished = 1};
    Readers readers = {dir, bundle, unit_rounds(200)};
    GThread *threads[4];

    for (gsize i = 0; i < G_N_ELEMENTS(counters); i++)
        write_number(dir, counters[i], 1);
    GThread *thread = g_thread_new("writer", count, &writer);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("reader", read_all_files, &readers);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_atomic_int_set(&writer.stop, TRUE);
    g_thread_join(thread);
}

/* Where no lease can be had, two equal readings stand for it: the file of another owner, without the
 * capability. */
static void test_without_lease(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    if (geteuid() != 0) {
        g_test_skip("only root can make a file of another owner");
        return;
    }
    unit_write(dir, "deny.list", "a\n");
    unit_write(dir, "profile.allowed", "a\nb\n");
    g_assert_no_errno(chmod(dir->path, 0755));
    g_assert_no_errno(chown(dir->path, 65534, 65534));
    g_assert_no_errno(fchownat(dir->fd, "profile.allowed", 65534, 65534, 0));
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &hasty);

    g_assert_no_errno(seteuid(65534));
    g_autoptr(ShieldSnapshot) snapshot =
        shield_bundle_open(bundle, dir->fd, shield_computed_find("effective"));
    g_assert_no_errno(seteuid(0));
    g_assert_no_error(snapshot->error);
    unit_assert_text(snapshot->text, "b\n");
    g_assert_false(snapshot->readings[0]->without_lease);
    g_assert_true(snapshot->readings[2]->without_lease);
}

/* The lease is given back, and the descriptor too: a writer comes in at once. */
static void test_lease_released(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_write(dir, "deny.list", "a\n");
    g_autoptr(ShieldReading) reading =
        shield_reading_take(dir->fd, "web-1", "deny.list", SHIELD_TEXT_ENTRIES, &patient, NULL);
    g_assert_no_error(reading->error);
    g_assert_false(reading->without_lease);
    int writer = openat(dir->fd, "deny.list", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    g_assert_cmpint(writer, >=, 0); /* EWOULDBLOCK: a lease is still held */
    close(writer);
}

typedef struct {
    const UnitDir *dir;
    gboolean answer;
    guint asked;
} Events;

/* Stands for the events: whoever comes now need not wait. */
static gboolean left_alone(void *data)
{
    Events *events = data;
    int writer = openat(events->dir->fd, "deny.list", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    g_assert_cmpint(writer, >=, 0);
    close(writer);
    events->asked++;
    return events->answer;
}

static ShieldReading *probe(Events *events)
{
    const ShieldProbe by_events = {left_alone, events};

    return shield_reading_take(events->dir->fd, "web-1", "deny.list", SHIELD_TEXT_ENTRIES, &patient,
                               &by_events);
}

/* Where events tell, the lease is not held; they decide. Not of a file that may be written by another name.
 */
static void test_lease_as_probe(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    Events events = {dir, TRUE, 0};

    unit_write(dir, "deny.list", "a\n");
    g_autoptr(ShieldReading) whole = probe(&events);
    g_assert_no_error(whole->error);
    g_assert_cmpuint(events.asked, ==, 1);

    events.answer = FALSE;
    g_autoptr(ShieldReading) disturbed = probe(&events);
    unit_assert_error(disturbed->error, EBUSY, "web-1/deny.list: is being written");
    g_assert_cmpuint(events.asked, ==, 2);

    g_assert_no_errno(linkat(dir->fd, "deny.list", dir->fd, "another", 0));
    g_autoptr(ShieldReading) two_names = probe(&events);
    g_assert_no_error(two_names->error);
    g_assert_cmpuint(events.asked, ==, 2);
}

/* What is known of a list that is being written, until it is read whole. */
static void test_busy(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &patient);
    const ShieldComputed *effective = shield_computed_find("effective"),
                         *allowed = shield_computed_find("allowed");
    int writer = unit_open_for_writing(dir, "deny.list");

    g_assert_cmpint(shield_bundle_recheck_due(bundle, effective), ==, 0);
    g_assert_false(shield_bundle_refuse(bundle, effective));
    for (int i = 0; i < 3; i++) {
        g_autoptr(ShieldSnapshot) busy = shield_bundle_try(bundle, dir->fd, effective);

        unit_assert_error(busy->error, EBUSY, NULL);
        g_assert_cmpint(shield_bundle_recheck_due(bundle, effective), >, g_get_monotonic_time());
    }
    g_assert_cmpint(shield_bundle_recheck_due(bundle, allowed), ==, 0);
    g_assert_false(shield_bundle_has_refused(bundle, SHIELD_DENY));
    g_assert_true(shield_bundle_refuse(bundle, effective));
    g_assert_false(shield_bundle_refuse(bundle, effective)); /* no news */
    g_assert_true(shield_bundle_has_refused(bundle, SHIELD_DENY));
    g_assert_false(shield_bundle_has_refused(bundle, SHIELD_LIVE_ALLOWED));

    close(writer);
    g_autoptr(ShieldSnapshot) whole = shield_bundle_try(bundle, dir->fd, effective);
    g_assert_no_error(whole->error);
    g_assert_cmpint(shield_bundle_recheck_due(bundle, effective), ==, 0);
    g_assert_false(shield_bundle_has_refused(bundle, SHIELD_DENY));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/writers/open-waits", test_open_waits);
    g_test_add_func("/writers/open-waits-for-unlink", test_open_waits_for_unlink);
    g_test_add_func("/writers/busy-past-settle", test_busy_past_settle);
    g_test_add_func("/writers/idle-writer", test_idle_writer);
    g_test_add_func("/writers/peek-during-rewrite", test_peek_during_rewrite);
    g_test_add_func("/writers/without-settling", test_without_settling);
    g_test_add_func("/writers/one-cut", test_one_cut);
    g_test_add_func("/writers/many-readers", test_many_readers);
    g_test_add_func("/writers/without-lease", test_without_lease);
    g_test_add_func("/writers/lease-released", test_lease_released);
    g_test_add_func("/writers/lease-as-probe", test_lease_as_probe);
    g_test_add_func("/writers/busy", test_busy);
    return g_test_run();
}
