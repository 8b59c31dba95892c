/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/catalog's sources: they are waited for, go and come back, may be links, are refused where
 * they meet the mount point, and are found by any number of threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "catalog.h"
#include "unit.h"

static ShieldCatalog *catalog_of(const UnitDir *dir, const char *source)
{
    g_autofree char *path = unit_path(dir, source);
    const char *const paths[] = {path, NULL};

    return shield_catalog_new(paths, NULL);
}

/* Fails unless these are the names of all bundles, each with a newline. */
static void assert_shows(ShieldCatalog *catalog, const char *names)
{
    ShieldScan scanned = {0};
    g_autoptr(GPtrArray) places = shield_catalog_scan(catalog, &scanned);
    g_autoptr(GString) got = g_string_new(NULL);

    for (guint i = 0; i < places->len; i++)
        g_string_append_printf(got, "%s\n", ((const ShieldPlace *)g_ptr_array_index(places, i))->name);
    g_assert_cmpstr(got->str, ==, names);
    g_assert_false(scanned.incomplete);
}

static int source_errno(ShieldCatalog *catalog)
{
    errno = 0;
    g_auto(ShieldFd) fd = shield_sources_open(shield_catalog_sources(catalog), 0);

    return fd >= 0 ? 0 : errno;
}

static void test_waiting_source(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "not/yet/there");
    g_autofree char *path = unit_path(dir, "not/yet/there");

    g_assert_cmpuint(shield_sources_count(shield_catalog_sources(catalog)), ==, 1);
    g_assert_cmpstr(shield_sources_path(shield_catalog_sources(catalog), 0), ==, path);
    g_assert_cmpint(source_errno(catalog), ==, ENOENT);
    g_assert_null(shield_sources_resolved(shield_catalog_sources(catalog), 0));
    assert_shows(catalog, "");

    unit_mkdir(dir, "not/yet");
    g_assert_cmpint(source_errno(catalog), ==, ENOENT);
    unit_mkdir(dir, "not/yet/there/containers/web-1");
    assert_shows(catalog, "web-1\n");
    g_autofree char *resolved = shield_sources_resolved(shield_catalog_sources(catalog), 0);
    g_assert_cmpstr(resolved, ==, path);

    unit_remove(dir, "not");
    g_assert_cmpint(source_errno(catalog), ==, ENOENT);
    assert_shows(catalog, "");
    unit_write(dir, "not", "a file on the way");
    g_assert_cmpint(source_errno(catalog), ==, ENOTDIR);
}

static char *resolved_name(ShieldCatalog *catalog)
{
    g_autofree char *resolved = shield_sources_resolved(shield_catalog_sources(catalog), 0);

    return resolved ? g_path_get_basename(resolved) : NULL;
}

/* The operator's own link: resolved when it appears, and anew when what it led to is gone, or when asked to.
 */
static void test_source_is_a_link(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "up/current");

    unit_mkdir(dir, "v1/containers/one");
    unit_mkdir(dir, "v2/containers/two");
    unit_mkdir(dir, "real");
    unit_link(dir, "real", "up");
    unit_link(dir, "../v1", "real/current");
    assert_shows(catalog, "one\n");
    g_autofree char *first = resolved_name(catalog);
    g_assert_cmpstr(first, ==, "v1");

    unit_remove(dir, "real/current");
    unit_link(dir, "../v2", "real/current");
    assert_shows(catalog, "one\n"); /* v1 is still there */
    unit_remove(dir, "v1");
    assert_shows(catalog, "two\n");
    g_autofree char *second = resolved_name(catalog);
    g_assert_cmpstr(second, ==, "v2");

    unit_mkdir(dir, "v3/containers/three");
    unit_remove(dir, "real/current");
    unit_link(dir, "../v3", "real/current");
    shield_sources_forget(shield_catalog_sources(catalog));
    assert_shows(catalog, "three\n");

    unit_remove(dir, "v3");
    unit_remove(dir, "real/current");
    unit_link(dir, "current", "real/current");
    g_assert_cmpint(source_errno(catalog), ==, ELOOP);
}

static void test_excluded(void)
{
    static const struct {
        const char *source;
        gboolean refused;
    } cases[] = {
        {"mnt", TRUE},          {"mnt/below", TRUE}, {".", TRUE},  {"mnt2", FALSE},
        {"to-mnt/below", TRUE}, {"link", TRUE},      {"s", FALSE},
    };
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autofree char *excluded = unit_path(dir, "mnt");

    unit_mkdir(dir, "mnt/below/containers/x");
    unit_mkdir(dir, "mnt2/containers/x");
    unit_mkdir(dir, "s/containers/x");
    unit_link(dir, "mnt", "to-mnt");
    unit_link(dir, "mnt/below", "link");
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = unit_path(dir, cases[i].source);
        const char *const paths[] = {path, NULL};
        g_autoptr(ShieldCatalog) catalog = shield_catalog_new(paths, excluded);
        ShieldScan scanned = {0};
        g_autoptr(GPtrArray) places = shield_catalog_scan(catalog, &scanned);

        g_assert_cmpint(source_errno(catalog), ==, cases[i].refused ? EXDEV : 0);
        g_assert_cmpuint(places->len, ==, cases[i].refused ? 0 : 1);
        g_assert_cmpint(scanned.incomplete, ==, cases[i].refused);
    }
}

