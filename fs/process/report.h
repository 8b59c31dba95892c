/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report: the server's part in telling how the service is. Of what the status file says the supervisor is
 * sent one word at a time, and the next when it asks for it. So nobody here ever waits for it, however often
 * that changes. It must not know who is told in the end.
 */
#pragma once

#include "view/status.h"

typedef struct {
    GMutex lock;          /* protects the rest */
    SfsSummary now, sent; /* what can't be: there is none yet */
    gboolean wanted;
    int control;
} SfsReport;

/* control: stays the caller's. */
void sfs_report_init(SfsReport *report, int control);
void sfs_report_clear(SfsReport *report);

/* An SfsSummaryFunc. */
void sfs_report_note(void *report, const SfsSummary *summary);

/* The supervisor asks: it is sent the summary once that is other than the last that it was sent. */
void sfs_report_want(SfsReport *report);
