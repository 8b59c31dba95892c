/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for names that somebody else chose: a directory of that name stands where bundles are found, in
 * one layout and in the other. It is a container if its name is one, and else a line for people, in which
 * nothing is raw; a scan and a look-up are of one mind about it. The input is the name of a container, a
 * project and a task, with NULs between them.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "catalog.h"
#include "fuzz.h"
#include "inspect.h"
#include "unit.h"

typedef struct {
    UnitDir *dir; /* a source */
    ShieldCatalog *catalog;
    int containers, tasks;
} Place;

static void leave(void);

static Place *place(void)
{
    static Place here;

    if (!here.dir) {
        here.dir = unit_dir_new();
        unit_mkdir(here.dir, "containers");
        unit_mkdir(here.dir, "tasks");
        here.containers = unit_open_dir(here.dir, "containers");
        here.tasks = unit_open_dir(here.dir, "tasks");
        here.catalog = shield_catalog_new((const char *const[]){here.dir->path, NULL}, NULL);
        atexit(leave);
    }
    return &here;
}

static void leave(void)
{
    Place *here = place();

    shield_catalog_free(here->catalog);
    close(here->containers);
    close(here->tasks);
    unit_dir_free(here->dir);
}

/* A second opinion. */
static gboolean is_legal(const char *name)
{
    if (*name == '\0' || *name == '.' || *name == '-')
        return FALSE;
    for (; *name; name++) {
        if (!g_ascii_isalnum(*name) && *name != '_' && *name != '.' && *name != '-')
            return FALSE;
    }
    return TRUE;
}

static gboolean make(int dirfd, const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strlen(name) <= NAME_MAX && mkdirat(dirfd, name, 0700) == 0;
}

static void assert_printable(const GPtrArray *lines)
{
    for (guint i = 0; i < lines->len; i++) {
        const char *line = g_ptr_array_index(lines, i);

        g_assert_true(g_utf8_validate(line, -1, NULL));
        for (; *line; line = g_utf8_next_char(line))
            g_assert_true(g_unichar_isprint(g_utf8_get_char(line)));
    }
}

/* There is exactly what is expected: a container of that name, or a problem, or neither. */
static void check_scan(const Place *here, const char *name, guint problems)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    ShieldScan out = {.problems = lines};
    g_autoptr(GPtrArray) places = shield_catalog_scan(here->catalog, &out);
    int fd = -1;

    g_assert_false(out.incomplete);
    g_assert_cmpuint(places->len, ==, name != NULL);
    g_assert_cmpuint(lines->len, ==, problems);
    assert_printable(lines);
    if (name) {
        const ShieldPlace *found = g_ptr_array_index(places, 0);
        g_autoptr(ShieldPlace) looked_up = shield_catalog_find(here->catalog, name, &fd);

        g_assert_cmpstr(found->name, ==, name);
        g_assert_true(looked_up && shield_place_equal(looked_up, found));
        close(fd);
    }
}

static void check_container(const Place *here, const char *name)
{
    int fd;
    g_autoptr(ShieldPlace) none = shield_catalog_find(here->catalog, name, &fd);

    g_assert_null(none);
    if (!make(here->containers, name))
        return;
    check_scan(here, is_legal(name) ? name : NULL, !is_legal(name));
    g_assert_cmpint(unlinkat(here->containers, name, AT_REMOVEDIR), ==, 0);
}

static void check_task(const Place *here, const char *project, const char *task)
{
    g_autofree char *name = g_strconcat(project, ".", task, NULL);
    g_autofree char *whole = g_strconcat(project, "/", task, NULL);
    g_autofree char *shield = g_strconcat(whole, "/" SHIELD_SHIELD, NULL);

    if (!make(here->tasks, project))
        return;
    int fd = openat(here->tasks, project, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (make(fd, task)) {
        gboolean legal = is_legal(project) && is_legal(task);

        g_assert_cmpint(mkdirat(here->tasks, shield, 0700), ==, 0);
        check_scan(here, legal && strlen(name) <= NAME_MAX ? name : NULL, !legal || strlen(name) > NAME_MAX);
        g_assert_cmpint(unlinkat(here->tasks, shield, AT_REMOVEDIR), ==, 0);
        g_assert_cmpint(unlinkat(here->tasks, whole, AT_REMOVEDIR), ==, 0);
    }
    close(fd);
    g_assert_cmpint(unlinkat(here->tasks, project, AT_REMOVEDIR), ==, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    g_autofree char *name = fuzz_word(&input), *project = fuzz_word(&input), *task = fuzz_word(&input);
    const Place *here = place();

    g_assert_cmpint(shield_is_container_name(name), ==, is_legal(name));
    g_assert_cmpint(shield_shows(name, S_IFREG, FALSE), ==,
                    strlen(name) > NAME_MAX ? SHIELD_SHOW_NOT : SHIELD_SHOW_FILE);
    check_container(here, name);
    check_task(here, project, task);
    return 0;
}
