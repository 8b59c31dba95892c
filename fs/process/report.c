/* SPDX-License-Identifier: Apache-2.0 */
/* report: see report.h. */
#include "process/report.h"

#include <string.h>

#include "lock.h"
#include "process/control.h"

void sfs_report_init(SfsReport *report, int control)
{
    *report = (SfsReport){.control = control};
    g_mutex_init(&report->lock);
    memset(&report->now, 0xff, sizeof report->now);
    report->sent = report->now;
}

void sfs_report_clear(SfsReport *report)
{
    g_mutex_clear(&report->lock);
}

/* Lock held. */
static void send_news(SfsReport *report)
{
    if (!report->wanted || memcmp(&report->now, &report->sent, sizeof report->now) == 0)
        return;
    report->wanted = FALSE;
    report->sent = report->now;
    sfs_control_send(report->control,
                     (SfsControlMessage){.word = SFS_CONTROL_SUMMARY, .summary = report->now}, -1);
}

void sfs_report_note(void *report, const SfsSummary *summary)
{
    SfsReport *self = report;
    SHIELD_AUTO_LOCK(&self->lock);

    self->now = *summary;
    send_news(self);
}

void sfs_report_want(SfsReport *report)
{
    SHIELD_AUTO_LOCK(&report->lock);

    report->wanted = TRUE;
    send_news(report);
}
