/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/bundle and core/reading: what was read is kept for as long as it is true and not longer;
 * snapshots don't change; times grow with each change. The writers that interfere are in test-writers.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bundle.h"
#include "error.h"
#include "kept.h"
#include "open.h"
#include "unit.h"

static const ShieldPolicy policy = {.max_size = 1000, .settle_ms = 30000};

static ShieldSnapshot *open_computed(ShieldBundle *bundle, const UnitDir *dir, const char *name)
{
    return shield_bundle_open(bundle, dir->fd, shield_computed_find(name));
}

static void assert_shows(ShieldBundle *bundle, const UnitDir *dir, const char *name, const char *text)
{
    g_autoptr(ShieldSnapshot) snapshot = open_computed(bundle, dir, name);

    g_assert_no_error(snapshot->error);
    unit_assert_text(snapshot->text, text);
}

static void assert_fails(ShieldBundle *bundle, const UnitDir *dir, const char *name, int code,
                         const char *message)
{
    g_autoptr(ShieldSnapshot) snapshot = open_computed(bundle, dir, name);

    g_assert_null(snapshot->text);
    unit_assert_error(snapshot->error, code, message);
}

static void test_computed_files(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);

    g_assert_cmpstr(shield_bundle_label(bundle), ==, "web-1");
    unit_write(dir, "profile.allowed", "1.1.1.1\n8.8.8.8\n9.9.9.9\n");
    unit_write(dir, "live.allowed", "9.9.9.9\n10.0.0.0/8\n");
    unit_write(dir, "deny.list", "8.8.8.8\n10.0.0.5\n8.8.8.8\n");
    unit_write(dir, "profile.domains", "GitHub.com\n*.example.org\nnot a domain\n");
    unit_write(dir, "live.domains", "b.example.net\n");
    unit_write(dir, "denied.domains", "github.COM\n");
    assert_shows(bundle, dir, "allowed", "1.1.1.1\n8.8.8.8\n9.9.9.9\n10.0.0.0/8\n");
    assert_shows(bundle, dir, "denied", "8.8.8.8\n10.0.0.5\n");
    assert_shows(bundle, dir, "effective", "1.1.1.1\n9.9.9.9\n10.0.0.0/8\n");
    assert_shows(bundle, dir, "effective.domains", "*.example.org\nb.example.net\n");
}

static void test_empty(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    g_autoptr(ShieldBundle) none = shield_bundle_new("none", &policy);

    for (guint i = 0; i < shield_computed_n; i++) {
        assert_shows(bundle, dir, shield_computed[i].name, "");
        g_autoptr(ShieldSnapshot) snapshot = shield_bundle_open(none, -1, &shield_computed[i]);
        g_assert_no_error(snapshot->error);
        unit_assert_text(snapshot->text, "");
    }
}

static void assert_shared(const ShieldSnapshot *snapshot, gboolean first, gboolean second)
{
    g_assert_cmpint(snapshot->readings[0] == snapshot->readings[2], ==, first);
    g_assert_cmpint(snapshot->readings[1] == snapshot->readings[2], ==, second);
}

/* The missing lists of a bundle have one reading; a list that is there has its own, be it empty. */
static void test_missing(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    g_autoptr(ShieldSnapshot) none = open_computed(bundle, dir, "effective.domains");
    g_autoptr(ShieldSnapshot) other = open_computed(bundle, dir, "effective");

    assert_shared(none, TRUE, TRUE);
    assert_shared(other, TRUE, TRUE);
    g_assert_true(none->readings[0] == other->readings[0]);

    unit_write(dir, "profile.domains", "");
    unit_write(dir, "live.domains", "a.example\n");
    g_autoptr(ShieldSnapshot) some = open_computed(bundle, dir, "effective.domains");
    unit_assert_text(some->text, "a.example\n");
    assert_shared(some, FALSE, FALSE);

    unit_remove(dir, "live.domains");
    g_autoptr(ShieldSnapshot) gone = open_computed(bundle, dir, "effective.domains");
    unit_assert_text(gone->text, "");
    assert_shared(gone, FALSE, TRUE);
    g_assert_true(gone->readings[1] == none->readings[1]);
}

