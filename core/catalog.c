/* SPDX-License-Identifier: Apache-2.0 */
/* catalog: finding bundles below the sources; see catalog.h. */
#include "catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "inspect.h"
#include "text.h"

#define CONTAINERS "containers"
#define TASKS "tasks"
#define SHIELD "shield"
#define NAME_LENGTH_MAX 255

/* How long to wait for somebody else who resolves a source. */
#define RESOLVING_TRIES 100
#define RESOLVING_USEC 1000

typedef struct {
    char *path;
    GMutex lock;      /* protects resolved */
    char *resolved;   /* NULL: not found yet, or gone */
    gboolean again;   /* resolve it anew; until that is done the old one serves */
    GMutex resolving; /* held while path is resolved, by trylock only: see lock_resolving */
} Source;

struct ShieldCatalog {
    Source *sources;
    guint n;
    char *excluded;
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

    catalog->n = g_strv_length((char **)paths);
    catalog->sources = g_new0(Source, catalog->n);
    catalog->excluded = g_strdup(excluded);
    for (guint i = 0; i < catalog->n; i++) {
        catalog->sources[i].path = shield_path_absolute(paths[i]);
        g_mutex_init(&catalog->sources[i].lock);
        g_mutex_init(&catalog->sources[i].resolving);
    }
    return catalog;
}

void shield_catalog_free(ShieldCatalog *catalog)
{
    for (guint i = 0; i < catalog->n; i++) {
        g_free(catalog->sources[i].path);
        g_free(catalog->sources[i].resolved);
        g_mutex_clear(&catalog->sources[i].lock);
        g_mutex_clear(&catalog->sources[i].resolving);
    }
    g_free(catalog->sources);
    g_free(catalog->excluded);
    g_free(catalog);
}

guint shield_catalog_n_sources(const ShieldCatalog *catalog)
{
    return catalog->n;
}

const char *shield_catalog_source_path(const ShieldCatalog *catalog, guint source)
{
    return catalog->sources[source].path;
}

char *shield_catalog_source_resolved(ShieldCatalog *catalog, guint source)
{
    Source *s = &catalog->sources[source];
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&s->lock);

    return g_strdup(s->resolved);
}

static void set_resolved(Source *s, const char *resolved)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&s->lock);

    g_free(s->resolved);
    s->resolved = g_strdup(resolved);
}

void shield_catalog_forget(ShieldCatalog *catalog)
{
    for (guint i = 0; i < catalog->n; i++) {
        Source *s = &catalog->sources[i];
        g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&s->lock);

        s->again = TRUE;
    }
}

static gboolean is_excluded(const ShieldCatalog *catalog, const char *resolved)
{
    return catalog->excluded && (shield_path_contains(catalog->excluded, resolved) ||
                                 shield_path_contains(resolved, catalog->excluded));
}

static int open_absolute(const char *path)
{
    g_auto(ShieldFd) root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    return root < 0 ? -1 : shield_open_beneath(root, path);
}

static int open_resolved(ShieldCatalog *catalog, guint source)
{
    g_autofree char *known = shield_catalog_source_resolved(catalog, source);

    if (known)
        return open_absolute(known);
    errno = ENOENT;
    return -1;
}

/* Whoever resolves has the lock resolving. FALSE with errno. */
static gboolean resolve(ShieldCatalog *catalog, Source *s)
{
    char *resolved = realpath(s->path, NULL);
    int failed = errno;

    if (resolved && is_excluded(catalog, resolved)) {
        failed = EXDEV;
        g_clear_pointer(&resolved, free);
    }
    set_resolved(s, resolved);

    gboolean found = resolved != NULL;
    free(resolved);
    errno = failed;
    return found;
}

/* Somebody may be resolving it at this moment: then it is worth a short wait. But not a long one: he may be
 * waiting for us, if a link of the operator's leads into the mount, and this is the request that his
 * resolving has caused. */
static gboolean lock_resolving(Source *s)
{
    for (int tries = 0; tries < RESOLVING_TRIES; tries++) {
        if (g_mutex_trylock(&s->resolving))
            return TRUE;
        g_usleep(RESOLVING_USEC);
    }
    return FALSE;
}

