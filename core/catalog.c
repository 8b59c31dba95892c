/* SPDX-License-Identifier: Apache-2.0 */
/* catalog: finding bundles below the sources; see catalog.h. */
#include "catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "directory.h"
#include "error.h"
#include "lines.h"
#include "text.h"

#define NAME_LENGTH_MAX 255

struct ShieldCatalog {
    ShieldSources *sources;
};

ShieldPlace *shield_place_copy(const ShieldPlace *place)
{
    ShieldPlace *copy = g_new(ShieldPlace, 1);

    *copy = (ShieldPlace){g_strdup(place->name), place->source, g_strdup(place->path)};
    return copy;
}

gboolean shield_place_equal(const ShieldPlace *a, const ShieldPlace *b)
{
    return a->source == b->source && strcmp(a->path, b->path) == 0 && strcmp(a->name, b->name) == 0;
}

void shield_place_free(ShieldPlace *place)
{
    g_free(place->name);
    g_free(place->path);
    g_free(place);
}

ShieldCatalog *shield_catalog_new(const char *const *paths, const char *excluded)
{
    ShieldCatalog *catalog = g_new0(ShieldCatalog, 1);

    catalog->sources = shield_sources_new(paths, excluded);
    return catalog;
}

void shield_catalog_free(ShieldCatalog *catalog)
{
    shield_sources_free(catalog->sources);
    g_free(catalog);
}

ShieldSources *shield_catalog_sources(ShieldCatalog *catalog)
{
    return catalog->sources;
}

