/* SPDX-License-Identifier: Apache-2.0 */
/* watcher: the thread that works marks off; see watcher.h. */
#include "events/watcher.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "error.h"
#include "events/looks.h"
#include "events/trace.h"
#include "fault.h"
#include "view/attributes.h"
#include "view/findings.h"
#include "view/index.h"

#define GROUP_USEC 50            /* for which events wait for more of their kind, */
#define VAIN_USEC 2000           /* and those that lead to nothing */
#define STATUS_USEC (100 * 1000) /* between a change and a look at the status file, at least */

struct SfsWatcher {
    SfsView *view;
    SfsOutbox *outbox;
    int wake; /* an eventfd */
    GThread *thread;
    int stop;                    /* atomic */
    void (*changed)(void *data); /* wakes who polls */
    void *changed_data;
    void (*told)(void *data); /* NULL: nobody waits for the status file */
    void *told_data;
    SfsMarks *marks;
    SfsWatchlist *watchlist;
    SfsUpkeep *upkeep;
    /* The thread's own. */
    SfsLooks looks;
    gboolean begun;    /* what was there at the start is known */
    gint64 status_due; /* 0: nothing has changed */
    gint64 status_cost;
    gint64 rest_until;     /* events wait until then; 0: they don't wait */
    gint64 worked;         /* when the last round was, */
    gboolean in_vain;      /* and there was nothing to look at */
    gint64 close_due;      /* when to close unused directories; 0: none is open */
    const char *announcer; /* its state when the loop last came by, */
    guint64 backlog;       /* and what could not be announced */
    gboolean idle;
};

void sfs_watcher_wake(SfsWatcher *watcher)
{
    eventfd_write(watcher->wake, 1);
}

void sfs_watcher_drain(void *data)
{
    SfsWatcher *watcher = data;

    if (shield_dirwatch_drain(sfs_watchlist_queue(watcher->watchlist)))
        sfs_watcher_wake(watcher);
}

gboolean sfs_watcher_vouch(SfsWatcher *watcher, const SfsContainer *container)
{
    sfs_watcher_drain(watcher);
    return shield_bundle_is_watched(container->bundle);
}

void sfs_watcher_refresh(SfsWatcher *watcher)
{
    sfs_watchlist_mark_everything(watcher->watchlist);
    sfs_watcher_wake(watcher);
}

void sfs_watcher_recheck(SfsWatcher *watcher, SfsNode *node)
{
    if (!sfs_marks_node(watcher->marks, node))
        return;
    sfs_trace_node(node, "somebody saw what watchers were not told: marked");
    sfs_watcher_wake(watcher);
}

void sfs_watcher_degraded(SfsWatcher *watcher, GPtrArray *lines)
{
    sfs_watchlist_degraded(watcher->watchlist, lines);
}

void sfs_watcher_tell(SfsWatcher *watcher, SfsOpenMetrics *out)
{
    sfs_watchlist_tell(watcher->watchlist, out);
    sfs_outbox_tell(watcher->outbox, sfs_marks_joined(watcher->marks), out);
}

/* The status file is put together by a job, of what is known; what has changed in bundles, other jobs look
 * into, and then it is put together once more. That may take a tenth of a thread's time at most. */
static void have_status(SfsWatcher *watcher)
{
    watcher->status_due = 0;
    sfs_upkeep_status(watcher->upkeep);
}

/* It has been. */
static void look_at_status(SfsWatcher *watcher)
{
    SfsTree *tree = sfs_view_tree(watcher->view);
    g_autoptr(SfsNode) status = sfs_view_status_node(watcher->view);
    SfsState announced_state = sfs_tree_announced_state(tree, status), now = {0};

    if (!sfs_tree_is_shown(tree, status))
        sfs_outbox_assume(watcher->outbox, status); /* nobody has seen another */
    else if (sfs_attributes_current_state(watcher->view, status, &now) == SFS_CLEAR &&
             now.serial != announced_state.serial)
        sfs_outbox_recheck(watcher->outbox, status, FALSE);
    watcher->changed(watcher->changed_data); /* there may be pollers of it */
}

/* Works off what there is. TRUE: there is more. */
static gboolean work_off(SfsWatcher *watcher)
{
    gboolean more, news = sfs_looks_work_off(&watcher->looks, &more);
    gint64 status_took = 0;

    watcher->in_vain = !news;
    if (news)
        watcher->changed(watcher->changed_data);
    news |= sfs_looks_take_done(&watcher->looks, &status_took);
    if (status_took) {
        watcher->status_cost = status_took;
        look_at_status(watcher);
    }
    if (!watcher->begun && !sfs_looks_is_starting(&watcher->looks)) {
        watcher->begun = news = TRUE;
        sfs_findings_set_begun(sfs_view_findings(watcher->view), TRUE);
    }
    if (news && !watcher->status_due)
        watcher->status_due = g_get_monotonic_time() + MAX(STATUS_USEC, 10 * watcher->status_cost);
    return more;
}

