/* SPDX-License-Identifier: Apache-2.0 */
/* tally: the outbox in numbers, for whoever asks; see outbox.h. */
#include "events/asking.h"
#include "events/outbox.h"

static void tell_announced(SfsOutbox *outbox, SfsOpenMetrics *out)
{
    static const char *const labels[SFS_N_ANNOUNCER_OPS] = {
        [SFS_ANNOUNCER_MODIFY] = "modify",
        [SFS_ANNOUNCER_CLOSE] = "late_close",  /* what a lease held up, */
        [SFS_ANNOUNCER_TIME] = "early_modify", /* and what came before it */
        [SFS_ANNOUNCER_ATTRIB] = "attrib",
        [SFS_ANNOUNCER_CREATE] = "create",
        [SFS_ANNOUNCER_MKDIR] = "create_directory",
        [SFS_ANNOUNCER_UNLINK] = "delete",
        [SFS_ANNOUNCER_RMDIR] = "delete_directory",
    };

    sfs_openmetrics_family(out, SFS_COUNTER, "shieldfs_changes_announced", NULL,
                           "Changes that watchers were told of, by event.");
    for (int op = SFS_ANNOUNCER_MODIFY; op < SFS_N_ANNOUNCER_OPS; op++)
        sfs_openmetrics_number(out, "event", labels[op], shield_counter_get(&outbox->announced[op]));
}

static void tell_announcer(SfsOutbox *outbox, SfsOpenMetrics *out)
{
    static const char *const states[] = {"ok", "restarting", "stuck", "stopped"};
    const char *state = sfs_outbox_state(outbox);

    sfs_openmetrics_family(out, SFS_GAUGE, "shieldfs_announcer_state", NULL,
                           "1 for the state that the announcer is in.");
    for (gsize i = 0; i < G_N_ELEMENTS(states); i++)
        sfs_openmetrics_number(out, "state", states[i], g_str_equal(state, states[i]));
    sfs_openmetrics_single(out, SFS_COUNTER, "shieldfs_announcer_restarts", NULL,
                           "How often the announcer was replaced.",
                           sfs_announcer_client_restarts(outbox->client));
}

void sfs_outbox_tell(SfsOutbox *outbox, guint64 joined, SfsOpenMetrics *out)
{
    gint64 oldest = (gint64)shield_counter_get(&outbox->oldest);

    tell_announced(outbox, out);
    sfs_openmetrics_single(out, SFS_COUNTER, "shieldfs_changes_joined", NULL,
                           "Changes that were told together with one that waited to be.",
                           joined + shield_counter_get(&outbox->joined));
    sfs_openmetrics_single(out, SFS_COUNTER, "shieldfs_announcements_failed", NULL,
                           "Announcements that could not be made, or not at the first try.",
                           shield_counter_get(&outbox->failed));
    sfs_openmetrics_single(
        out, SFS_COUNTER, "shieldfs_changes_left_out", NULL,
        "Names that came and went while too many others did, and that watchers are not told of.",
        shield_counter_get(&outbox->untold));
    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_queue_length", NULL,
                           "Files and directories that are to be compared with what was told of them.",
                           shield_counter_get(&outbox->length));
    sfs_openmetrics_family(out, SFS_GAUGE, "shieldfs_queue_oldest_seconds", "seconds",
                           "For how long the oldest of them has been waiting.");
    sfs_openmetrics_seconds(out, NULL, NULL, oldest ? MAX(g_get_monotonic_time() - oldest, 0) : 0);
    tell_announcer(outbox, out);
}
