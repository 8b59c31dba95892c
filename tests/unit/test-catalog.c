/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/catalog: bundles found in both layouts, clashes settled, links not followed, sources that
 * come and go; that finding one and listing all agree.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "catalog.h"
#include "lines.h"
#include "unit.h"

static ShieldCatalog *catalog_of(const UnitDir *dir, const char *first, const char *second)
{
    g_autofree char *a = unit_path(dir, first);
    g_autofree char *b = second ? unit_path(dir, second) : NULL;
    const char *const paths[] = {a, b, NULL};

    return shield_catalog_new(paths, NULL);
}

/* Lines of "name source:path", and after them the problems, less the path of dir. */
static char *scan(ShieldCatalog *catalog, const UnitDir *dir, gboolean *complete)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    ShieldScan found_out = {.problems = problems};
    g_autoptr(GPtrArray) places = shield_catalog_scan(catalog, &found_out);
    g_autoptr(GString) out = g_string_new(NULL);

    for (guint i = 0; i < places->len; i++) {
        const ShieldPlace *place = g_ptr_array_index(places, i);
        int found_fd = -1;
        g_autoptr(ShieldPlace) found = shield_catalog_find(catalog, place->name, &found_fd);
        g_auto(ShieldFd) opened = shield_catalog_open(catalog, place);

        /* Finding it by name gives the same place. */
        g_assert_nonnull(found);
        g_assert_true(shield_place_equal(found, place));
        g_assert_cmpint(found_fd, >=, 0);
        g_assert_cmpint(opened, >=, 0);
        close(found_fd);
        g_string_append_printf(out, "%s %u:%s\n", place->name, place->source, place->path);
    }
    for (guint i = 0; i < problems->len; i++)
        g_string_append_printf(out, "! %s\n", (const char *)g_ptr_array_index(problems, i));
    *complete = !found_out.incomplete;

    g_autofree char *prefix = g_strconcat(dir->path, "/", NULL);
    g_string_replace(out, prefix, "", 0);
    return g_strdup(out->str);
}

static void assert_scan(ShieldCatalog *catalog, const UnitDir *dir, const char *expected)
{
    gboolean complete = -1;
    g_autofree char *got = scan(catalog, dir, &complete);

    g_assert_cmpstr(got, ==, expected);
    g_assert_true(complete);
}

static void assert_not_found(ShieldCatalog *catalog, const char *name, int errnum)
{
    int fd = -1;

    errno = 0;
    g_autoptr(ShieldPlace) place = shield_catalog_find(catalog, name, &fd);
    g_assert_null(place);
    g_assert_cmpint(errno, ==, errnum);
    g_assert_cmpint(fd, ==, -1);
}

static void test_layouts(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "s", NULL);

    unit_mkdir(dir, "s/containers/web-1");
    unit_mkdir(dir, "s/containers/_default");
    unit_mkdir(dir, "s/containers/effective");
    unit_mkdir(dir, "s/containers/Z.9");
    unit_mkdir(dir, "s/tasks/proj/12/shield");
    unit_mkdir(dir, "s/tasks/proj/k3x9z/shield");
    unit_mkdir(dir, "s/tasks/proj/13/other"); /* no bundle */
    unit_mkdir(dir, "s/tasks/empty");
    unit_mkdir(dir, "s/other/containers/x");
    assert_scan(catalog, dir,
                "Z.9 0:containers/Z.9\n"
                "_default 0:containers/_default\n"
                "effective 0:containers/effective\n"
                "proj.12 0:tasks/proj/12/shield\n"
                "proj.k3x9z 0:tasks/proj/k3x9z/shield\n"
                "web-1 0:containers/web-1\n");
    assert_not_found(catalog, "proj.13", ENOENT);
    assert_not_found(catalog, "proj", ENOENT);
    assert_not_found(catalog, "proj.", ENOENT);
    assert_not_found(catalog, ".12", ENOENT);
    assert_not_found(catalog, "12", ENOENT);

    unit_remove(dir, "s/containers/web-1");
    unit_remove(dir, "s/tasks");
    assert_not_found(catalog, "web-1", ENOENT);
    assert_not_found(catalog, "proj.12", ENOENT);
}