static gboolean take_again(Source *s)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&s->lock);
    gboolean again = s->again;

    s->again = FALSE;
    return again;
}

/* A resolved path has no links and leads nowhere into the mount, so that opening it name by name never asks
 * this very program. Resolving may: the links are the operator's. */
int shield_catalog_open_source(ShieldCatalog *catalog, guint source)
{
    Source *s = &catalog->sources[source];
    int fd = -1;

    if (g_mutex_trylock(&s->resolving)) {
        if (take_again(s))
            (void)resolve(catalog, s);
        g_mutex_unlock(&s->resolving);
    }
    fd = open_resolved(catalog, source);
    if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR && errno != ELOOP))
        return fd;
    if (!lock_resolving(s)) {
        errno = ENOENT;
        return -1;
    }
    fd = open_resolved(catalog, source); /* somebody else may have resolved it meanwhile */
    if (fd < 0 && resolve(catalog, s))
        fd = open_resolved(catalog, source);

    int failed = errno;
    g_mutex_unlock(&s->resolving);
    errno = failed;
    return fd;
}

gboolean shield_is_container_name(const char *name)
{
    static const char first[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_";
    static const char rest[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-";

    return *name && strchr(first, *name) && name[strspn(name, rest)] == '\0';
}

int shield_catalog_open(ShieldCatalog *catalog, const ShieldPlace *place)
{
    g_auto(ShieldFd) source = shield_catalog_open_source(catalog, place->source);

    return source < 0 ? -1 : shield_open_beneath(source, place->path);
}

gboolean shield_is_shortage(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOMEM;
}

/* Finding one. The errno of a directory that could not be looked into is worth more than ENOENT. */
static gboolean says_absent(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP || errnum == EXDEV;
}

static gboolean try_path(int source_fd, const ShieldPlace *place, int *dirfd, int *failed)
{
    *dirfd = shield_open_beneath(source_fd, place->path);
    if (*dirfd < 0 && !says_absent(errno))
        *failed = errno;
    return *dirfd >= 0;
}

static gboolean find_in_source(int source_fd, ShieldPlace *place, int *dirfd, int *failed)
{
    place->path = g_strconcat(CONTAINERS "/", place->name, NULL);
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
        place->path = g_strconcat(TASKS "/", project, "/", dot + 1, "/" SHIELD, NULL);
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
    for (guint i = 0; i < catalog->n; i++) {
        g_autoptr(ShieldPlace) place = g_new0(ShieldPlace, 1);
        g_auto(ShieldFd) source = shield_catalog_open_source(catalog, i);

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
    ShieldCatalog *catalog;
    guint source;
    GPtrArray *places;
    ShieldScan *out;
} Scan;

static void add_problem(Scan *scan, const char *directory, const char *name, const char *text)
{
    if (!scan->out->problems)
        return;

    const char *root = scan->catalog->sources[scan->source].path;
    g_autofree char *path = directory ? g_build_filename(root, directory, NULL) : g_strdup(root);
    shield_add_line(scan->out->problems, path, name, text);
}

static void add_place(Scan *scan, char *name, char *path)
{
    ShieldPlace *place = g_new(ShieldPlace, 1);

    *place = (ShieldPlace){name, scan->source, path};
    g_ptr_array_add(scan->places, place);
}

/* Tells of the directory fd at path, relative to its source; NULL: the source itself. */
static void visit(const Scan *scan, int fd, const char *path)
{
    if (!scan->out->visit)
        return;

    g_autofree char *root = shield_catalog_source_resolved(scan->catalog, scan->source);
    g_autofree char *whole = g_build_filename(root ? root : "/", path, NULL);
    scan->out->visit(fd, whole, scan->out->data);
}

static void note_incomplete(Scan *scan, int errnum)
{
    scan->out->incomplete = TRUE;
    if (shield_is_shortage(errnum))
        scan->out->errnum = errnum;
}

/* Enters name in the directory fd, which is called path; -1 if it isn't there or can't be shown. */
static int enter(Scan *scan, int fd, const char *path, const char *name)
{
    int below = shield_open_beneath(fd, name);

    if (below >= 0 || errno == ENOENT || errno == ENOTDIR)
        return below;
    if (errno != ELOOP)
        note_incomplete(scan, errno);
    add_problem(scan, path, name, errno == ELOOP ? "symbolic link: not followed" : g_strerror(errno));
    return -1;
}

/* The names in the directory that are directories with a legal name; what else stands out becomes a problem.
 */
static GPtrArray *list_names(Scan *scan, int fd, const char *path)
{
    g_autoptr(GPtrArray) entries = shield_list_directory(fd);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    struct stat st;

    if (!entries) {
        note_incomplete(scan, errno);
        add_problem(scan, path, NULL, g_strerror(errno));
        return names;
    }
    if (fstat(fd, &st) == 0 && shield_time_before(scan->out->latest, st.st_mtim))
        scan->out->latest = st.st_mtim;
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

static void scan_containers(Scan *scan, int source_fd)
{
    g_auto(ShieldFd) fd = enter(scan, source_fd, NULL, CONTAINERS);

    if (fd < 0)
        return;
    visit(scan, fd, CONTAINERS);

    g_autoptr(GPtrArray) names = list_names(scan, fd, CONTAINERS);
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);

        add_place(scan, g_strdup(name), g_build_filename(CONTAINERS, name, NULL));
    }
}

static void scan_task(Scan *scan, int fd, const char *path, const char *project, const char *task)
{
    visit(scan, fd, path);

    g_auto(ShieldFd) shield = enter(scan, fd, path, SHIELD);
    g_autofree char *name = g_strconcat(project, ".", task, NULL);

    if (shield < 0)
        return;
    if (strlen(name) > NAME_LENGTH_MAX)
        add_problem(scan, path, NULL, "its name in the view would be longer than 255 bytes: not shown");
    else
        add_place(scan, g_steal_pointer(&name), g_build_filename(path, SHIELD, NULL));
}

static void scan_project(Scan *scan, int tasks_fd, const char *project)
{
    g_autofree char *path = g_build_filename(TASKS, project, NULL);
    g_auto(ShieldFd) fd = enter(scan, tasks_fd, TASKS, project);

    if (fd < 0)
        return;
    visit(scan, fd, path);

    g_autoptr(GPtrArray) tasks = list_names(scan, fd, path);
    for (guint i = 0; i < tasks->len; i++) {
        const char *task = g_ptr_array_index(tasks, i);
        g_autofree char *task_path = g_build_filename(path, task, NULL);
        g_auto(ShieldFd) task_fd = enter(scan, fd, path, task);

        if (task_fd >= 0)
            scan_task(scan, task_fd, task_path, project, task);
    }
}

static void scan_tasks(Scan *scan, int source_fd)
{
    g_auto(ShieldFd) fd = enter(scan, source_fd, NULL, TASKS);

    if (fd < 0)
        return;
    visit(scan, fd, TASKS);

    g_autoptr(GPtrArray) projects = list_names(scan, fd, TASKS);
    for (guint i = 0; i < projects->len; i++)
        scan_project(scan, fd, g_ptr_array_index(projects, i));
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
        if (scan->out->problems) {
            const char *root = scan->catalog->sources[first->source].path;
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

GPtrArray *shield_catalog_scan(ShieldCatalog *catalog, ShieldScan *out)
{
    Scan scan = {.catalog = catalog, .out = out};

    scan.places = g_ptr_array_new_with_free_func((GDestroyNotify)shield_place_free);
    for (scan.source = 0; scan.source < catalog->n; scan.source++) {
        g_auto(ShieldFd) fd = shield_catalog_open_source(catalog, scan.source);

        if (fd < 0) {
            if (errno != ENOENT)
                note_incomplete(&scan, errno);
            continue;
        }
        visit(&scan, fd, NULL);
        scan_containers(&scan, fd);
        scan_tasks(&scan, fd);
    }
    g_ptr_array_sort(scan.places, compare_places);
    drop_clashes(&scan);
    return scan.places;
}