gboolean shield_is_container_name(const char *name)
{
    static const char first[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_";
    static const char rest[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-";

    return *name && strchr(first, *name) && name[strspn(name, rest)] == '\0';
}

/* containers and tasks may be mounts of the operator's; what is mounted further down is not entered. */
static int open_half(int source_fd, const char *path)
{
    g_autofree char *half = g_strndup(path, strcspn(path, "/"));

    return shield_open_beneath(source_fd, half);
}

static int open_place(int source_fd, const char *path)
{
    g_auto(ShieldFd) fd = open_half(source_fd, path);

    return fd < 0 ? -1 : shield_open_within(fd, strchr(path, '/') + 1);
}

int shield_catalog_open(ShieldCatalog *catalog, const ShieldPlace *place)
{
    g_auto(ShieldFd) source = shield_sources_open(catalog->sources, place->source);

    return source < 0 ? -1 : open_place(source, place->path);
}

int shield_catalog_open_half(ShieldCatalog *catalog, const ShieldPlace *place)
{
    g_auto(ShieldFd) source = shield_sources_open(catalog->sources, place->source);

    return source < 0 ? -1 : open_half(source, place->path);
}

int shield_catalog_open_in_half(int half_fd, const ShieldPlace *place)
{
    return shield_open_within(half_fd, strchr(place->path, '/') + 1);
}

/* Finding one. The errno of a directory that could not be looked into is worth more than ENOENT. */
static gboolean says_absent(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP || errnum == EXDEV;
}

static gboolean try_path(int source_fd, const ShieldPlace *place, int *dirfd, int *failed)
{
    *dirfd = open_place(source_fd, place->path);
    if (*dirfd < 0 && !says_absent(errno))
        *failed = errno;
    return *dirfd >= 0;
}

static gboolean find_in_source(int source_fd, ShieldPlace *place, int *dirfd, int *failed)
{
    place->path = g_strconcat(SHIELD_CONTAINERS "/", place->name, NULL);
    if (try_path(source_fd, place, dirfd, failed))
        return TRUE;

    /* PROJECT.TASK: either may hold dots. In the byte order of the paths the longest PROJECT comes first, for
     * '.' sorts before '/'. */
    for (const char *dot = strrchr(place->name, '.'); dot;
         dot = g_strrstr_len(place->name, dot - place->name, ".")) {
        g_autofree char *project = g_strndup(place->name, (gsize)(dot - place->name));

        if (!shield_is_container_name(project) || !shield_is_container_name(dot + 1))
            continue;
        g_free(place->path);
        place->path = g_strconcat(SHIELD_TASKS "/", project, "/", dot + 1, "/" SHIELD_SHIELD, NULL);
        if (try_path(source_fd, place, dirfd, failed))
            return TRUE;
    }
    g_clear_pointer(&place->path, g_free);
    return FALSE;
}

ShieldPlace *shield_catalog_find(ShieldCatalog *catalog, const char *name, int *dirfd)
{
    int failed = ENOENT;

    if (!shield_is_container_name(name) || strlen(name) > NAME_LENGTH_MAX) {
        errno = ENOENT;
        return NULL;
    }
    for (guint i = 0; i < shield_sources_count(catalog->sources); i++) {
        g_autoptr(ShieldPlace) place = g_new0(ShieldPlace, 1);
        g_auto(ShieldFd) source = shield_sources_open(catalog->sources, i);

        if (source < 0 && !says_absent(errno))
            failed = errno;
        *place = (ShieldPlace){.name = g_strdup(name), .source = i};
        if (source >= 0 && find_in_source(source, place, dirfd, &failed))
            return g_steal_pointer(&place);
    }
    errno = failed;
    return NULL;
}

/* Scanning. */
typedef struct {
    ShieldSources *sources;
    guint source;
    GPtrArray *places;  /* NULL: bundles are not looked for */
    ShieldFirst *lines; /* problems, for each source; NULL: they are not asked for */
    ShieldScan *out;
} Scan;

static void add_problem(Scan *scan, const char *directory, const char *name, const char *text)
{
    if (!scan->lines)
        return;

    const char *root = shield_sources_path(scan->sources, scan->source);
    g_autofree char *path = directory ? g_build_filename(root, directory, NULL) : g_strdup(root);
    shield_first_add(&scan->lines[scan->source], shield_error_line(path, name, text));
}

static void begin_problems(Scan *scan)
{
    guint n = shield_sources_count(scan->sources);

    scan->lines = scan->out->problems ? g_new0(ShieldFirst, n) : NULL;
    for (guint i = 0; scan->lines && i < n; i++)
        shield_lines_init(&scan->lines[i]);
}

static void end_problems(Scan *scan)
{
    for (guint i = 0; scan->lines && i < shield_sources_count(scan->sources); i++)
        shield_lines_move(scan->out->problems, &scan->lines[i], SHIELD_MAX_LINES,
                          shield_sources_path(scan->sources, i), "problems");
    g_clear_pointer(&scan->lines, g_free);
}

static void add_place(Scan *scan, char *name, char *path)
{
    ShieldPlace *place = g_new(ShieldPlace, 1);

    *place = (ShieldPlace){name, scan->source, path};
    g_ptr_array_add(scan->places, place);
}

static void note_time(const Scan *scan, int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && shield_time_before(scan->out->latest, st.st_mtim))
        scan->out->latest = st.st_mtim;
}

/* Tells of the directory fd at path, relative to its source; NULL: the source itself. */
static void visit(const Scan *scan, int fd, const char *path)
{
    if (!scan->out->visit)
        return;

    g_autofree char *root = shield_sources_resolved(scan->sources, scan->source);
    g_autofree char *whole = g_build_filename(root ? root : "/", path, NULL);
    scan->out->visit(fd, whole, scan->source, path ? path : "", scan->out->data);
}

static void note_incomplete(Scan *scan, int errnum)
{
    scan->out->incomplete = TRUE;
    if (shield_error_is_shortage(errnum))
        scan->out->errnum = errnum;
}

/* Enters name in the directory fd, which is called path (NULL: the source); -1 with errno if it isn't there
 * or can't be shown. */
static int enter(Scan *scan, int fd, const char *path, const char *name)
{
    int below = path ? shield_open_within(fd, name) : shield_open_beneath(fd, name);

    if (below >= 0 || errno == ENOENT || errno == ENOTDIR)
        return below;

    int errnum = errno;
    if (errnum != ELOOP && errnum != EXDEV)
        note_incomplete(scan, errnum);
    add_problem(scan, path, name,
                errnum == ELOOP   ? "symbolic link: not followed"
                : errnum == EXDEV ? SHIELD_COVERED
                                  : g_strerror(errnum));
    errno = errnum;
    return -1;
}

/* The names in the directory that are directories with a legal name; what else stands out becomes a problem.
 */
static GPtrArray *list_names(Scan *scan, int fd, const char *path)
{
    g_autoptr(GPtrArray) entries = shield_directory_list(fd);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    if (!entries && errno == ENOENT)
        return names; /* it has just gone */
    if (!entries) {
        note_incomplete(scan, errno);
        add_problem(scan, path, NULL, g_strerror(errno));
        return names;
    }
    for (guint i = 0; i < entries->len; i++) {
        const ShieldEntry *entry = g_ptr_array_index(entries, i);

        if (S_ISLNK(entry->type))
            add_problem(scan, path, entry->name, "symbolic link: not followed");
        else if (S_ISDIR(entry->type) && !shield_is_container_name(entry->name))
            add_problem(scan, path, entry->name, "no legal container name: not shown");
        else if (S_ISDIR(entry->type))
            g_ptr_array_add(names, g_strdup(entry->name));
    }
    return names;
}

/* Enters containers or tasks. FALSE if there is no such name. */
static gboolean enter_half(Scan *scan, int source_fd, const char *name, int *fd)
{
    *fd = enter(scan, source_fd, NULL, name);

    int errnum = *fd < 0 ? errno : 0;
    if (errnum == ENOTDIR)
        add_problem(scan, NULL, name, "no directory: not looked into");
    return errnum != ENOENT;
}

static gboolean scan_containers(Scan *scan, int source_fd)
{
    g_auto(ShieldFd) fd = -1;
    gboolean there = enter_half(scan, source_fd, SHIELD_CONTAINERS, &fd);

    if (fd < 0)
        return there;
    visit(scan, fd, SHIELD_CONTAINERS);
    note_time(scan, fd);
    if (!scan->places)
        return TRUE;

    g_autoptr(GPtrArray) names = list_names(scan, fd, SHIELD_CONTAINERS);
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);

        add_place(scan, g_strdup(name), g_build_filename(SHIELD_CONTAINERS, name, NULL));
    }
    return TRUE;
}

