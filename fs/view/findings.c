/* SPDX-License-Identifier: Apache-2.0 */
/* findings: what has changed, what was found, and the sources; see findings.h. */
#include "view/findings.h"

#include <errno.h>
#include <unistd.h>

#include "directory.h"
#include "error.h"
#include "inspect.h"
#include "lines.h"
#include "lock.h"
#include "view/index.h"
#include "view/jobs.h"
#include "view/wrong.h"

/* Something has changed in a bundle, and nobody has looked since. Times are on the findings' own clock. */
typedef struct {
    guint64 since; /* the oldest of which that is true */
    guint64 again; /* the first since the look that goes on began; 0: none */
    gboolean asked, looking;
} Change;

/* What there is to tell of a bundle. */
typedef struct {
    GPtrArray *problems, *degraded;
    guint lists; /* so many of the problems are lists' */
} Told;

/* What has become of a source. */
typedef enum { FOUND, WAITING, REFUSED, FAILED, N_STATES } SourceState;

struct SfsFindings {
    SfsView *view;
    int begun;        /* atomic */
    GMutex scan_lock; /* protects the next five; held while sources are scanned */
    guint64 mark;     /* the index's last before the scan */
    GArray *states;   /* NULL: there was no scan yet */
    GPtrArray *problems;
    gboolean complete, settled;
    ShieldCounter sources[N_STATES], places,
        scanned; /* what the last scan found, for who does not wait for one */
    GMutex lock; /* a leaf but for the tree's; protects the rest. The keys are references to SfsContainer */
    guint64 clock;
    GHashTable *changes;   /* to Change */
    GHashTable *told;      /* to Told: those of which there is something to tell */
    GHashTable *unwatched; /* a set: no event tells of a change in these */
};

static void told_free(void *data)
{
    Told *told = data;

    g_ptr_array_unref(told->problems);
    g_ptr_array_unref(told->degraded);
    g_free(told);
}

static GHashTable *by_container(GDestroyNotify free_value)
{
    return g_hash_table_new_full(NULL, NULL, (GDestroyNotify)sfs_container_unref, free_value);
}

SfsFindings *sfs_findings_new(SfsView *view)
{
    SfsFindings *findings = g_new0(SfsFindings, 1);

    findings->view = view;
    g_mutex_init(&findings->scan_lock);
    g_mutex_init(&findings->lock);
    findings->changes = by_container(g_free);
    findings->told = by_container(told_free);
    findings->unwatched = by_container(NULL);
    return findings;
}

/* The scan's lock held. */
static void forget_scan(SfsFindings *findings)
{
    g_clear_pointer(&findings->states, g_array_unref);
    g_clear_pointer(&findings->problems, g_ptr_array_unref);
}

void sfs_findings_free(SfsFindings *findings)
{
    forget_scan(findings);
    g_hash_table_unref(findings->changes);
    g_hash_table_unref(findings->told);
    g_hash_table_unref(findings->unwatched);
    g_mutex_clear(&findings->scan_lock);
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

static guint inspect(SfsView *view, SfsContainer *container, int dirfd, GPtrArray *problems,
                     GPtrArray *degraded)
{
    g_autoptr(GPtrArray) ignored = g_ptr_array_new_with_free_func(g_free);
    gboolean leases = sfs_view_policy(view)->settle_ms > 0; /* else one line stands for all */

    guint lists = shield_inspect(container->bundle, dirfd, problems, leases ? degraded : ignored);
    if (sfs_view_allows_others(view) && geteuid() != 0)
        add_unannounced(container->place->name, dirfd, SHIELD_MAX_LINES - degraded->len, degraded);
    return lists;
}

/* Lock held. */
static void touch(SfsFindings *findings, SfsContainer *container)
{
    Change *change = g_hash_table_lookup(findings->changes, container);

    findings->clock++;
    if (!change) {
        change = g_new0(Change, 1);
        change->since = findings->clock;
        g_hash_table_insert(findings->changes, sfs_container_ref(container), change);
    } else if (change->looking && !change->again) {
        change->again = findings->clock;
    }
}

void sfs_findings_touch(SfsFindings *findings, SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&findings->lock);

    touch(findings, container);
}

void sfs_findings_forget(SfsFindings *findings, SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&findings->lock);

    g_hash_table_remove(findings->changes, container);
    g_hash_table_remove(findings->told, container);
    g_hash_table_remove(findings->unwatched, container);
}

/* FALSE: nobody has asked for a look. */
static gboolean begin(SfsFindings *findings, SfsContainer *container, gboolean unasked)
{
    SHIELD_AUTO_LOCK(&findings->lock);
    Change *change = g_hash_table_lookup(findings->changes, container);

    if (!change || (!change->asked && !unasked))
        return FALSE;
    change->looking = TRUE;
    return TRUE;
}

gboolean sfs_findings_check(SfsFindings *findings, SfsContainer *container)
{
    guint version = shield_bundle_version(container->bundle);
    gboolean news = version != container->version;

    if (news)
        sfs_findings_touch(findings, container);
    container->version = version;
    return news;
}

