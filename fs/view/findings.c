/* SPDX-License-Identifier: Apache-2.0 */
/* findings: kept for each bundle, and for all that is above them; see findings.h. */
#include "view/findings.h"

#include <errno.h>
#include <unistd.h>

#include "directory.h"
#include "error.h"
#include "inspect.h"
#include "lock.h"
#include "view/index.h"

struct SfsFindings {
    SfsView *view;
    GMutex lock;    /* protects the rest; held while sources are scanned */
    guint64 mark;   /* the index's last before the scan that follows; 0: keep none */
    GArray *states; /* NULL: there was no scan yet */
    GPtrArray *problems;
    gboolean complete;
};

SfsFindings *sfs_findings_new(SfsView *view)
{
    SfsFindings *findings = g_new0(SfsFindings, 1);

    findings->view = view;
    g_mutex_init(&findings->lock);
    return findings;
}

/* Lock held. */
static void forget(SfsFindings *findings)
{
    g_clear_pointer(&findings->states, g_array_unref);
    g_clear_pointer(&findings->problems, g_ptr_array_unref);
}

void sfs_findings_free(SfsFindings *findings)
{
    forget(findings);
    g_mutex_clear(&findings->lock);
    g_free(findings);
}

static void add_copies(GPtrArray *to, const GPtrArray *from)
{
    for (guint i = 0; i < from->len; i++)
        g_ptr_array_add(to, g_strdup(g_ptr_array_index(from, i)));
}

/* A directory of a bundle that others than the mounting user may own things in. */
typedef struct {
    const char *label;
    int dirfd;
    gboolean in_hooks;
    ShieldFirst *lines;
} Owned;

static void add_unannounced_file(void *data, const ShieldEntry *entry)
{
    const Owned *owned = data;
    struct stat st;

    if (shield_shows(entry->name, entry->type, owned->in_hooks) == SHIELD_SHOW_FILE &&
        (owned->in_hooks || !shield_computed_find(entry->name)) &&
        shield_stat(owned->dirfd, entry->name, &st) == 0 && st.st_uid != geteuid())
        shield_first_add(owned->lines, shield_error_line(owned->label, entry->name,
                                                         "another owner's: no event tells of its changes"));
}

static void add_unannounced_in(const char *label, int dirfd, gboolean in_hooks, ShieldFirst *lines)
{
    Owned owned = {label, dirfd, in_hooks, lines};
    struct stat st;

    if (fstat(dirfd, &st) == 0 && st.st_uid != geteuid())
        shield_first_add(
            lines,
            shield_error_line(NULL, label,
                              in_hooks ? "another owner's: no event tells what comes and goes in it"
                                       : "another owner's: no event tells what comes and goes in it, nor "
                                         "of its computed files"));
    (void)shield_directory_visit(dirfd, add_unannounced_file, &owned);
}

/* With allow_other the kernel lets a plain user's announcer act only on what is his: watchers of the rest
 * hear nothing. A line for each such directory and file. */
static void add_unannounced(const char *label, int dirfd, guint room, GPtrArray *degraded)
{
    const char *name = shield_layout_name(SHIELD_HOOKS_DIR);
    g_auto(ShieldFd) hooks = shield_open_within(dirfd, name);
    g_auto(ShieldFirst) lines = {0};

    shield_lines_init(&lines);
    add_unannounced_in(label, dirfd, FALSE, &lines);
    if (hooks >= 0) {
        g_autofree char *below = g_build_filename(label, name, NULL);
        add_unannounced_in(below, hooks, TRUE, &lines);
    }
    shield_lines_move(degraded, &lines, room, label, "files of another owner");
}

static void inspect(SfsView *view, SfsContainer *container, int dirfd, GPtrArray *problems,
                    GPtrArray *degraded)
{
    g_autoptr(GPtrArray) ignored = g_ptr_array_new_with_free_func(g_free);
    gboolean leases = sfs_view_policy(view)->settle_ms > 0; /* else one line stands for all */

    shield_inspect(container->bundle, dirfd, problems, leases ? degraded : ignored);
    if (sfs_view_allows_others(view) && geteuid() != 0)
        add_unannounced(container->place->name, dirfd, SHIELD_MAX_LINES - degraded->len, degraded);
}

