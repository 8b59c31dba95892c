/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/inspect, core/synth and core/error: what of a bundle's directory is shown, the problem lines,
 * and the table of computed files.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "directory.h"
#include "error.h"
#include "inspect.h"
#include "lines.h"
#include "open.h"
#include "unit.h"

static const ShieldPolicy policy = {.max_size = 100, .settle_ms = 50};

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The sorted problem lines of the bundle "web-1" in dir, and a mark before those about leases. */
static char *problems_of(const UnitDir *dir)
{
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) degraded = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) out = g_string_new(NULL);
    const char *last = NULL;

    shield_inspect(bundle, dir->fd, problems, degraded);
    g_ptr_array_sort(problems, compare_lines);
    for (guint i = 0; i < problems->len; i++) {
        const char *line = g_ptr_array_index(problems, i);

        if (g_strcmp0(line, last) != 0) /* a list that two computed files need is told of twice */
            g_string_append_printf(out, "%s\n", line);
        last = line;
    }
    g_assert_cmpuint(degraded->len, ==, 0);
    return g_strdup(out->str);
}

static void assert_problems(const UnitDir *dir, const char *expected)
{
    g_autofree char *got = problems_of(dir);

    g_assert_cmpstr(got, ==, expected);
}

static void test_nothing_wrong(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    assert_problems(dir, "");
    unit_mkdir(dir, "hooks");
    unit_write(dir, "hooks/terok-shield-poststop.json", "{}");
    unit_write(dir, "deny.list", "a\n");
    unit_write(dir, "unknown", "\xff");     /* no list */
    unit_write(dir, "interactive", "\xff"); /* no computed file needs it */
    unit_mkdir(dir, "effective");           /* hidden by the computed file */
    assert_problems(dir, "");
}

static void test_problems(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_mkdir(dir, "hooks/sub");
    unit_fifo(dir, "hooks/deny.list");
    unit_link(dir, "x", "hooks/link");
    unit_mkdir(dir, "deny.list");
    unit_fifo(dir, "live.allowed");
    unit_socket(dir, "live.domains");
    unit_link(dir, "deny.list", "profile.allowed");
    unit_write(dir, "profile.domains", "a.com\n\xff\n");
    unit_mkdir(dir, "sub");
    unit_fifo(dir, "fifo");
    unit_socket(dir, "socket");
    unit_link(dir, "/etc/passwd", "link");
    unit_write(dir, "denied.domains",
               "01234567890123456789012345678901234567890123456789"
               "012345678901234567890123456789012345678901234567890\n");
    assert_problems(dir, "web-1/denied.domains: longer than the limit of 100 bytes\n"
                         "web-1/deny.list: directory in a list's place: counts as a missing file\n"
                         "web-1/fifo: FIFO: not read\n"
                         "web-1/hooks/deny.list: FIFO: not read\n"
                         "web-1/hooks/link: symbolic link: not followed\n"
                         "web-1/hooks/sub: directory: not shown\n"
                         "web-1/link: symbolic link: not followed\n"
                         "web-1/live.allowed: FIFO in a list's place: counts as a missing file\n"
                         "web-1/live.domains: socket in a list's place: counts as a missing file\n"
                         "web-1/profile.allowed: symbolic link: not followed\n"
                         "web-1/profile.domains: line 2: not UTF-8 at byte 7\n"
                         "web-1/socket: socket: not read\n"
                         "web-1/sub: directory: not shown\n");
}

static void test_device(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    if (mknodat(dir->fd, "zero", S_IFCHR | 0644, makedev(1, 5)) < 0) {
        g_test_skip("only root can make a device");
        return;
    }
    g_assert_no_errno(mknodat(dir->fd, "deny.list", S_IFCHR | 0644, makedev(1, 5)));
    assert_problems(dir, "web-1/deny.list: device in a list's place: counts as a missing file\n"
                         "web-1/zero: device: not read\n");
}

/* A list that is being written is no problem, and nobody waits for it. */
static void test_being_written(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldBundle) bundle = shield_bundle_new("web-1", &policy);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    int writer = unit_open_for_writing(dir, "deny.list");

    shield_inspect(bundle, dir->fd, problems, problems);
    g_assert_cmpuint(problems->len, ==, 0);
    close(writer);
}

static void test_names_are_escaped(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_mkdir(dir, "a\nproblem: forged");
    unit_link(dir, "x", "\x1b[2J\xff\\");
    assert_problems(dir, "web-1/\\x1b[2J\\xff\\\\: symbolic link: not followed\n"
                         "web-1/a\\x0aproblem: forged: directory: not shown\n");
}