static void test_legal_names(void)
{
    static const char *const legal[] = {"a", "_", "0", "A.b-c_d", "all", "a..", "a-", "_.-"};
    static const char *const illegal[] = {"",     ".",   "..",    ".a",        "-a",        "a b", "a/b",
                                          "a\n",  "a:b", "a\\b",  "b\xc3\xbc", "a%",        "a\t", "*",
                                          "\xff", "a,b", "a\x01", "@a",        ".shieldfs", "a\"b"};

    for (gsize i = 0; i < G_N_ELEMENTS(legal); i++)
        g_assert_true(shield_is_container_name(legal[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(illegal); i++)
        g_assert_false(shield_is_container_name(illegal[i]));
    for (int c = 1; c < 256; c++) {
        const char first[] = {(char)c, 'a', '\0'}, second[] = {'a', (char)c, '\0'};
        gboolean word = g_ascii_isalnum((char)c) || c == '_';

        g_assert_cmpint(shield_is_container_name(first), ==, word);
        g_assert_cmpint(shield_is_container_name(second), ==, word || c == '.' || c == '-');
    }
}

static void test_illegal_names(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "s", NULL);

    unit_mkdir(dir, "s/containers/.hidden");
    unit_mkdir(dir, "s/containers/a b");
    unit_mkdir(dir, "s/containers/x\ny");
    unit_write(dir, "s/containers/file", ""); /* no directory: nobody's business */
    unit_write(dir, "s/containers/.hidden2", "");
    unit_mkdir(dir, "s/tasks/-p/1/shield");
    unit_mkdir(dir, "s/tasks/p/.1/shield");
    unit_write(dir, "s/tasks/p/file", "");
    assert_scan(catalog, dir,
                "! s/containers/.hidden: no legal container name: not shown\n"
                "! s/containers/a b: no legal container name: not shown\n"
                "! s/containers/x\\x0ay: no legal container name: not shown\n"
                "! s/tasks/-p: no legal container name: not shown\n"
                "! s/tasks/p/.1: no legal container name: not shown\n");
    assert_not_found(catalog, ".hidden", ENOENT);
    assert_not_found(catalog, "a b", ENOENT);
    assert_not_found(catalog, "file", ENOENT);
    assert_not_found(catalog, "p..1", ENOENT);
    assert_not_found(catalog, "../containers", ENOENT);
}

static void test_clashes(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "s1", "s2");

    unit_mkdir(dir, "s1/tasks/a.b/c/shield");
    unit_mkdir(dir, "s1/tasks/a/b.c/shield");
    unit_mkdir(dir, "s2/containers/a.b.c");
    unit_mkdir(dir, "s2/containers/p.1");
    unit_mkdir(dir, "s2/tasks/p/1/shield");
    unit_mkdir(dir, "s1/containers/web-1");
    unit_mkdir(dir, "s2/containers/web-1");
    assert_scan(
        catalog, dir,
        "a.b.c 0:tasks/a.b/c/shield\n"
        "p.1 1:containers/p.1\n"
        "web-1 0:containers/web-1\n"
        "! s1/tasks/a/b.c/shield: not shown: s1/tasks/a.b/c/shield is called a.b.c too and comes first\n"
        "! s2/containers/a.b.c: not shown: s1/tasks/a.b/c/shield is called a.b.c too and comes first\n"
        "! s2/containers/web-1: not shown: s1/containers/web-1 is called web-1 too and comes first\n"
        "! s2/tasks/p/1/shield: not shown: s2/containers/p.1 is called p.1 too and comes first\n");

    /* When the first goes, the next takes its place. */
    unit_remove(dir, "s1/tasks/a.b");
    unit_remove(dir, "s1/containers/web-1");
    assert_scan(
        catalog, dir,
        "a.b.c 0:tasks/a/b.c/shield\n"
        "p.1 1:containers/p.1\n"
        "web-1 1:containers/web-1\n"
        "! s2/containers/a.b.c: not shown: s1/tasks/a/b.c/shield is called a.b.c too and comes first\n"
        "! s2/tasks/p/1/shield: not shown: s2/containers/p.1 is called p.1 too and comes first\n");
}