/* How long until the first of those that are not 0; NULL: for ever. */
static const struct timespec *until_first(const gint64 *dues, gsize n, struct timespec *out)
{
    gint64 first = 0, left;

    for (gsize i = 0; i < n; i++) {
        if (dues[i] > 0 && (!first || dues[i] < first))
            first = dues[i];
    }
    if (!first)
        return NULL;
    left = MAX(first - g_get_monotonic_time(), 0);
    *out = (struct timespec){left / G_USEC_PER_SEC, left % G_USEC_PER_SEC * 1000};
    return out;
}

/* Events come in groups, as of one who opens, writes and closes: they wait a moment for each other. Those
 * that lead to nothing again and again wait longer. */
static void rest(SfsWatcher *watcher)
{
    gint64 now = g_get_monotonic_time();
    gboolean in_vain = watcher->in_vain && now - watcher->worked < 2 * VAIN_USEC;

    watcher->rest_until = now + (in_vain ? VAIN_USEC : GROUP_USEC);
}

/* Waits until there is something to do. more: there is, at once. TRUE: so there is for marks. */
static gboolean wait_for_work(SfsWatcher *watcher, gint64 announce_due, gboolean more)
{
    const SfsLooks *looks = &watcher->looks;
    int events = shield_dirwatch_descriptor(sfs_watchlist_queue(watcher->watchlist));
    struct pollfd fds[] = {{.fd = watcher->wake, .events = POLLIN},
                           {.fd = watcher->rest_until ? -1 : events, .events = POLLIN},
                           {.fd = sfs_outbox_socket(watcher->outbox), .events = POLLIN},
                           {.fd = sfs_watchlist_mounts(watcher->watchlist), .events = POLLPRI}};
    const gint64 dues[] = {announce_due,        looks->recheck_due, looks->places_due,  looks->unread_due,
                           watcher->status_due, watcher->close_due, watcher->rest_until};
    struct timespec timeout = {0};
    eventfd_t ignored;

    if (ppoll(fds, G_N_ELEMENTS(fds), more ? &timeout : until_first(dues, G_N_ELEMENTS(dues), &timeout),
              NULL) < 0)
        return FALSE; /* EINTR */
    if (fds[0].revents)
        (void)eventfd_read(watcher->wake, &ignored);
    if (fds[3].revents)
        sfs_watchlist_look_at_mounts(watcher->watchlist);
    if (fds[1].revents)
        rest(watcher);
    return more || fds[0].revents || fds[3].revents || g_get_monotonic_time() >= watcher->rest_until;
}

/* The status file tells of the announcer too. */
static void note_announcer(SfsWatcher *watcher)
{
    const char *state = sfs_outbox_state(watcher->outbox);
    guint64 backlog = sfs_outbox_degraded(watcher->outbox, NULL);

    if ((state != watcher->announcer || backlog != watcher->backlog) && !watcher->status_due)
        watcher->status_due = g_get_monotonic_time();
    watcher->announcer = state;
    watcher->backlog = backlog;
}

/* For who reads the log: from here on nothing is announced until something changes. */
static void note_idle(SfsWatcher *watcher)
{
    gboolean idle = watcher->announcer && strcmp(watcher->announcer, "ok") == 0 && !watcher->status_due &&
                    sfs_outbox_is_idle(watcher->outbox) && sfs_upkeep_is_idle(watcher->upkeep);

    if (idle && !watcher->idle)
        g_debug("all is announced, %u nodes are kept in mind", sfs_outbox_count(watcher->outbox));
    watcher->idle = idle;
}

/* One round: takes the events there are, and works off what they, or others, have marked. TRUE: there is
 * more. */
static gboolean work_round(SfsWatcher *watcher)
{
    gboolean more;

    watcher->rest_until = 0;
    if (shield_fault(SHIELD_FAULT_DRAIN))
        g_usleep(STATUS_USEC); /* else it would be nearly as good as an open's own drain */
    if (shield_fault(SHIELD_FAULT_LATE))
        g_usleep(STATUS_USEC);
    (void)shield_dirwatch_drain(sfs_watchlist_queue(watcher->watchlist));
    watcher->close_due = sfs_view_close_unused(watcher->view);
    watcher->worked = g_get_monotonic_time();
    if (watcher->looks.recheck_due && watcher->worked >= watcher->looks.recheck_due)
        sfs_watchlist_mark_unwatched(watcher->watchlist);
    more = work_off(watcher);
    note_announcer(watcher);
    if (watcher->status_due && watcher->worked >= watcher->status_due)
        have_status(watcher);
    return more;
}

