/* SPDX-License-Identifier: Apache-2.0 */
/* times: times that grow with each change; see times.h. */
#include "times.h"

#include "open.h"

void shield_times_stamp(ShieldTimes *times, ShieldSnapshot *snapshot, struct timespec latest)
{
    const ShieldSnapshot *last = times->last;
    gboolean news = !last || !shield_snapshot_equal(last, snapshot);

    if (last && news)
        times->floor = shield_time_next(times->highest);
    snapshot->serial = (last ? last->serial : 0) + (news ? 1 : 0);
    snapshot->mtime = shield_time_before(latest, times->floor) ? times->floor : latest;
    if (!last || shield_time_before(times->highest, snapshot->mtime))
        times->highest = snapshot->mtime;
}

struct timespec shield_latest_time(int dirfd, ShieldReading *const *readings, guint n)
{
    struct timespec latest = {0, 0};
    gboolean any = FALSE;

    for (guint i = 0; i < n; i++) {
        const ShieldReading *reading = readings[i];
        struct timespec mtime = shield_stamp_mtime(&reading->stamp);

        if (!S_ISREG(reading->stamp.mode) && !S_ISLNK(reading->stamp.mode))
            continue;
        if (!any || shield_time_before(latest, mtime))
            latest = mtime;
        any = TRUE;
    }

    struct stat st;
    if (!any && dirfd >= 0 && fstat(dirfd, &st) == 0)
        return st.st_mtim;
    return latest;
}
