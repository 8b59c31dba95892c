/* SPDX-License-Identifier: Apache-2.0 */
/* shown: times that grow with each change; see shown.h. */
#include "shown.h"

#include "open.h"

void shield_shown_stamp(ShieldShown *shown, ShieldSnapshot *snapshot, struct timespec latest)
{
    if (!shown->last || !shield_snapshot_equal(shown->last, snapshot)) {
        shown->serial++;
        if (shown->last)
            shown->floor = shield_time_next(shown->highest);
    }
    snapshot->serial = shown->serial;
    snapshot->mtime = shield_time_before(latest, shown->floor) ? shown->floor : latest;
    if (!shown->last || shield_time_before(shown->highest, snapshot->mtime))
        shown->highest = snapshot->mtime;
}

struct timespec shield_latest_time(int dirfd, GPtrArray *readings)
{
    struct timespec latest = {0, 0};
    gboolean any = FALSE;

    for (guint i = 0; i < readings->len; i++) {
        const ShieldReading *reading = g_ptr_array_index(readings, i);

        if (!S_ISREG(reading->st.st_mode) && !S_ISLNK(reading->st.st_mode))
            continue;
        if (!any || shield_time_before(latest, reading->st.st_mtim))
            latest = reading->st.st_mtim;
        any = TRUE;
    }

    struct stat st;
    if (!any && dirfd >= 0 && fstat(dirfd, &st) == 0)
        return st.st_mtim;
    return latest;
}

gboolean shield_same_readings(GPtrArray *a, GPtrArray *b)
{
    for (guint i = 0; i < a->len; i++) {
        if (g_ptr_array_index(a, i) != g_ptr_array_index(b, i))
            return FALSE;
    }
    return TRUE;
}
