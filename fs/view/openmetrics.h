/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openmetrics: the text format of metrics, and the histogram that counts times. Whoever counts something
 * writes families of his own with it. It must not know what any of them means.
 *
 * Names, units, help and labels are constants of the program, in which there is nothing to escape: nothing
 * that was read anywhere gets into the text but numbers.
 */
#pragma once

#include "counter.h"

#define SFS_N_BOUNDS 9

/* How long something took: so many up to each bound, and beyond the last. */
typedef struct {
    ShieldCounter buckets[SFS_N_BOUNDS + 1];
    ShieldCounter usec; /* the sum */
} SfsHistogram;

/* One more took so many microseconds. Any thread. */
void sfs_histogram_add(SfsHistogram *histogram, gint64 usec);

/* A text that is being written. */
typedef struct SfsOpenMetrics SfsOpenMetrics;

SfsOpenMetrics *sfs_openmetrics_new(void);
GBytes *sfs_openmetrics_end(SfsOpenMetrics *metrics); /* the whole text; frees metrics */

typedef enum { SFS_GAUGE, SFS_COUNTER, SFS_HISTOGRAM } SfsMetricType;

/* What the next samples are of. name: ends in _UNIT; a counter's without _total. unit: NULL if there is none.
 */
void sfs_openmetrics_family(SfsOpenMetrics *metrics, SfsMetricType type, const char *name, const char *unit,
                            const char *help);

/* Samples of it; label: NULL, or the name of one that has this value. */
void sfs_openmetrics_number(SfsOpenMetrics *metrics, const char *label, const char *value, guint64 n);
void sfs_openmetrics_seconds(SfsOpenMetrics *metrics, const char *label, const char *value, gint64 usec);
void sfs_openmetrics_histogram(SfsOpenMetrics *metrics, const char *label, const char *value,
                               SfsHistogram *histogram);

/* A family with one sample, which is a number without a label. */
void sfs_openmetrics_single(SfsOpenMetrics *metrics, SfsMetricType type, const char *name, const char *unit,
                            const char *help, guint64 n);