/* It comes to light when a link is switched. */
static void test_excluded_later(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autofree char *excluded = unit_path(dir, "mnt");
    g_autofree char *path = unit_path(dir, "current");
    const char *const paths[] = {path, NULL};
    g_autoptr(ShieldCatalog) catalog = shield_catalog_new(paths, excluded);

    unit_mkdir(dir, "mnt");
    unit_mkdir(dir, "s");
    unit_link(dir, "s", "current");
    g_assert_cmpint(source_errno(catalog), ==, 0);
    unit_remove(dir, "current");
    unit_link(dir, "mnt", "current");
    unit_remove(dir, "s");
    g_assert_cmpint(source_errno(catalog), ==, EXDEV);
    g_assert_cmpint(source_errno(catalog), ==, EXDEV);
    unit_remove(dir, "current");
    unit_mkdir(dir, "current");
    g_assert_cmpint(source_errno(catalog), ==, 0);
}

static void test_paths(void)
{
    static const struct {
        const char *outer, *inner;
        gboolean contains;
    } cases[] = {
        {"/a", "/a", TRUE},    {"/a", "/a/b", TRUE},  {"/a", "/ab", FALSE},
        {"/a/b", "/a", FALSE}, {"/", "/", TRUE},      {"/", "/a", TRUE},
        {"/a", "/", FALSE},    {"/a", "/b/a", FALSE}, {"/a/b", "/a/b/c/d", TRUE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(shield_path_contains(cases[i].outer, cases[i].inner), ==, cases[i].contains);
}

static void test_resolve(void)
{
    static const struct {
        const char *given, *expected;
    } cases[] = {
        {"a/b", "/a/b"},         {"link", "/a/b"},      {"link/c", "/a/b/c"}, {"link/x/y", "/a/b/x/y"},
        {"nothing", "/nothing"}, {"file/x", "/file/x"}, {"a//./b/", "/a/b"},
    };
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_mkdir(dir, "a/b/c");
    unit_write(dir, "file", "");
    unit_link(dir, "a/b", "link");
    unit_link(dir, "loop", "loop");
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = unit_path(dir, cases[i].given);
        g_autofree char *expected = g_strconcat(dir->path, cases[i].expected, NULL);
        g_autofree char *got = shield_path_resolve(path);

        g_assert_cmpstr(got, ==, expected);
    }

    g_autofree char *loop = unit_path(dir, "loop/x");
    g_assert_null(shield_path_resolve(loop));
    g_assert_cmpint(errno, ==, ELOOP);
    g_autofree char *root = shield_path_resolve("/");
    g_assert_cmpstr(root, ==, "/");
    g_autofree char *below_root = shield_path_resolve("/no-such-directory/x");
    g_assert_cmpstr(below_root, ==, "/no-such-directory/x");
}

/* ".." behind a link is what the kernel takes it for: the directory above the one that the link leads to. */
static void test_dot_dot(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "link/../s");
    g_autofree char *path = unit_path(dir, "link/../s");
    g_autofree char *expected = unit_path(dir, "a/s");

    unit_mkdir(dir, "a/b");
    unit_mkdir(dir, "a/s/containers/right");
    unit_mkdir(dir, "s/containers/wrong");
    unit_link(dir, "a/b", "link");
    g_autofree char *resolved = shield_path_resolve(path);
    g_assert_cmpstr(resolved, ==, expected);
    assert_shows(catalog, "right\n");
}

/* Many threads at once, while the source is resolved again and again: it is there all the time, so it must be
 * found all the time. */
typedef struct {
    ShieldCatalog *catalog;
    guint rounds;
    guint missed; /* atomic */
} Hammer;

static void *find_again_and_again(void *data)
{
    Hammer *hammer = data;

    for (guint i = 0; i < hammer->rounds; i++) {
        int fd = -1;
        g_autoptr(ShieldPlace) place = shield_catalog_find(hammer->catalog, "web-1", &fd);

        if (!place)
            g_atomic_int_inc(&hammer->missed);
        shield_fd_close(fd);
        if (i % 10 == 0)
            shield_sources_forget(shield_catalog_sources(hammer->catalog));
    }
    return NULL;
}

static void test_threads(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "s");
    Hammer hammer = {catalog, unit_rounds(1000), 0};
    GThread *threads[4];

    unit_mkdir(dir, "s/containers/web-1");
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("find", find_again_and_again, &hammer);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint((guint)g_atomic_int_get(&hammer.missed), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sources/waiting-source", test_waiting_source);
    g_test_add_func("/sources/source-is-a-link", test_source_is_a_link);
    g_test_add_func("/sources/excluded", test_excluded);
    g_test_add_func("/sources/excluded-later", test_excluded_later);
    g_test_add_func("/sources/paths", test_paths);
    g_test_add_func("/sources/resolve", test_resolve);
    g_test_add_func("/sources/dot-dot", test_dot_dot);
    g_test_add_func("/sources/threads", test_threads);
    return g_test_run();
}
