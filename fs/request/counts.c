/* SPDX-License-Identifier: Apache-2.0 */
/* counts: a histogram for each kind of request; see counts.h. */
#include "request/counts.h"

static const char *const labels[SFS_N_OPS] = {
    [SFS_OP_LOOKUP] = "lookup",   [SFS_OP_FORGET] = "forget",   [SFS_OP_GETATTR] = "getattr",
    [SFS_OP_ACCESS] = "access",   [SFS_OP_OPEN] = "open",       [SFS_OP_READ] = "read",
    [SFS_OP_POLL] = "poll",       [SFS_OP_RELEASE] = "release", [SFS_OP_OPENDIR] = "opendir",
    [SFS_OP_READDIR] = "readdir", [SFS_OP_STATFS] = "statfs",   [SFS_OP_RELEASEDIR] = "releasedir",
    [SFS_OP_CHANGE] = "change",
};

void sfs_counts_add(SfsCounts *counts, SfsOp op, gint64 usec)
{
    sfs_histogram_add(&counts->times[op], usec);
}

void sfs_counts_tell(SfsCounts *counts, SfsOpenMetrics *out)
{
    sfs_openmetrics_family(out, SFS_HISTOGRAM, "shieldfs_request_duration_seconds", "seconds",
                           "Requests of the kernel that were answered, by kind, and how long each took.");
    for (int op = 0; op < SFS_N_OPS; op++)
        sfs_openmetrics_histogram(out, "request", labels[op], &counts->times[op]);
}