static void test_each_change_is_seen(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    const guint rounds = unit_rounds(500);

    /* As fast as it goes, always of the same length: many of them within one tick of the clock. */
    for (guint i = 0; i < rounds; i++) {
        g_autofree char *text = g_strdup_printf("%06u\n", i);

        unit_write(dir, i % 2 ? "live.allowed" : "profile.allowed", text);
        unit_remove(dir, i % 2 ? "profile.allowed" : "live.allowed");
        assert_shows(bundle, dir, "effective", text);
    }
    unit_write(dir, "deny.list", "x\n");
    unit_write(dir, "live.allowed", "x\ny\n");
    unit_remove(dir, "profile.allowed");
    assert_shows(bundle, dir, "effective", "y\n");
    unit_remove(dir, "deny.list");
    assert_shows(bundle, dir, "effective", "x\ny\n");
}

/* What was read within two ticks of the file's change may have changed since without a sign of it: such a
 * reading is never taken for current. */
static void test_racy(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_write(dir, "deny.list", "a\n");
    g_autoptr(ShieldReading) young =
        shield_reading_take(dir->fd, "web-1", "deny.list", SHIELD_TEXT_ENTRIES, &policy, NULL);
    gint64 after = g_get_real_time();
    unit_age(dir, "deny.list");
    g_autoptr(ShieldReading) old =
        shield_reading_take(dir->fd, "web-1", "deny.list", SHIELD_TEXT_ENTRIES, &policy, NULL);
    g_autoptr(ShieldReading) missing =
        shield_reading_take(dir->fd, "web-1", "live.allowed", SHIELD_TEXT_ENTRIES, &policy, NULL);

    if (after - (young->stamp.ctime * G_USEC_PER_SEC + young->stamp.ctime_nsec / 1000) < 15000)
        g_assert_true(young->racy); /* else this process was kept from running for so long */
    g_assert_false(shield_reading_is_current(young, dir->fd, "deny.list") && young->racy);
    g_assert_true(shield_reading_stamp_holds(young, dir->fd, "deny.list"));
    g_assert_false(old->racy);
    g_assert_true(shield_reading_is_current(old, dir->fd, "deny.list"));
    g_assert_true(shield_reading_is_current(missing, dir->fd, "live.allowed"));
    g_assert_false(shield_reading_is_current(old, dir->fd, "live.allowed"));

    unit_write(dir, "live.allowed", "");
    unit_write(dir, "deny.list", "b\n");
    g_assert_false(shield_reading_is_current(missing, dir->fd, "live.allowed"));
    g_assert_false(shield_reading_is_current(old, dir->fd, "deny.list"));
}

/* A file that is replaced by another with the same times and size. */
static void test_replaced(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);

    unit_write(dir, "deny.list", "a\n");
    unit_write(dir, "other", "b\n");
    unit_set_mtime(dir, "deny.list", 1000000000, 5);
    unit_set_mtime(dir, "other", 1000000000, 5);
    unit_age(dir, "other");
    assert_shows(bundle, dir, "denied", "a\n");
    g_assert_no_errno(renameat(dir->fd, "other", dir->fd, "deny.list"));
    assert_shows(bundle, dir, "denied", "b\n");
}

static void test_snapshots_are_immutable(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);

    unit_write(dir, "profile.allowed", "a\nb\n");
    g_autoptr(ShieldSnapshot) first = open_computed(bundle, dir, "effective");
    struct timespec mtime = first->mtime;

    unit_write(dir, "profile.allowed", "c\n");
    assert_shows(bundle, dir, "effective", "c\n");
    unit_remove(dir, "profile.allowed");
    assert_shows(bundle, dir, "effective", "");
    shield_bundle_forget(bundle);
    g_clear_pointer(&bundle, shield_bundle_unref);

    unit_assert_text(first->text, "a\nb\n");
    g_assert_true(shield_time_equal(first->mtime, mtime));
}