/* Whatever there is, a bundle has 100 lines and one; lists are not among those that are left out. */
static void test_too_many_problems(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_link(dir, "x", "live.allowed");
    unit_link(dir, "x", "z.list");
    unit_mkdir(dir, "hooks");
    for (int i = 0; i < 350; i++) {
        g_autofree char *name = g_strdup_printf("%s%03d", i % 2 ? "hooks/" : "", i);
        unit_link(dir, "x", name);
    }

    g_autofree char *got = problems_of(dir);
    g_auto(GStrv) lines = g_strsplit(got, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, SHIELD_MAX_LINES + 2); /* the last is empty */
    g_assert_cmpstr(lines[0], ==, "web-1/000: symbolic link: not followed");
    g_assert_cmpstr(lines[98], ==, "web-1/196: symbolic link: not followed");
    g_assert_cmpstr(lines[99], ==, "web-1/live.allowed: symbolic link: not followed");
    g_assert_cmpstr(lines[100], ==, "web-1: more than 100 problems: 252 not listed");
}

static void test_listing(void)
{
    static const struct {
        const char *name;
        mode_t type;
    } expected[] = {
        {".hidden", S_IFREG}, {"B", S_IFDIR},   {"a", S_IFREG},        {"fifo", S_IFIFO}, {"link", S_IFLNK},
        {"sock", S_IFSOCK},   {"z\n", S_IFREG}, {"\xc3\xa9", S_IFREG}, {"\xff", S_IFREG},
    };
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_write(dir, "z\n", "");
    unit_write(dir, "\xff", "");
    unit_write(dir, "\xc3\xa9", "");
    unit_write(dir, "a", "");
    unit_write(dir, ".hidden", "");
    unit_mkdir(dir, "B");
    unit_fifo(dir, "fifo");
    unit_socket(dir, "sock");
    unit_link(dir, "a", "link");
    g_autoptr(GPtrArray) entries = shield_directory_list(dir->fd);
    g_assert_cmpuint(entries->len, ==, G_N_ELEMENTS(expected));
    for (guint i = 0; i < entries->len; i++) {
        const ShieldEntry *entry = g_ptr_array_index(entries, i);

        g_assert_cmpstr(entry->name, ==, expected[i].name);
        g_assert_cmpint((int)entry->type, ==, (int)expected[i].type);
    }

    g_auto(ShieldFd) file = openat(dir->fd, "a", O_PATH | O_CLOEXEC);
    g_assert_null(shield_directory_list(file));
    g_assert_cmpint(errno, ==, ENOTDIR);
}

static ShieldKeep keep_by_letter(void *data, const ShieldEntry *entry)
{
    (void)data;
    switch (*entry->name) {
    case 'n':
        return SHIELD_KEEP_NOT;
    case 'a':
        return SHIELD_KEEP_ALWAYS;
    case 'f':
        return SHIELD_KEEP_FIRST;
    default:
        return SHIELD_KEEP_OTHER;
    }
}

static char *most_of(const UnitDir *dir, guint max)
{
    g_autoptr(GPtrArray) entries = shield_directory_list_most(dir->fd, max, keep_by_letter, NULL);
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < entries->len; i++)
        g_string_append(names, ((ShieldEntry *)g_ptr_array_index(entries, i))->name);
    return g_strdup(names->str);
}

/* Of too many names those stay that come first by rank and by bytes, in whatever order they are found. */
static void test_most_of_a_listing(void)
{
    static const char *const names[] = {"x7", "b4", "n1", "a9", "f8", "c5",
                                        "f2", "b1", "x3", "e6", "n2", "a0"};
    g_autoptr(UnitDir) dir = unit_dir_new();

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        unit_write(dir, names[i], "");
    for (guint max = 0; max < 10; max++) {
        static const char *const expected[] = {"a0a9",
                                               "a0a9f2",
                                               "a0a9f2f8",
                                               "a0a9b1f2f8",
                                               "a0a9b1b4f2f8",
                                               "a0a9b1b4c5f2f8",
                                               "a0a9b1b4c5e6f2f8",
                                               "a0a9b1b4c5e6f2f8x3",
                                               "a0a9b1b4c5e6f2f8x3x7",
                                               "a0a9b1b4c5e6f2f8x3x7"};
        g_autofree char *got = most_of(dir, max);

        g_assert_cmpstr(got, ==, expected[max]);
    }
}

static void test_what_is_counted(void)
{
    g_assert_false(shield_is_counted("deny.list", FALSE));
    g_assert_false(shield_is_counted("hooks", FALSE));
    g_assert_false(shield_is_counted("effective", FALSE));
    g_assert_true(shield_is_counted("unknown", FALSE));
    g_assert_true(shield_is_counted("deny.list", TRUE));
}

