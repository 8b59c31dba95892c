/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the files of .shieldfs: their texts, and for the status file the time and the serial number that
 * tell one text from the next. Both are functions of what is on disk and of what the providers say; reading
 * them changes nothing. Their line format is an interface. It must not know who provides.
 */
#pragma once

#include "view/view.h"

GBytes *sfs_status_version(void);

/* supervisor: the pid that is told. The text of the start has the time of the start. */
SfsStatus *sfs_status_new(SfsView *view, pid_t supervisor);
void sfs_status_free(SfsStatus *status);

/* Asked for the announcer's state, and for lines on what makes no events; before there is more than one
 * thread. */
typedef const char *(*SfsAnnouncerStateFunc)(void *data);
typedef void (*SfsDegradedFunc)(void *data, GPtrArray *lines);
void sfs_status_set_providers(SfsStatus *status, SfsAnnouncerStateFunc announcer, SfsDegradedFunc degraded,
                              void *data);

/* Asked for a line for each process, in their order; likewise. */
void sfs_status_set_confined(SfsStatus *status, SfsDegradedFunc confined, void *data);

/* The status file in numbers. */
typedef struct {
    guint complete;                       /* it says so */
    guint waiting;                        /* no source is there */
    guint containers, problems, degraded; /* so many are shown; so many lines there are */
} SfsSummary;

/* Called with the summary of each text that is put together, in their order, on whatever thread that is done,
 * under a lock: it must not wait. Set before there is more than one thread. */
typedef void (*SfsSummaryFunc)(void *data, const SfsSummary *summary);
void sfs_status_set_summary_func(SfsStatus *status, SfsSummaryFunc func, void *data);

/* Of bundles it says what is known (findings.h tells how to wait for more). A new reference, and the text's
 * serial number. */
GBytes *sfs_status_text(SfsStatus *status, guint64 *serial);

/* The time to show for the status file as it is now: it grows with every change. size: of its text. */
struct timespec sfs_status_time(SfsStatus *status, gsize *size);

/* The same of the text that was put together last, and its serial number, 0 if none was; nothing is now. */
struct timespec sfs_status_last(SfsStatus *status, gsize *size, guint64 *serial);
