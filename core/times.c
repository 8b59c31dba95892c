/* SPDX-License-Identifier: Apache-2.0 */
/* times: times that grow with each change; see times.h. */
#include "times.h"

#include "open.h"

void shield_times_stamp(ShieldTimes *times, ShieldSnapshot *snapshot, struct timespec latest)
{
    if (!times->last || !shield_snapshot_equal(times->last, snapshot)) {
        times->serial++;
        if (times->last)
            times->floor = shield_time_next(times->highest);
    }
    snapshot->serial = times->serial;
    snapshot->mtime = shield_time_before(latest, times->floor) ? times->floor : latest;
    if (!times->last || shield_time_before(times->highest, snapshot->mtime))
        times->highest = snapshot->mtime;
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