/* TRUE: what was found of the container last still holds, and has been added. certain: it has its name. */
static gboolean recall(SfsView *view, SfsContainer *container, gboolean certain, GPtrArray *problems,
                       GPtrArray *degraded)
{
    if (!shield_bundle_is_watched(container->bundle) ||
        (!certain && !sfs_index_is_certain(sfs_view_index(view), container)))
        return FALSE;

    SHIELD_AUTO_LOCK(&container->lock);
    if (!container->problems || container->inspected != g_atomic_int_get(&container->touched) ||
        container->version != shield_bundle_version(container->bundle))
        return FALSE;
    add_copies(problems, container->problems);
    add_copies(degraded, container->degraded);
    return TRUE;
}

static void add_bundle(SfsView *view, SfsContainer *container, GPtrArray *problems, GPtrArray *degraded)
{
    int touched = g_atomic_int_get(&container->touched); /* before the look: what comes meanwhile is news */
    guint version = shield_bundle_version(container->bundle);
    g_autoptr(GPtrArray) own_problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) own_degraded = g_ptr_array_new_with_free_func(g_free);

    g_autoptr(SfsDirectory) directory = sfs_view_open_container(view, container);
    if (!directory)
        return; /* it has gone meanwhile */
    inspect(view, container, directory->fd, own_problems, own_degraded);
    add_copies(problems, own_problems);
    add_copies(degraded, own_degraded);

    SHIELD_AUTO_LOCK(&container->lock);
    g_clear_pointer(&container->problems, g_ptr_array_unref);
    g_clear_pointer(&container->degraded, g_ptr_array_unref);
    container->problems = g_steal_pointer(&own_problems);
    container->degraded = g_steal_pointer(&own_degraded);
    container->inspected = touched;
    container->version = version;
}

/* Bundles that are not entered, as something is mounted over them. */
static void add_covered(SfsView *view, GPtrArray *places, GPtrArray *problems)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(view));

    for (guint i = 0; i < places->len; i++) {
        const ShieldPlace *place = g_ptr_array_index(places, i);
        g_autoptr(SfsNode) node = sfs_tree_child(sfs_view_tree(view), root, place->name);
        g_auto(ShieldFd) fd = node ? -1 : shield_catalog_open(sfs_view_catalog(view), place);

        if (!node && fd < 0 && errno == EXDEV)
            shield_error_add_line(problems, NULL, place->name, SHIELD_COVERED);
    }
}

/* Lock held. */
static void scan(SfsFindings *findings)
{
    SfsIndex *index = sfs_view_index(findings->view);
    guint64 mark = sfs_index_now(index);
    ShieldScan found = {0};

    if (findings->states && sfs_index_is_exact(index) && findings->mark == mark)
        return;
    forget(findings);
    found.states = findings->states = g_array_new(FALSE, FALSE, sizeof(int));
    found.problems = findings->problems = g_ptr_array_new_with_free_func(g_free);

    g_autoptr(GPtrArray) places = shield_catalog_scan(sfs_view_catalog(findings->view), &found);
    add_covered(findings->view, places, findings->problems);
    findings->complete = !found.incomplete;
    findings->mark = mark;
}

static gboolean add_sources(SfsFindings *findings, GArray *states, GPtrArray *problems)
{
    SHIELD_AUTO_LOCK(&findings->lock);

    scan(findings);
    g_array_append_vals(states, findings->states->data, findings->states->len);
    add_copies(problems, findings->problems);
    return findings->complete;
}

gboolean sfs_findings_collect(SfsFindings *findings, GArray *states, GPtrArray *problems, GPtrArray *degraded)
{
    SfsView *view = findings->view;
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(view));
    g_autoptr(GPtrArray) nodes = NULL, containers = NULL;

    (void)sfs_index_list(sfs_view_index(view), root, &nodes); /* what is wanting is told of the sources */
    gboolean complete = add_sources(findings, states, problems);
    containers = sfs_tree_containers(sfs_view_tree(view));
    gboolean certain = sfs_index_is_certain_of_all(sfs_view_index(view));
    for (guint i = 0; i < containers->len; i++) {
        SfsContainer *container = g_ptr_array_index(containers, i);

        if (!recall(view, container, certain, problems, degraded))
            add_bundle(view, container, problems, degraded);
    }
    return complete;
}