static void scan_task(Scan *scan, int fd, const char *path, const char *project, const char *task)
{
    visit(scan, fd, path);
    if (!scan->places)
        return;

    g_auto(ShieldFd) shield = enter(scan, fd, path, SHIELD_SHIELD);
    g_autofree char *name = g_strconcat(project, ".", task, NULL);

    if (shield < 0)
        return;
    if (strlen(name) > NAME_LENGTH_MAX)
        add_problem(scan, path, NULL, "its name in the view would be longer than 255 bytes: not shown");
    else
        add_place(scan, g_steal_pointer(&name), g_build_filename(path, SHIELD_SHIELD, NULL));
}

static void scan_project(Scan *scan, int tasks_fd, const char *project)
{
    g_autofree char *path = g_build_filename(SHIELD_TASKS, project, NULL);
    g_auto(ShieldFd) fd = enter(scan, tasks_fd, SHIELD_TASKS, project);

    if (fd < 0)
        return;
    visit(scan, fd, path);
    note_time(scan, fd);
    if (!scan->places && !scan->out->visit)
        return;

    g_autoptr(GPtrArray) tasks = list_names(scan, fd, path);
    for (guint i = 0; i < tasks->len; i++) {
        const char *task = g_ptr_array_index(tasks, i);
        g_autofree char *task_path = g_build_filename(path, task, NULL);
        g_auto(ShieldFd) task_fd = enter(scan, fd, path, task);

        if (task_fd >= 0)
            scan_task(scan, task_fd, task_path, project, task);
    }
}

