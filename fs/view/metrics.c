/* SPDX-License-Identifier: Apache-2.0 */
/* metrics: what the view itself has to tell, and who adds the rest; see metrics.h. */
#include "view/metrics.h"

#include <sys/resource.h>

#include "config.h"
#include "view/findings.h"
#include "view/jobs.h"

struct SfsMetrics {
    SfsView *view;
    ShieldBudget *budget;
    SfsMetricsFunc provider; /* NULL: there is none yet */
    void *data;
};

SfsMetrics *sfs_metrics_new(SfsView *view, ShieldBudget *budget)
{
    SfsMetrics *metrics = g_new0(SfsMetrics, 1);

    metrics->view = view;
    metrics->budget = budget;
    return metrics;
}

void sfs_metrics_free(SfsMetrics *metrics)
{
    g_free(metrics);
}

void sfs_metrics_set_provider(SfsMetrics *metrics, SfsMetricsFunc func, void *data)
{
    metrics->provider = func;
    metrics->data = data;
}

static void tell_program(const SfsMetrics *metrics, SfsOpenMetrics *out)
{
    struct timespec started = sfs_view_started(metrics->view);

    sfs_openmetrics_family(out, SFS_GAUGE, "shieldfs_build_info", NULL, "The version that runs; always 1.");
    sfs_openmetrics_number(out, "version", SHIELDFS_VERSION, 1);
    sfs_openmetrics_family(out, SFS_GAUGE, "shieldfs_start_time_seconds", "seconds",
                           "When it was mounted, since 1970.");
    sfs_openmetrics_seconds(out, NULL, NULL, started.tv_sec * G_USEC_PER_SEC + started.tv_nsec / 1000);
}

static void tell_view(const SfsMetrics *metrics, SfsOpenMetrics *out)
{
    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_containers", NULL, "Containers in the view.",
                           sfs_tree_count_containers(sfs_view_tree(metrics->view)));
    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_inodes", NULL, "Inodes that the kernel holds.",
                           sfs_tree_count_looked_up(sfs_view_tree(metrics->view)));
    sfs_findings_tell(sfs_view_findings(metrics->view), out);
}

static void tell_cache(const SfsMetrics *metrics, SfsOpenMetrics *out)
{
    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_cache_bytes", "bytes",
                           "Kept of lists and computed files, with those that are open.",
                           shield_budget_used(metrics->budget));
    sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_cache_limit_bytes", "bytes", "The option cache.",
                           shield_budget_max(metrics->budget));
    sfs_openmetrics_single(out, SFS_COUNTER, "shieldfs_cache_evictions", NULL,
                           "How often what is kept of a container was dropped for another.",
                           shield_budget_evictions(metrics->budget));
}

/* How many descriptors the server has open; FALSE: there is no /proc to ask. */
static gboolean count_descriptors(guint *n)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);

    if (!dir)
        return FALSE;
    for (*n = 0; g_dir_read_name(dir); (*n)++)
        ;
    (*n)--; /* dir's own */
    return TRUE;
}

static void tell_descriptors(SfsOpenMetrics *out)
{
    struct rlimit limit;
    guint n;

    if (count_descriptors(&n))
        sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_descriptors", NULL,
                               "Descriptors that the server has open.", n);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        sfs_openmetrics_single(out, SFS_GAUGE, "shieldfs_descriptors_limit", NULL,
                               "How many it may have open.", limit.rlim_cur);
}

GBytes *sfs_metrics_text(SfsMetrics *metrics)
{
    SfsOpenMetrics *out = sfs_openmetrics_new();

    tell_program(metrics, out);
    tell_view(metrics, out);
    tell_cache(metrics, out);
    tell_descriptors(out);
    sfs_jobs_tell(sfs_view_jobs(metrics->view), out);
    if (metrics->provider)
        metrics->provider(metrics->data, out);
    return sfs_openmetrics_end(out);
}