static void test_warm_path(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);

    unit_write(dir, "profile.allowed", "a\n");
    unit_write(dir, "deny.list", "b\n");
    unit_age(dir, "deny.list");
    g_autoptr(ShieldSnapshot) first = open_computed(bundle, dir, "effective");
    g_autoptr(ShieldSnapshot) second = open_computed(bundle, dir, "effective");
    g_autoptr(ShieldSnapshot) peeked = shield_bundle_peek(bundle, dir->fd, shield_computed_find("effective"));
    g_assert_true(first == second);
    g_assert_true(first == peeked);

    /* The parsed lists are shared between the computed files. */
    g_autoptr(ShieldSnapshot) allowed = open_computed(bundle, dir, "allowed");
    g_assert_true(allowed->readings[0] == first->readings[0]);

    /* What was written anew with the same content: the same content with a new time. */
    unit_write(dir, "deny.list", "b\n");
    g_autoptr(ShieldSnapshot) third = open_computed(bundle, dir, "effective");
    struct stat st = unit_stat(dir, "deny.list");
    g_assert_true(g_bytes_equal(first->text, third->text));
    g_assert_true(shield_time_equal(third->mtime, st.st_mtim));

    shield_bundle_forget(bundle);
    g_autoptr(ShieldSnapshot) fourth = open_computed(bundle, dir, "effective");
    g_assert_true(third != fourth);
    g_assert_true(fourth->readings[0] != third->readings[0]);
    g_assert_true(shield_time_equal(third->mtime, fourth->mtime)); /* nothing has changed */
}

static void test_mtime(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    struct stat st;

    /* Without sources: the bundle's. */
    g_autoptr(ShieldSnapshot) none = open_computed(bundle, dir, "effective");
    g_assert_no_errno(fstat(dir->fd, &st));
    g_assert_true(shield_time_equal(none->mtime, st.st_mtim));

    /* The latest source's, to the nanosecond. */
    g_autoptr(ShieldBundle) fresh = shield_bundle_new("web-1", &policy);
    unit_write(dir, "profile.allowed", "a\n");
    unit_write(dir, "live.allowed", "b\n");
    unit_write(dir, "deny.list", "");
    unit_set_mtime(dir, "profile.allowed", 1000, 1);
    unit_set_mtime(dir, "live.allowed", 2000, 123456789);
    unit_set_mtime(dir, "deny.list", 1500, 3);
    g_autoptr(ShieldSnapshot) latest = open_computed(fresh, dir, "effective");
    g_assert_true(shield_time_equal(latest->mtime, (struct timespec){2000, 123456789}));
    g_autoptr(ShieldSnapshot) denied = open_computed(fresh, dir, "denied");
    g_assert_true(shield_time_equal(denied->mtime, (struct timespec){1500, 3}));
}

/* Each change of content has a later time, though the writer sets the clock back; so has each error. */
static void test_mtime_grows(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    struct timespec highest = {0, 0}, highest_of_others;

    for (int i = 0; i < 40; i++) {
        g_autofree char *text = i % 8 == 5 ? g_strdup("\xff\n") : g_strdup_printf("%d\n", i);

        unit_write(dir, "deny.list", text);
        if (i % 3 > 0)
            unit_set_mtime(dir, "deny.list", 1000000000 - i, 0);
        if (i % 10 == 9)
            shield_bundle_forget(bundle);
        if (i % 11 == 10)
            unit_remove(dir, "deny.list");

        g_autoptr(ShieldSnapshot) snapshot = open_computed(bundle, dir, "denied");
        g_assert_cmpint(snapshot->error != NULL, ==, i % 8 == 5 && i % 11 != 10);
        g_assert_true(shield_time_before(highest, snapshot->mtime));
        highest_of_others = highest;
        highest = snapshot->mtime;
    }

    /* Without a change of content it is what the sources say, but never as old as another content. */
    g_autoptr(ShieldSnapshot) before = open_computed(bundle, dir, "denied");
    unit_set_mtime(dir, "deny.list", 500, 0);
    g_autoptr(ShieldSnapshot) set_back = open_computed(bundle, dir, "denied");
    g_assert_true(g_bytes_equal(before->text, set_back->text));
    g_assert_true(shield_time_before(set_back->mtime, highest));
    g_assert_true(shield_time_before(highest_of_others, set_back->mtime));
}

