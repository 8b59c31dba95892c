/* SPDX-License-Identifier: Apache-2.0 */
/*
 * findings: what there is to tell, in the status file, of sources and bundles. What was found of a bundle is
 * kept until something changes in it; then a job looks again. So to collect it all takes no look at a bundle.
 * It must not know what else the status file says, nor whose thread it is on.
 */
#pragma once

#include "view/openmetrics.h"
#include "view/view.h"

SfsFindings *sfs_findings_new(SfsView *view);
void sfs_findings_free(SfsFindings *findings);

/* Something may have changed in the container's bundle. Any thread, under any lock but the
 * tree's. */
void sfs_findings_touch(SfsFindings *findings, SfsContainer *container);

/* For a job of the bundle. Its lists may be found to be others without an event: TRUE if they have been since
 * this was called last; then something has changed. */
gboolean sfs_findings_check(SfsFindings *findings, SfsContainer *container);

/* For a job of the bundle: finds what there is to tell of it, if something has changed in it and that was
 * asked for, or with unasked anyway. TRUE: there is something else to tell. */
gboolean sfs_findings_inspect(SfsFindings *findings, SfsContainer *container, gboolean unasked);

/* The container is gone: there is nothing to tell of it. */
void sfs_findings_forget(SfsFindings *findings, SfsContainer *container);

/* All that has changed by now: sees to the jobs that look into it. What to give to is_done, which is TRUE
 * when they have. Any thread. */
guint64 sfs_findings_ask(SfsFindings *findings);
gboolean sfs_findings_is_done(SfsFindings *findings, guint64 asked);

/* Are all bundles known by now? Until they are, nobody need wait for them. */
void sfs_findings_set_begun(SfsFindings *findings, gboolean begun);

/* Adds an errno for each source (as ShieldScan has it) to states, and lines (char *, owned) to the others.
 * TRUE: all could be looked into. Any thread. */
gboolean sfs_findings_collect(SfsFindings *findings, GArray *states, GPtrArray *problems,
                              GPtrArray *degraded);

/* How much of that is known by now, by kind. Nothing is asked, and nobody waited for. Any thread. */
void sfs_findings_tell(SfsFindings *findings, SfsOpenMetrics *out);