static void *work(void *data)
{
    SfsWatcher *watcher = data;
    gboolean more = FALSE;

    prctl(PR_SET_TIMERSLACK, 1); /* nanoseconds; else short waits take twice as long */

    while (!g_atomic_int_get(&watcher->stop)) {
        gint64 announce_due;

        sfs_outbox_answered(watcher->outbox);
        note_announcer(watcher); /* a new one has said its first word */
        announce_due = sfs_outbox_work(watcher->outbox);
        note_idle(watcher);
        if (wait_for_work(watcher, announce_due, more))
            more = work_round(watcher);
    }
    return NULL;
}

/* As if an event had told that the writer of one of the row's lists is done. */
static void note_written(void *data, SfsContainer *container, const ShieldComputed *row)
{
    SfsWatcher *watcher = data;
    gboolean news = FALSE;

    for (guint i = 0; i < row->n_sources; i++)
        news |= sfs_marks_name(watcher->marks, container, FALSE, shield_layout_name(row->sources[i]),
                               IN_CLOSE_WRITE);
    if (news)
        sfs_watcher_wake(watcher);
}

static void note_cold(void *data, SfsNode *node)
{
    SfsWatcher *watcher = data;

    if (node->kind == SFS_STATUS)
        sfs_upkeep_status(watcher->upkeep);
    else
        sfs_upkeep_rows(watcher->upkeep, node->container, sfs_upkeep_row(node->computed));
}

static void note_done(void *data)
{
    const SfsWatcher *watcher = data;

    if (watcher->told)
        watcher->told(watcher->told_data);
    sfs_watcher_wake(data);
}

static void kept(void *data)
{
    sfs_watcher_wake(data);
}

SfsWatcher *sfs_watcher_new(SfsView *view, SfsOutbox *outbox, guint poll_sec)
{
    SfsWatcher *watcher = g_new0(SfsWatcher, 1);

    watcher->view = view;
    watcher->outbox = outbox;
    watcher->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    watcher->marks = sfs_marks_new();
    watcher->watchlist = sfs_watchlist_new(view, watcher->marks, poll_sec);
    if (!watcher->watchlist || watcher->wake < 0) {
        g_message("inotify: %s: raise fs.inotify.max_user_instances", g_strerror(errno));
        sfs_watcher_free(watcher);
        return NULL;
    }

    watcher->upkeep = sfs_upkeep_new(view);
    sfs_upkeep_set_calls(watcher->upkeep, &(SfsUpkeepCalls){note_done, note_written, watcher});
    watcher->looks = (SfsLooks){.view = view,
                                .outbox = outbox,
                                .marks = watcher->marks,
                                .watchlist = watcher->watchlist,
                                .upkeep = watcher->upkeep,
                                .poll_sec = poll_sec};
    sfs_outbox_set_cold(outbox, note_cold, watcher);
    sfs_view_set_drain(view, sfs_watcher_drain, watcher);
    sfs_view_set_kept(view, kept, watcher);

    sfs_looks_start(&watcher->looks);
    return watcher;
}

void sfs_watcher_set_wake(SfsWatcher *watcher, void (*wake)(void *data), void *data)
{
    watcher->changed = wake;
    watcher->changed_data = data;
}

void sfs_watcher_set_told(SfsWatcher *watcher, void (*told)(void *data), void *data)
{
    watcher->told = told;
    watcher->told_data = data;
}

void sfs_watcher_set_written(SfsWatcher *watcher, SfsWrittenFunc func, void *data)
{
    sfs_watchlist_set_written(watcher->watchlist, func, data);
}

gboolean sfs_watcher_start(SfsWatcher *watcher, GError **error)
{
    watcher->thread = g_thread_try_new("watcher", work, watcher, error);
    return watcher->thread != NULL;
}

void sfs_watcher_stop(SfsWatcher *watcher)
{
    g_atomic_int_set(&watcher->stop, TRUE);
    sfs_watcher_wake(watcher);
    if (watcher->thread)
        g_thread_join(g_steal_pointer(&watcher->thread));
}

void sfs_watcher_free(SfsWatcher *watcher)
{
    if (watcher->watchlist)
        sfs_watchlist_free(watcher->watchlist);
    sfs_looks_clear(&watcher->looks);
    if (watcher->upkeep)
        sfs_upkeep_free(watcher->upkeep);
    sfs_marks_free(watcher->marks);
    shield_fd_close(watcher->wake);
    g_free(watcher);
}
