/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the text of metrics. test_metrics.py has it read by others. */
#include <string.h>

#include "unit.h"
#include "view/openmetrics.h"

static void test_samples(void)
{
    SfsOpenMetrics *metrics = sfs_openmetrics_new();

    sfs_openmetrics_single(metrics, SFS_GAUGE, "a_bytes", "bytes", "Bytes.", 7);
    sfs_openmetrics_family(metrics, SFS_COUNTER, "b", NULL, "Bees.");
    sfs_openmetrics_number(metrics, "kind", "queen", 1);
    sfs_openmetrics_seconds(metrics, "kind", "other", 61000002);

    g_autoptr(GBytes) text = sfs_openmetrics_end(metrics);
    const char want[] = "# TYPE a_bytes gauge\n# UNIT a_bytes bytes\n# HELP a_bytes Bytes.\na_bytes 7\n"
                        "# TYPE b counter\n# HELP b Bees.\nb_total{kind=\"queen\"} 1\n"
                        "b_total{kind=\"other\"} 61.000002\n# EOF\n";
    g_assert_cmpmem(g_bytes_get_data(text, NULL), g_bytes_get_size(text), want, strlen(want));
}

/* A time that is a bound is up to it. One that the clock made less than nothing adds nothing to the sum. */
static void test_histogram(void)
{
    static const gint64 times[] = {-5, 0, 10, 11, 2500000, 2500001, G_USEC_PER_SEC * 3600LL};
    static const char *const want[] = {
        "h_bucket{of=\"x\",le=\"1e-05\"} 3\n", "h_bucket{of=\"x\",le=\"5e-05\"} 4\n",
        "h_bucket{of=\"x\",le=\"0.5\"} 4\n",   "h_bucket{of=\"x\",le=\"2.5\"} 5\n",
        "h_bucket{of=\"x\",le=\"+Inf\"} 7\n",  "h_count{of=\"x\"} 7\n",
        "h_sum{of=\"x\"} 3605.000022\n"};
    SfsOpenMetrics *metrics = sfs_openmetrics_new();
    SfsHistogram histogram = {0};

    for (gsize i = 0; i < G_N_ELEMENTS(times); i++)
        sfs_histogram_add(&histogram, times[i]);
    sfs_openmetrics_family(metrics, SFS_HISTOGRAM, "h", NULL, "Times.");
    sfs_openmetrics_histogram(metrics, "of", "x", &histogram);

    g_autoptr(GBytes) bytes = sfs_openmetrics_end(metrics);
    g_autofree char *text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    for (gsize i = 0; i < G_N_ELEMENTS(want); i++)
        g_assert_nonnull(strstr(text, want[i]));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/openmetrics/samples", test_samples);
    g_test_add_func("/openmetrics/histogram", test_histogram);
    return g_test_run();
}
