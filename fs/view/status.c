/* SPDX-License-Identifier: Apache-2.0 */
/* status: renders the texts, and notes the last; see status.h. */
#include "view/status.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "lock.h"
#include "open.h"
#include "shieldstate.h"
#include "text.h"
#include "view/findings.h"

struct SfsStatus {
    SfsView *view;
    pid_t supervisor;
    SfsAnnouncerStateFunc announcer; /* NULL: there is none yet */
    SfsDegradedFunc degraded;
    void *data;
    SfsDegradedFunc confined; /* NULL: nothing is known yet */
    void *confined_data;
    SfsSummaryFunc summary; /* NULL: nobody wants it */
    void *summary_data;
    GMutex lock;  /* protects the rest */
    GBytes *text; /* the last one; NULL: none was put together */
    struct timespec time;
    guint64 serial;
    guint64 begun, noted; /* so many were begun, and which of them the last one is */
    GArray *states;       /* of int: how the sources were in it; NULL: there was none */
};

SfsStatus *sfs_status_new(SfsView *view, pid_t supervisor)
{
    SfsStatus *status = g_new0(SfsStatus, 1);

    status->view = view;
    status->supervisor = supervisor;
    status->time = sfs_view_started(view);
    g_mutex_init(&status->lock);
    return status;
}

void sfs_status_free(SfsStatus *status)
{
    g_clear_pointer(&status->text, g_bytes_unref);
    g_clear_pointer(&status->states, g_array_unref);
    g_mutex_clear(&status->lock);
    g_free(status);
}

void sfs_status_set_providers(SfsStatus *status, SfsAnnouncerStateFunc announcer, SfsDegradedFunc degraded,
                              void *data)
{
    status->announcer = announcer;
    status->degraded = degraded;
    status->data = data;
}

void sfs_status_set_confined(SfsStatus *status, SfsDegradedFunc confined, void *data)
{
    status->confined = confined;
    status->confined_data = data;
}

void sfs_status_set_summary_func(SfsStatus *status, SfsSummaryFunc func, void *data)
{
    status->summary = func;
    status->summary_data = data;
}

GBytes *sfs_status_version(void)
{
    char *text = g_strdup_printf("version: %s\nbundle: %d\n", SHIELDFS_VERSION, SHIELD_BUNDLE_VERSION);

    return g_bytes_new_take(text, strlen(text));
}

/* One word for what the scan said of a source. */
static const char *source_state(int errnum)
{
    switch (errnum) {
    case 0:
        return "ok";
    case ENOENT:
        return "waiting";
    case EXDEV:
        return "refused";
    default:
        return strerrorname_np(errnum);
    }
}

static void add_sources(const SfsView *view, const GArray *states, GString *out)
{
    ShieldSources *sources = shield_catalog_sources(sfs_view_catalog(view));

    for (guint i = 0; i < states->len; i++) {
        g_autofree char *path = shield_text_escape(shield_sources_path(sources, i), -1);

        g_string_append_printf(out, "source: %s %s\n", source_state(g_array_index(states, int, i)), path);
    }
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once. Returns how many that are. */
static guint add_lines(GString *out, const char *key, GPtrArray *lines)
{
    guint n = 0;

    g_ptr_array_sort(lines, compare_lines);
    for (guint i = 0; i < lines->len; i++) {
        const char *line = g_ptr_array_index(lines, i);

        if (i == 0 || strcmp(line, g_ptr_array_index(lines, i - 1)) != 0) {
            g_string_append_printf(out, "%s: %s\n", key, line);
            n++;
        }
    }
    return n;
}

/* Are there sources, but not one that is there? */
static gboolean is_waiting(const GArray *states)
{
    for (guint i = 0; i < states->len; i++) {
        if (g_array_index(states, int, i) != ENOENT)
            return FALSE;
    }
    return states->len > 0;
}

static void add_confined(const SfsStatus *status, GString *out)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    if (status->confined)
        status->confined(status->confined_data, lines);
    for (guint i = 0; i < lines->len; i++)
        g_string_append_printf(out, "confined: %s\n", (const char *)g_ptr_array_index(lines, i));
}