static void test_links(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "s1", "s2");

    unit_mkdir(dir, "real/1/shield");
    unit_mkdir(dir, "s1/containers/good");
    unit_link(dir, "good", "s1/containers/bad");
    unit_link(dir, "/etc", "s1/containers/etc");
    unit_mkdir(dir, "s1/tasks/p/2");
    unit_link(dir, "../real", "s1/tasks/q");
    unit_link(dir, "../../../real/1", "s1/tasks/p/1");
    unit_link(dir, "../../../../real", "s1/tasks/p/2/shield");
    unit_mkdir(dir, "s2");
    unit_link(dir, "../s1/containers", "s2/containers");
    unit_link(dir, "../s1/tasks", "s2/tasks");
    assert_scan(catalog, dir,
                "good 0:containers/good\n"
                "! s1/containers/bad: symbolic link: not followed\n"
                "! s1/containers/etc: symbolic link: not followed\n"
                "! s1/tasks/p/1: symbolic link: not followed\n"
                "! s1/tasks/p/2/shield: symbolic link: not followed\n"
                "! s1/tasks/q: symbolic link: not followed\n"
                "! s2/containers: symbolic link: not followed\n"
                "! s2/tasks: symbolic link: not followed\n");
    static const char *const names[] = {"bad", "etc", "q.1", "p.1", "p.2"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        assert_not_found(catalog, names[i], ENOENT);
}

static void test_long_names(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "s", NULL);
    g_autofree char *longest = g_strnfill(255, 'a');
    g_autofree char *project = g_strnfill(200, 'p');
    g_autofree char *task = g_strnfill(54, '1'); /* with the dot 255 */
    g_autofree char *container = g_strconcat("s/containers/", longest, NULL);
    g_autofree char *fits = g_strconcat("s/tasks/", project, "/", task, "/shield", NULL);
    g_autofree char *too_long = g_strconcat("s/tasks/", project, "/", task, "2/shield", NULL);
    g_autofree char *name = g_strconcat(project, ".", task, "2", NULL);
    g_autofree char *expected =
        g_strconcat(longest, " 0:containers/", longest, "\n", project, ".", task, " 0:tasks/", project, "/",
                    task, "/shield\n! s/tasks/", project, "/", task,
                    "2: its name in the view would be longer than 255 bytes: not shown\n", NULL);

    unit_mkdir(dir, container);
    unit_mkdir(dir, fits);
    unit_mkdir(dir, too_long);
    assert_scan(catalog, dir, expected);
    assert_not_found(catalog, name, ENOENT);
}

typedef struct {
    const UnitDir *dir;
    GString *got;
} Visits;

static void note_visit(int fd, const char *path, guint source, const char *below, void *data)
{
    Visits *visits = data;
    struct stat by_fd, by_path;

    g_assert_cmpuint(source, <, 2);
    g_assert_true(g_str_has_suffix(path, below));
    g_assert_true(g_str_has_prefix(path, visits->dir->path));
    g_assert_no_errno(fstat(fd, &by_fd));
    g_assert_no_errno(stat(path, &by_path));
    g_assert_cmpuint(by_fd.st_ino, ==, by_path.st_ino);
    g_string_append_printf(visits->got, "%s\n", path + strlen(visits->dir->path));
}

/* However many things stand there that can't be shown, a source has so many lines of them and one that counts
 * the rest. */
static void test_many_problems(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "s1", "s2");
    g_autoptr(GString) expected = g_string_new(NULL);

    for (int i = 0; i < 150; i++) {
        g_autofree char *link = g_strdup_printf("s1/containers/x%03d", i);
        g_autofree char *task = g_strdup_printf("s1/tasks/p/%03d", i);
        g_autofree char *shield = g_strconcat(task, "/shield", NULL);

        unit_mkdir(dir, "s1/containers");
        unit_link(dir, "nowhere", link);
        unit_mkdir(dir, task);
        unit_link(dir, "nowhere", shield);
        if (i < SHIELD_MAX_LINES)
            g_string_append_printf(expected, "! %s: symbolic link: not followed\n", link);
    }
    unit_mkdir(dir, "s2/containers/a b");

    g_autofree char *text = g_strconcat(expected->str, "! s1: more than 100 problems: 200 not listed\n",
                                        "! s2/containers/a b: no legal container name: not shown\n", NULL);
    assert_scan(catalog, dir, text);
}