static void test_errors(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);

    unit_write(dir, "profile.allowed", "a\n");
    unit_write(dir, "deny.list", "a\n\n\xff\n");
    assert_fails(bundle, dir, "effective", EILSEQ, "web-1/deny.list: line 3: not UTF-8 at byte 4");
    assert_fails(bundle, dir, "denied", EILSEQ, "web-1/deny.list: line 3: not UTF-8 at byte 4");
    assert_shows(bundle, dir, "allowed", "a\n"); /* that list isn't in it */
    unit_write(dir, "deny.list", "a\n");
    assert_shows(bundle, dir, "effective", "");

    unit_remove(dir, "deny.list");
    unit_link(dir, "profile.allowed", "deny.list");
    assert_fails(bundle, dir, "effective", ELOOP, "web-1/deny.list: symbolic link: not followed");
    unit_remove(dir, "deny.list");
    assert_shows(bundle, dir, "effective", "a\n");

    unit_write(dir, "denied.domains", "a.com\n\xc0\xaf\n");
    assert_fails(bundle, dir, "effective.domains", EILSEQ,
                 "web-1/denied.domains: line 2: not UTF-8 at byte 7");

    /* The first source that fails is named. */
    unit_write(dir, "live.allowed", "\xff");
    unit_write(dir, "deny.list", "\xff");
    assert_fails(bundle, dir, "effective", EILSEQ, "web-1/live.allowed: line 1: not UTF-8 at byte 1");
}

static void test_not_files(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);

    unit_write(dir, "profile.allowed", "a\n");
    unit_mkdir(dir, "live.allowed");
    unit_fifo(dir, "deny.list");
    assert_shows(bundle, dir, "effective", "a\n");
    assert_shows(bundle, dir, "denied", "");
    unit_remove(dir, "live.allowed");
    unit_socket(dir, "live.allowed");
    assert_shows(bundle, dir, "effective", "a\n");
    unit_remove(dir, "live.allowed");
    unit_write(dir, "live.allowed", "b\n");
    assert_shows(bundle, dir, "effective", "a\nb\n");
}

static void test_max_size(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    g_autofree char *most = g_strnfill(policy.max_size, 'x');
    g_autofree char *line = g_strconcat(most, "\n", NULL);

    unit_write(dir, "deny.list", most);
    assert_shows(bundle, dir, "denied", line);
    unit_write(dir, "deny.list", line);
    assert_fails(bundle, dir, "denied", EFBIG, "web-1/deny.list: longer than the limit of 1000 bytes");

    /* Endless, and of a size that tells nothing. */
    g_auto(ShieldFd) proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const ShieldPolicy tiny = {.max_size = 3, .settle_ms = 30000};
    g_autoptr(ShieldReading) status =
        shield_reading_take(proc, "proc", "status", SHIELD_TEXT_ENTRIES, &tiny, NULL);
    unit_assert_error(status->error, EFBIG, "proc/status: longer than the limit of 3 bytes");
}

/* Of a process without descriptors to spare, and of the same process when it has some again. file_exists: the
 * list is there, and old enough for its stamp to be trusted. */
static void check_transient_error(gboolean file_exists)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    struct rlimit limit, none;

    if (file_exists) {
        unit_write(dir, "deny.list", "a\n");
        unit_age(dir, "deny.list");
    }
    int next = dup(dir->fd);
    close(next);
    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &limit));
    for (int spare = 0; spare < 2; spare++) {
        none = (struct rlimit){(rlim_t)next + (rlim_t)spare, limit.rlim_max};
        shield_bundle_forget(bundle);
        g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &none));
        g_autoptr(ShieldSnapshot) failed = open_computed(bundle, dir, "denied");
        g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &limit));
        /* Only under valgrind a name that isn't there is ENOENT, limit or not. */
        if (file_exists || (spare == 0 && !g_getenv("SHIELD_VALGRIND")))
            unit_assert_error(failed->error, EMFILE, NULL);
        assert_shows(bundle, dir, "denied", file_exists ? "a\n" : "");
    }
}

static void test_transient_error(void)
{
    check_transient_error(TRUE);
}

static void test_transient_error_of_missing(void)
{
    check_transient_error(FALSE);
}

/* What may not be searched is an error, and is one only for as long as that is so. */
static void test_unsearchable(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    const uid_t uid = geteuid();

    if (uid == 0) {
        g_assert_no_errno(chown(dir->path, 65534, 65534));
        g_assert_no_errno(seteuid(65534));
    }
    assert_shows(bundle, dir, "denied", "");
    g_assert_no_errno(chmod(dir->path, 0));
    assert_fails(bundle, dir, "denied", EACCES, NULL);
    g_assert_no_errno(chmod(dir->path, 0755));
    assert_shows(bundle, dir, "denied", "");
    g_assert_no_errno(seteuid(uid));
}

