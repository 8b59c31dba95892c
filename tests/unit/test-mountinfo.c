/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of events/mountinfo: lines of the mount table, as the kernel writes them and as nobody should, and
 * what is picked of a whole table.
 */
#include <glib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "events/mountinfo.h"
#include "unit.h"

static void test_line(void)
{
    g_autoptr(SfsMount) mount =
        sfs_mountinfo_parse("36 35 0:47 / /home/me/my\\040view rw,nosuid,nodev shared:1 master:2 - "
                            "fuse.shieldfs /srv/a\\011b rw,user_id=1");

    g_assert_nonnull(mount);
    g_assert_cmpint(mount->id, ==, 36);
    g_assert_cmpuint(major(mount->dev), ==, 0);
    g_assert_cmpuint(minor(mount->dev), ==, 47);
    g_assert_cmpstr(mount->path, ==, "/home/me/my view");
    g_assert_cmpstr(mount->type, ==, "fuse.shieldfs");
    g_assert_cmpstr(mount->device, ==, "/srv/a\tb");
    g_assert_true(mount->ours);
}

static void test_others(void)
{
    g_autoptr(SfsMount) plain = sfs_mountinfo_parse("1 0 8:1 / / rw - ext4 /dev/sda1 rw");
    g_autoptr(SfsMount) alike = sfs_mountinfo_parse("2 1 0:5 / /a rw - fuse.shieldfs2 x rw");
    g_autoptr(SfsMount) device = sfs_mountinfo_parse("3 1 0:5 / /a rw - fuse fuse.shieldfs rw");

    g_assert_true(plain && !plain->ours);
    g_assert_true(alike && !alike->ours);
    g_assert_true(device && !device->ours);
}

static void test_no_line(void)
{
    static const char *const bad[] = {
        "", "36", "36 35 0:47 / /a rw", "36 35 0:47 / /a rw -", "36 35 0:47 / /a rw - tmpfs", " - a b",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_null(sfs_mountinfo_parse(bad[i]));
}

static gboolean below(const char *path, const void *data)
{
    return g_str_has_prefix(path, data);
}

/* What is picked says which mounts there are, not how often they were remounted. */
static void test_pick(void)
{
    static const char table[] = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
                                "2 1 0:5 / /srv/a rw - tmpfs x rw\n"
                                "nonsense\n"
                                "3 1 0:6 / /srv/b rw - tmpfs x rw\n";
    static const char remounted[] =
        "2 1 0:5 / /srv/a ro - tmpfs x ro\n3 1 0:6 / /srv/b rw,noatime - tmpfs x rw\n";
    static const char replaced[] = "2 1 0:5 / /srv/a rw - tmpfs x rw\n4 1 0:7 / /srv/b rw - tmpfs x rw\n";
    g_autofree char *picked = sfs_mountinfo_pick(table, below, "/srv/");
    g_autofree char *again = sfs_mountinfo_pick(remounted, below, "/srv/");
    g_autofree char *other = sfs_mountinfo_pick(replaced, below, "/srv/");
    g_autofree char *none = sfs_mountinfo_pick(table, below, "/elsewhere/");

    g_assert_cmpstr(picked, ==, "2 1 0:5 / /srv/a\n3 1 0:6 / /srv/b\n");
    g_assert_cmpstr(again, ==, picked);
    g_assert_cmpstr(other, !=, picked);
    g_assert_cmpstr(none, ==, "");
}

/* The escapes count: each is four bytes. */
static void test_fit(void)
{
    g_autofree char *plain = g_strnfill(1900, 'a');
    g_autofree char *blanks = g_strnfill(1900, ' ');

    g_assert_true(sfs_mountinfo_fit(plain, plain));
    g_assert_false(sfs_mountinfo_fit(plain, blanks));
    g_assert_false(sfs_mountinfo_fit(blanks, "/a"));
}

/* This machine's table. */
static void test_own(void)
{
    g_autofree char *text = sfs_mountinfo_read();
    g_autoptr(SfsMount) root = sfs_mountinfo_at("/");
    g_autoptr(SfsMount) proc = sfs_mountinfo_holding("/proc/self");

    g_assert_nonnull(strstr(text, " / "));
    g_assert_true(root && strcmp(root->path, "/") == 0);
    g_assert_true(proc && strcmp(proc->type, "proc") == 0);
    g_assert_null(sfs_mountinfo_at("/proc/self"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mountinfo/line", test_line);
    g_test_add_func("/mountinfo/others", test_others);
    g_test_add_func("/mountinfo/no-line", test_no_line);
    g_test_add_func("/mountinfo/pick", test_pick);
    g_test_add_func("/mountinfo/fit", test_fit);
    g_test_add_func("/mountinfo/own", test_own);
    return g_test_run();
}