static void test_visits(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "link", "s2");
    g_autoptr(GString) got = g_string_new(NULL);
    Visits visits = {dir, got};
    ShieldScan scanned = {.visit = note_visit, .data = &visits};

    unit_mkdir(dir, "s1/containers/web-1/hooks");
    unit_mkdir(dir, "s1/tasks/p/1/shield");
    unit_mkdir(dir, "s1/tasks/q");
    unit_link(dir, "q", "s1/tasks/linked");
    unit_mkdir(dir, "s2/tasks");
    unit_link(dir, "s1", "link");
    g_autoptr(GPtrArray) places = shield_catalog_scan(catalog, &scanned);
    g_assert_cmpuint(places->len, ==, 2);
    g_assert_cmpstr(
        got->str, ==,
        "/s1\n/s1/containers\n/s1/tasks\n/s1/tasks/p\n/s1/tasks/p/1\n/s1/tasks/q\n/s2\n/s2/tasks\n");
}

static void test_latest(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "s", NULL);
    ShieldScan scanned = {0};

    unit_mkdir(dir, "s/containers/web-1");
    unit_mkdir(dir, "s/tasks/p");
    unit_set_mtime(dir, "s/containers", 1000, 7);
    unit_set_mtime(dir, "s/tasks", 900, 0);
    unit_set_mtime(dir, "s/tasks/p", 2000, 9);
    g_autoptr(GPtrArray) places = shield_catalog_scan(catalog, &scanned);
    g_assert_cmpuint(places->len, ==, 1);
    g_assert_true(shield_time_equal(scanned.latest, (struct timespec){2000, 9}));
}

/* A directory that can't be read: what is in it can't be told, and the rest is there. */
static void test_unreadable(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(ShieldCatalog) catalog = catalog_of(dir, "s1", "s2");
    const uid_t uid = geteuid();
    gboolean complete = TRUE;

    unit_mkdir(dir, "s1/containers/web-1");
    unit_mkdir(dir, "s1/tasks/p/1/shield");
    unit_mkdir(dir, "s2/containers/web-2");
    g_assert_no_errno(fchmodat(AT_FDCWD, dir->path, 0755, 0));
    g_assert_no_errno(fchmodat(dir->fd, "s1/containers", 0711, 0));
    g_assert_no_errno(fchmodat(dir->fd, "s1/tasks/p", 0, 0));
    if (uid == 0)
        g_assert_no_errno(seteuid(65534));
    else
        g_assert_no_errno(fchmodat(dir->fd, "s1/containers", 0100, 0));
    g_autofree char *got = scan(catalog, dir, &complete);
    int fd = -1, denied_fd = -1;
    g_autoptr(ShieldPlace) searchable = shield_catalog_find(catalog, "web-1", &fd);
    g_autoptr(ShieldPlace) denied = shield_catalog_find(catalog, "p.1", &denied_fd);
    int denied_errno = errno;
    g_assert_no_errno(seteuid(uid));
    shield_fd_close(fd);
    g_assert_cmpstr(got, ==,
                    "web-2 1:containers/web-2\n"
                    "! s1/containers: Permission denied\n"
                    "! s1/tasks/p: Permission denied\n");
    g_assert_false(complete);
    g_assert_nonnull(searchable);
    g_assert_null(denied);
    g_assert_cmpint(denied_errno, ==, EACCES);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/catalog/layouts", test_layouts);
    g_test_add_func("/catalog/legal-names", test_legal_names);
    g_test_add_func("/catalog/illegal-names", test_illegal_names);
    g_test_add_func("/catalog/clashes", test_clashes);
    g_test_add_func("/catalog/links", test_links);
    g_test_add_func("/catalog/long-names", test_long_names);
    g_test_add_func("/catalog/many-problems", test_many_problems);
    g_test_add_func("/catalog/visits", test_visits);
    g_test_add_func("/catalog/latest", test_latest);
    g_test_add_func("/catalog/unreadable", test_unreadable);
    return g_test_run();
}