static gboolean same_lines(const GPtrArray *a, const GPtrArray *b)
{
    gboolean same = a->len == b->len;

    for (guint i = 0; same && i < a->len; i++)
        same = strcmp(g_ptr_array_index(a, i), g_ptr_array_index(b, i)) == 0;
    return same;
}

/* Notes what there is to tell. TRUE: it is news. Lock held. */
static gboolean tell(SfsFindings *findings, SfsContainer *container, GPtrArray *problems, GPtrArray *degraded,
                     guint lists)
{
    const Told *before = g_hash_table_lookup(findings->told, container);
    gboolean nothing = problems->len == 0 && degraded->len == 0;
    Told *told;

    if (before ? same_lines(before->problems, problems) && same_lines(before->degraded, degraded) : nothing)
        return FALSE;
    if (nothing)
        return g_hash_table_remove(findings->told, container);
    told = g_new(Told, 1);
    *told = (Told){g_ptr_array_ref(problems), g_ptr_array_ref(degraded), lists};
    g_hash_table_replace(findings->told, sfs_container_ref(container), told);
    return TRUE;
}

/* The look is over; *over: nothing has changed meanwhile. TRUE: there is something else to tell. */
static gboolean finish(SfsFindings *findings, SfsContainer *container, GPtrArray *problems,
                       GPtrArray *degraded, guint lists, gboolean *over)
{
    SHIELD_AUTO_LOCK(&findings->lock);
    Change *change = g_hash_table_lookup(findings->changes, container);

    if (shield_bundle_is_watched(container->bundle))
        g_hash_table_remove(findings->unwatched, container);
    else
        g_hash_table_add(findings->unwatched, sfs_container_ref(container));
    *over = !change || !change->again;
    if (!*over)
        *change = (Change){.since = change->again};
    else
        g_hash_table_remove(findings->changes, container);
    return tell(findings, container, problems, degraded, lists);
}

gboolean sfs_findings_inspect(SfsFindings *findings, SfsContainer *container, gboolean unasked)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) degraded = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(SfsDirectory) directory = NULL;
    gboolean told, over;

    if (!begin(findings, container, unasked))
        return FALSE;
    directory = sfs_view_open_container(findings->view, container);
    if (!directory && shield_error_is_shortage(errno))
        return FALSE; /* it is still to be done */
    if (!directory) {
        sfs_findings_forget(findings, container);
        return TRUE;
    }
    guint lists = inspect(findings->view, container, directory->fd, problems, degraded);
    container->version = shield_bundle_version(container->bundle);
    told = finish(findings, container, problems, degraded, lists, &over);
    if (over && problems->len < SHIELD_MAX_LINES) /* they are all there */
        sfs_wrong_found(container, problems);
    return told;
}

/* The containers of a table; an array of references. Lock held. */
static GPtrArray *containers_of(GHashTable *table)
{
    GPtrArray *containers = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_container_unref);
    GHashTableIter iter;
    void *container;

    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, &container, NULL))
        g_ptr_array_add(containers, sfs_container_ref(container));
    return containers;
}

/* Of what no event tells, anything may have changed. */
static GPtrArray *all_changed(SfsFindings *findings, guint64 *now)
{
    SHIELD_AUTO_LOCK(&findings->lock);
    g_autoptr(GPtrArray) unwatched = containers_of(findings->unwatched);
    GHashTableIter iter;
    void *change;

    for (guint i = 0; i < unwatched->len; i++)
        touch(findings, g_ptr_array_index(unwatched, i));
    g_hash_table_iter_init(&iter, findings->changes);
    while (g_hash_table_iter_next(&iter, NULL, &change))
        ((Change *)change)->asked = TRUE;
    *now = findings->clock;
    return containers_of(findings->changes);
}

guint64 sfs_findings_ask(SfsFindings *findings)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(findings->view));
    g_autoptr(GPtrArray) nodes = NULL, changed = NULL;
    guint64 now;

    (void)sfs_index_list(sfs_view_index(findings->view), root, &nodes); /* what is new has changed */
    if (!g_atomic_int_get(&findings->begun))
        return 0;
    changed = all_changed(findings, &now);
    for (guint i = 0; i < changed->len; i++)
        sfs_jobs_queue(sfs_view_jobs(findings->view), g_ptr_array_index(changed, i), SFS_JOB_LATER,
                       g_get_monotonic_time());
    return now;
}

gboolean sfs_findings_is_done(SfsFindings *findings, guint64 asked)
{
    SHIELD_AUTO_LOCK(&findings->lock);
    GHashTableIter iter;
    void *change;

    g_hash_table_iter_init(&iter, findings->changes);
    while (asked > 0 && g_hash_table_iter_next(&iter, NULL, &change)) {
        if (((Change *)change)->since <= asked)
            return FALSE;
    }
    return TRUE;
}