static void test_what_is_shown(void)
{
    g_assert_cmpint(shield_shows("deny.list", S_IFREG, FALSE), ==, SHIELD_SHOW_FILE);
    g_assert_cmpint(shield_shows("unknown", S_IFREG, TRUE), ==, SHIELD_SHOW_FILE);
    g_assert_cmpint(shield_shows("x", S_IFLNK, FALSE), ==, SHIELD_SHOW_FILE);
    g_assert_cmpint(shield_shows("x", S_IFIFO, FALSE), ==, SHIELD_SHOW_FILE);
    g_assert_cmpint(shield_shows("hooks", S_IFREG, FALSE), ==, SHIELD_SHOW_FILE);
    g_assert_cmpint(shield_shows("hooks", S_IFDIR, FALSE), ==, SHIELD_SHOW_DIRECTORY);
    g_assert_cmpint(shield_shows("hooks", S_IFDIR, TRUE), ==, SHIELD_SHOW_NOT);
    g_assert_cmpint(shield_shows("sub", S_IFDIR, FALSE), ==, SHIELD_SHOW_NOT);
    g_assert_cmpint(shield_shows("deny.list", S_IFDIR, FALSE), ==, SHIELD_SHOW_NOT);

    g_autofree char *longest = g_strnfill(255, 'x'), *longer = g_strnfill(256, 'x');
    g_assert_cmpint(shield_shows(longest, S_IFREG, FALSE), ==, SHIELD_SHOW_FILE);
    g_assert_cmpint(shield_shows(longer, S_IFREG, FALSE), ==, SHIELD_SHOW_NOT);
}

static void test_table(void)
{
    static const char *const names[] = {"allowed", "denied", "effective", "effective.domains"};
    static const char *const sources[] = {"profile.allowed", "live.allowed", "deny.list",
                                          "profile.domains", "live.domains", "denied.domains"};
    guint lists = 0;

    g_assert_cmpuint(shield_computed_n, ==, G_N_ELEMENTS(names));
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        g_assert_cmpstr(shield_computed_find(names[i])->name, ==, names[i]);
    g_assert_null(shield_computed_find("deny.list"));
    g_assert_null(shield_computed_find(""));
    for (gsize i = 0; i < G_N_ELEMENTS(sources); i++)
        g_assert_true(shield_computed_is_source(sources[i]));
    for (int file = 0; file < SHIELD_N_FILES; file++) {
        const char *name = shield_layout_name((ShieldFile)file);

        if (!name || !shield_computed_is_source(name))
            continue;
        lists++;
        g_assert_cmpint(shield_layout_kind((ShieldFile)file), ==,
                        g_str_has_suffix(name, ".domains") ? SHIELD_TEXT_DOMAINS : SHIELD_TEXT_ENTRIES);
    }
    g_assert_cmpuint(lists, ==, G_N_ELEMENTS(sources));
}

static void test_errors(void)
{
    g_autoptr(GError) first = NULL, second = NULL, third = NULL, fourth = NULL;
    g_autoptr(GError) foreign = g_error_new(g_quark_from_static_string("other"), 7, "x");

    shield_error_set(NULL, EIO, "a", "b", "%s", "nobody listens");
    shield_error_set(&first, EFBIG, "web-1", "deny.list", "%d%%", 5);
    unit_assert_error(first, EFBIG, "web-1/deny.list: 5%");
    shield_error_set_errno(&second, EPERM, "/", "a\n");
    unit_assert_error(second, EACCES, "/a\\x0a: permission denied: check its mode and owner");
    shield_error_set_errno(&third, ELOOP, NULL, "b");
    unit_assert_error(third, ELOOP, "b: symbolic link: not followed");
    shield_error_set_errno(&fourth, EIO, "a", NULL);
    unit_assert_error(fourth, EIO, "a: Input/output error");
    g_assert_cmpint(shield_error_errno(first), ==, EFBIG);
    g_assert_cmpint(shield_error_errno(foreign), ==, EIO);
    g_assert_cmpint(shield_error_errno(NULL), ==, EIO);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/inspect/nothing-wrong", test_nothing_wrong);
    g_test_add_func("/inspect/problems", test_problems);
    g_test_add_func("/inspect/device", test_device);
    g_test_add_func("/inspect/being-written", test_being_written);
    g_test_add_func("/inspect/names-are-escaped", test_names_are_escaped);
    g_test_add_func("/inspect/too-many-problems", test_too_many_problems);
    g_test_add_func("/inspect/listing", test_listing);
    g_test_add_func("/inspect/most-of-a-listing", test_most_of_a_listing);
    g_test_add_func("/inspect/what-is-counted", test_what_is_counted);
    g_test_add_func("/inspect/what-is-shown", test_what_is_shown);
    g_test_add_func("/synth/table", test_table);
    g_test_add_func("/error/errors", test_errors);
    return g_test_run();
}
