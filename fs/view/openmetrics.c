/* SPDX-License-Identifier: Apache-2.0 */
/* openmetrics: lines of OpenMetrics 1.0; see openmetrics.h. */
#include "view/openmetrics.h"

struct SfsOpenMetrics {
    GString *text;
    const char *name; /* of the family */
    SfsMetricType type;
};

/* A warm answer takes some ten microseconds, a writer is waited for up to a second. */
static const struct {
    gint64 usec;
    const char *text; /* the same in seconds */
} bounds[SFS_N_BOUNDS] = {
    {10, "1e-05"},    {50, "5e-05"},   {250, "0.00025"}, {1000, "0.001"},  {5000, "0.005"},
    {25000, "0.025"}, {100000, "0.1"}, {500000, "0.5"},  {2500000, "2.5"},
};

void sfs_histogram_add(SfsHistogram *histogram, gint64 usec)
{
    guint i = 0;

    while (i < SFS_N_BOUNDS && usec > bounds[i].usec)
        i++;
    shield_counter_add(&histogram->buckets[i], 1);
    shield_counter_add(&histogram->usec, (guint64)MAX(usec, 0));
}

SfsOpenMetrics *sfs_openmetrics_new(void)
{
    SfsOpenMetrics *metrics = g_new0(SfsOpenMetrics, 1);

    metrics->text = g_string_new(NULL);
    return metrics;
}

GBytes *sfs_openmetrics_end(SfsOpenMetrics *metrics)
{
    GBytes *bytes = g_string_free_to_bytes(g_string_append(metrics->text, "# EOF\n"));

    g_free(metrics);
    return bytes;
}

void sfs_openmetrics_family(SfsOpenMetrics *metrics, SfsMetricType type, const char *name, const char *unit,
                            const char *help)
{
    static const char *const types[] = {"gauge", "counter", "histogram"};

    metrics->name = name;
    metrics->type = type;
    g_string_append_printf(metrics->text, "# TYPE %s %s\n", name, types[type]);
    if (unit)
        g_string_append_printf(metrics->text, "# UNIT %s %s\n", name, unit);
    g_string_append_printf(metrics->text, "# HELP %s %s\n", name, help);
}

/* bound: a second label, of a histogram's bucket, or NULL. */
static void begin_sample(SfsOpenMetrics *metrics, const char *suffix, const char *label, const char *value,
                         const char *bound)
{
    g_string_append_printf(metrics->text, "%s%s", metrics->name, suffix);
    if (label || bound)
        g_string_append_c(metrics->text, '{');
    if (label)
        g_string_append_printf(metrics->text, "%s=\"%s\"%s", label, value, bound ? "," : "");
    if (bound)
        g_string_append_printf(metrics->text, "le=\"%s\"", bound);
    if (label || bound)
        g_string_append_c(metrics->text, '}');
}

static void end_number(SfsOpenMetrics *metrics, guint64 n)
{
    g_string_append_printf(metrics->text, " %" G_GUINT64_FORMAT "\n", n);
}

static void end_seconds(SfsOpenMetrics *metrics, gint64 usec)
{
    g_string_append_printf(metrics->text, " %" G_GINT64_FORMAT ".%06d\n", usec / G_USEC_PER_SEC,
                           (int)(usec % G_USEC_PER_SEC));
}

static const char *suffix_of(const SfsOpenMetrics *metrics)
{
    return metrics->type == SFS_COUNTER ? "_total" : "";
}

void sfs_openmetrics_number(SfsOpenMetrics *metrics, const char *label, const char *value, guint64 n)
{
    begin_sample(metrics, suffix_of(metrics), label, value, NULL);
    end_number(metrics, n);
}

void sfs_openmetrics_seconds(SfsOpenMetrics *metrics, const char *label, const char *value, gint64 usec)
{
    begin_sample(metrics, suffix_of(metrics), label, value, NULL);
    end_seconds(metrics, usec);
}

/* The count is made of the buckets, so that both agree whatever is added meanwhile. */
void sfs_openmetrics_histogram(SfsOpenMetrics *metrics, const char *label, const char *value,
                               SfsHistogram *histogram)
{
    guint64 n = 0;

    for (guint i = 0; i <= SFS_N_BOUNDS; i++) {
        n += shield_counter_get(&histogram->buckets[i]);
        begin_sample(metrics, "_bucket", label, value, i < SFS_N_BOUNDS ? bounds[i].text : "+Inf");
        end_number(metrics, n);
    }
    begin_sample(metrics, "_count", label, value, NULL);
    end_number(metrics, n);
    begin_sample(metrics, "_sum", label, value, NULL);
    end_seconds(metrics, (gint64)shield_counter_get(&histogram->usec));
}

void sfs_openmetrics_single(SfsOpenMetrics *metrics, SfsMetricType type, const char *name, const char *unit,
                            const char *help, guint64 n)
{
    sfs_openmetrics_family(metrics, type, name, unit, help);
    sfs_openmetrics_number(metrics, NULL, NULL, n);
}