void sfs_findings_set_begun(SfsFindings *findings, gboolean begun)
{
    g_atomic_int_set(&findings->begun, begun);
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

static SourceState state_of(int errnum)
{
    return errnum == 0 ? FOUND : errnum == ENOENT ? WAITING : errnum == EXDEV ? REFUSED : FAILED;
}

/* The scan's lock held. */
static void note_scan(SfsFindings *findings, gboolean complete)
{
    guint n[N_STATES] = {0};

    for (guint i = 0; i < findings->states->len; i++)
        n[state_of(g_array_index(findings->states, int, i))]++;
    for (int state = 0; state < N_STATES; state++)
        shield_counter_set(&findings->sources[state], n[state]);
    shield_counter_set(&findings->places, findings->problems->len);
    shield_counter_set(&findings->scanned, complete);
}

/* The scan's lock held. */
static void scan(SfsFindings *findings)
{
    SfsIndex *index = sfs_view_index(findings->view);
    guint64 mark;
    gboolean settled = sfs_index_is_settled(index, &mark); /* else what has come is not yet watched */
    ShieldScan found = {0};

    if (findings->states && settled && findings->settled && findings->mark == mark)
        return;
    forget_scan(findings);
    found.states = findings->states = g_array_new(FALSE, FALSE, sizeof(int));
    found.problems = findings->problems = g_ptr_array_new_with_free_func(g_free);

    g_autoptr(GPtrArray) places = shield_catalog_scan(sfs_view_catalog(findings->view), &found);
    add_covered(findings->view, places, findings->problems);
    findings->complete = !found.incomplete;
    findings->mark = mark;
    findings->settled = settled;
    note_scan(findings, findings->complete);
}

static gboolean add_sources(SfsFindings *findings, GArray *states, GPtrArray *problems)
{
    SHIELD_AUTO_LOCK(&findings->scan_lock);

    scan(findings);
    g_array_append_vals(states, findings->states->data, findings->states->len);
    add_copies(problems, findings->problems);
    return findings->complete;
}

/* Does the container's name lead to it? */
static gboolean is_there(const SfsFindings *findings, SfsNode *root, const SfsContainer *container)
{
    g_autoptr(SfsNode) node = sfs_tree_child(sfs_view_tree(findings->view), root, container->place->name);

    return node && node->container == container;
}

/* The next of what there is to tell, of what is still there; the rest is forgotten. NULL: that was all. Lock
 * held. */
static const Told *next_told(const SfsFindings *findings, SfsNode *root, GHashTableIter *iter)
{
    void *container, *value;

    while (g_hash_table_iter_next(iter, &container, &value)) {
        if (is_there(findings, root, container))
            return value;
        g_hash_table_iter_remove(iter);
    }
    return NULL;
}

static void add_bundles(SfsFindings *findings, SfsNode *root, GPtrArray *problems, GPtrArray *degraded)
{
    SHIELD_AUTO_LOCK(&findings->lock);
    GHashTableIter iter;
    const Told *told;

    g_hash_table_iter_init(&iter, findings->told);
    while ((told = next_told(findings, root, &iter))) {
        add_copies(problems, told->problems);
        add_copies(degraded, told->degraded);
    }
}

gboolean sfs_findings_collect(SfsFindings *findings, GArray *states, GPtrArray *problems, GPtrArray *degraded)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(findings->view));
    g_autoptr(GPtrArray) nodes = NULL;

    (void)sfs_index_list(sfs_view_index(findings->view), root,
                         &nodes); /* what is wanting is told of the sources */
    gboolean complete = add_sources(findings, states, problems);
    add_bundles(findings, root, problems, degraded);
    return complete && g_atomic_int_get(&findings->begun);
}

static void count_lines(SfsFindings *findings, guint *lists, guint *names, guint *degraded)
{
    g_autoptr(SfsNode) root = sfs_tree_root(sfs_view_tree(findings->view));
    SHIELD_AUTO_LOCK(&findings->lock);
    GHashTableIter iter;
    const Told *told;

    g_hash_table_iter_init(&iter, findings->told);
    while ((told = next_told(findings, root, &iter))) {
        *lists += told->lists;
        *names += told->problems->len - told->lists;
        *degraded += told->degraded->len;
    }
}

void sfs_findings_tell(SfsFindings *findings, SfsOpenMetrics *out)
{
    static const char *const states[N_STATES] = {"ok", "waiting", "refused", "failed"};
    guint lists = 0, names = 0, degraded = 0;

    count_lines(findings, &lists, &names, &degraded);
    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_complete", NULL,
                           "1 when all that is there could be looked into.",
                           g_atomic_int_get(&findings->begun) && shield_counter_get(&findings->scanned));
    sfs_openmetrics_family(out, SFS_GAUGE, "shieldfs_sources", NULL, "Sources, by state.");
    for (int state = 0; state < N_STATES; state++)
        sfs_openmetrics_number(out, "state", states[state], shield_counter_get(&findings->sources[state]));
    sfs_openmetrics_family(out, SFS_GAUGE, "shieldfs_problems", NULL,
                           "What is wrong: with lists, with other names in bundles, with places of bundles.");
    sfs_openmetrics_number(out, "kind", "list", lists);
    sfs_openmetrics_number(out, "kind", "name", names);
    sfs_openmetrics_number(out, "kind", "place", shield_counter_get(&findings->places));
    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_degraded", NULL,
                           "What in bundles is shown, but with less certainty or fewer events.", degraded);
}