static gboolean scan_tasks(Scan *scan, int source_fd)
{
    g_auto(ShieldFd) fd = -1;
    gboolean there = enter_half(scan, source_fd, SHIELD_TASKS, &fd);

    if (fd < 0)
        return there;
    visit(scan, fd, SHIELD_TASKS);
    note_time(scan, fd);

    g_autoptr(GPtrArray) projects = list_names(scan, fd, SHIELD_TASKS);
    for (guint i = 0; i < projects->len; i++)
        scan_project(scan, fd, g_ptr_array_index(projects, i));
    return TRUE;
}

/* By name; of equal ones first the one that wins: the earlier source, containers before tasks (as the bytes
 * have it too), then byte order. */
static int compare_places(const void *pa, const void *pb)
{
    const ShieldPlace *a = *(const ShieldPlace *const *)pa, *b = *(const ShieldPlace *const *)pb;
    int order = strcmp(a->name, b->name);

    if (order)
        return order;
    return a->source != b->source ? (a->source > b->source) - (a->source < b->source)
                                  : strcmp(a->path, b->path);
}

static void drop_clashes(Scan *scan)
{
    for (guint i = 1; i < scan->places->len;) {
        const ShieldPlace *first = g_ptr_array_index(scan->places, i - 1),
                          *other = g_ptr_array_index(scan->places, i);

        if (strcmp(first->name, other->name) != 0) {
            i++;
            continue;
        }
        if (scan->lines) {
            const char *root = shield_sources_path(scan->sources, first->source);
            g_autofree char *winner = g_build_filename(root, first->path, NULL);
            g_autofree char *winner_escaped = shield_text_escape(winner, -1);
            g_autofree char *text = g_strdup_printf("not shown: %s is called %s too and comes first",
                                                    winner_escaped, first->name);

            scan->source = other->source;
            add_problem(scan, other->path, NULL, text);
        }
        g_ptr_array_remove_index(scan->places, i);
    }
}

static void scan_source(Scan *scan)
{
    g_auto(ShieldFd) fd = shield_sources_open(scan->sources, scan->source);
    int errnum = fd < 0 ? errno : 0;

    if (scan->out->states)
        g_array_append_val(scan->out->states, errnum);
    if (errnum && errnum != ENOENT)
        note_incomplete(scan, errnum);
    if (errnum)
        return;
    visit(scan, fd, NULL);

    gboolean containers = scan_containers(scan, fd), tasks = scan_tasks(scan, fd);
    if (!containers && !tasks && scan->lines) {
        g_autofree char *text = shield_sources_misfit(scan->sources, scan->source, fd);

        add_problem(scan, NULL, NULL, text);
    }
}

static void scan_sources(Scan *scan)
{
    for (scan->source = 0; scan->source < shield_sources_count(scan->sources); scan->source++)
        scan_source(scan);
}

gboolean shield_catalog_visit_task(ShieldCatalog *catalog, guint source, const char *below,
                                   ShieldVisitFunc func, void *data)
{
    const ShieldPlace place = {NULL, source, (char *)below};
    ShieldScan out = {.visit = func, .data = data};
    const Scan scan = {.sources = catalog->sources, .source = source, .out = &out};
    g_auto(ShieldFd) fd = shield_catalog_open(catalog, &place);

    if (fd >= 0)
        visit(&scan, fd, below);
    return fd >= 0;
}

void shield_catalog_visit(ShieldCatalog *catalog, ShieldScan *out)
{
    Scan scan = {.sources = catalog->sources, .out = out};

    scan_sources(&scan);
}

GPtrArray *shield_catalog_scan(ShieldCatalog *catalog, ShieldScan *out)
{
    Scan scan = {.sources = catalog->sources, .out = out};

    scan.places = g_ptr_array_new_with_free_func((GDestroyNotify)shield_place_free);
    begin_problems(&scan);
    scan_sources(&scan);
    g_ptr_array_sort(scan.places, compare_places);
    drop_clashes(&scan);
    end_problems(&scan);
    return scan.places;
}