/* The lists come first in the table of files: a bundle keeps what was read of these alone. */
static void test_lists_first(void)
{
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("b", &policy);

    for (guint i = 0; i < shield_computed_n; i++) {
        for (guint j = 0; j < shield_computed[i].n_sources; j++)
            g_assert_cmpint(shield_computed[i].sources[j], <, SHIELD_N_LISTS);
    }
    for (int file = 0; file < SHIELD_N_FILES; file++) {
        const char *name = file == SHIELD_HOOK_JSON ? "hook.json" : shield_layout_name((ShieldFile)file);

        g_assert_cmpint(shield_bundle_invalidate(bundle, name, SHIELD_MARK_CHANGED), ==,
                        shield_computed_is_source(name));
    }
}

/* Who may read a list is remembered with what was read, if that is wanted. */
static void test_rights(void)
{
    static const ShieldPolicy with_rights = {.max_size = 1000, .settle_ms = 30000, .rights = TRUE};
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &with_rights);
    g_autoptr(ShieldBundle) without = shield_bundle_new("web-1", &policy);
    g_autofree char *path = unit_path(dir, "deny.list");
    static const mode_t modes[] = {0600, 0644, 0640};

    unit_write(dir, "deny.list", "1.1.1.1\n");
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_assert_no_errno(chmod(path, modes[i]));
        g_autoptr(ShieldSnapshot) snapshot = open_computed(bundle, dir, "denied");
        g_autoptr(ShieldSnapshot) bare = open_computed(without, dir, "denied");

        g_assert_cmpuint(snapshot->readings[0]->rights.mode, ==, S_IFREG | modes[i]);
        g_assert_cmpuint(snapshot->readings[0]->rights.uid, ==, geteuid());
        g_assert_cmpuint(bare->readings[0]->rights.mode, ==, 0);
    }
}

/* A reading that differs from the last one in rights alone takes its place. */
static void test_other_rights(void)
{
    static const ShieldPolicy with_rights = {.max_size = 1000, .rights = TRUE};
    g_autoptr(UnitDir) dir = unit_dir_new();
    ShieldKept kept = {0};

    unit_write(dir, "deny.list", "1.1.1.1\n");
    shield_kept_init(&kept, NULL);
    for (guint i = 0; i < 3; i++) {
        ShieldReading *fresh =
            shield_reading_take(dir->fd, "web-1", "deny.list", SHIELD_TEXT_ENTRIES, &with_rights, NULL);

        fresh->rights.gid += MIN(i, 1); /* the third is like the second */
        g_assert_cmpint(shield_kept_put(&kept, SHIELD_DENY, fresh), ==, i < 2);
    }
    shield_kept_clear(&kept);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bundle/computed-files", test_computed_files);
    g_test_add_func("/bundle/empty", test_empty);
    g_test_add_func("/bundle/missing", test_missing);
    g_test_add_func("/bundle/each-change-is-seen", test_each_change_is_seen);
    g_test_add_func("/bundle/racy", test_racy);
    g_test_add_func("/bundle/replaced", test_replaced);
    g_test_add_func("/bundle/snapshots-are-immutable", test_snapshots_are_immutable);
    g_test_add_func("/bundle/warm-path", test_warm_path);
    g_test_add_func("/bundle/mtime", test_mtime);
    g_test_add_func("/bundle/mtime-grows", test_mtime_grows);
    g_test_add_func("/bundle/errors", test_errors);
    g_test_add_func("/bundle/rights", test_rights);
    g_test_add_func("/bundle/other-rights", test_other_rights);
    g_test_add_func("/bundle/not-files", test_not_files);
    g_test_add_func("/bundle/max-size", test_max_size);
    g_test_add_func("/bundle/transient-error", test_transient_error);
    g_test_add_func("/bundle/transient-error-of-missing", test_transient_error_of_missing);
    g_test_add_func("/bundle/unsearchable", test_unsearchable);
    g_test_add_func("/bundle/lists-first", test_lists_first);
    return g_test_run();
}
