/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: the file .shieldfs/metrics. Each part counts what it does, and has a function that writes its
 * families; here they become one text. To put it together is to look at no file of a source, and wakes
 * nobody, so that it can be had when a source hangs. It must not know who provides, nor FUSE.
 */
#pragma once

#include "budget.h"
#include "view/openmetrics.h"
#include "view/view.h"

/* budget: the session's. */
SfsMetrics *sfs_metrics_new(SfsView *view, ShieldBudget *budget);
void sfs_metrics_free(SfsMetrics *metrics);

/* Who writes what the parts above have counted; before there is more than one thread. */
typedef void (*SfsMetricsFunc)(void *data, SfsOpenMetrics *out);
void sfs_metrics_set_provider(SfsMetrics *metrics, SfsMetricsFunc func, void *data);

/* The text as of now; a new reference. Any thread. */
GBytes *sfs_metrics_text(SfsMetrics *metrics);