static GBytes *render(SfsStatus *status, GArray *states, SfsSummary *summary)
{
    GString *out = g_string_new(NULL);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) degraded = g_ptr_array_new_with_free_func(g_free);
    gboolean complete = sfs_findings_collect(sfs_view_findings(status->view), states, problems, degraded);

    if (sfs_view_policy(status->view)->settle_ms == 0)
        g_ptr_array_add(degraded,
                        g_strdup("settle=0: lists are taken as they stand, in the middle of a rewrite too"));
    if (status->degraded)
        status->degraded(status->data, degraded);
    add_sources(status->view, states, out);
    g_string_append_printf(out, "complete: %s\n", complete ? "yes" : "no");
    g_string_append_printf(out, "announcer: %s\n",
                           status->announcer ? status->announcer(status->data) : "stopped");
    g_string_append_printf(out, "pid: %d\n", status->supervisor);
    add_confined(status, out);
    summary->complete = complete;
    summary->waiting = is_waiting(states);
    summary->containers = sfs_tree_count_containers(sfs_view_tree(status->view));
    summary->degraded = add_lines(out, "degraded", degraded);
    summary->problems = add_lines(out, "problem", problems);
    return g_string_free_to_bytes(out);
}

static guint64 begin(SfsStatus *status)
{
    SHIELD_AUTO_LOCK(&status->lock);

    return ++status->begun;
}

/* A source is otherwise than it was: the log is told, as it was told at the start. */
static void tell_source(const SfsStatus *status, guint source, int errnum)
{
    ShieldSources *sources = shield_catalog_sources(sfs_view_catalog(status->view));
    g_autofree char *path = shield_text_escape(shield_sources_path(sources, source), -1);

    if (errnum == 0)
        g_info("%s: right again", path);
    else
        g_message("%s: %s: nothing of it is shown while that is so", path,
                  errnum == ENOENT  ? "no such directory"
                  : errnum == EXDEV ? "it and the mount point overlap"
                                    : g_strerror(errnum));
}

/* Lock held: the log waits for nobody. */
static void note_states(SfsStatus *status, GArray *states)
{
    for (guint i = 0; status->states && i < states->len && i < status->states->len; i++) {
        int now = g_array_index(states, int, i);

        if (now != g_array_index(status->states, int, i))
            tell_source(status, i, now);
    }
    g_clear_pointer(&status->states, g_array_unref);
    status->states = g_array_ref(states);
}

/* Notes a text as the last one, unless that was begun later. */
static guint64 note(SfsStatus *status, GBytes *text, GArray *states, const SfsSummary *summary, guint64 begun)
{
    SHIELD_AUTO_LOCK(&status->lock);

    if (begun < status->noted)
        return status->serial;
    status->noted = begun;
    note_states(status, states);
    if (status->summary)
        status->summary(status->summary_data, summary);
    if (!status->text || !g_bytes_equal(status->text, text)) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        if (!shield_time_before(status->time, now)) /* the clock was set back */
            now = shield_time_next(status->time);
        if (status->text)
            status->time = now;
        g_clear_pointer(&status->text, g_bytes_unref);
        status->text = g_bytes_ref(text);
        status->serial++;
    }
    return status->serial;
}

GBytes *sfs_status_text(SfsStatus *status, guint64 *serial)
{
    guint64 begun = begin(status);
    SfsSummary summary = {0};
    g_autoptr(GArray) states = g_array_new(FALSE, FALSE, sizeof(int));
    GBytes *text = render(status, states, &summary);

    *serial = note(status, text, states, &summary, begun);
    return text;
}

struct timespec sfs_status_time(SfsStatus *status, gsize *size)
{
    guint64 serial;
    g_autoptr(GBytes) text = sfs_status_text(status, &serial);

    *size = g_bytes_get_size(text);

    SHIELD_AUTO_LOCK(&status->lock);
    return status->time;
}

struct timespec sfs_status_last(SfsStatus *status, gsize *size, guint64 *serial)
{
    SHIELD_AUTO_LOCK(&status->lock);

    *size = status->text ? g_bytes_get_size(status->text) : 0;
    *serial = status->serial;
    return status->time;
}
