/* SPDX-License-Identifier: Apache-2.0 */
/*
 * findings: what there is to tell, in the status file, of sources and bundles. What was found of a bundle is
 * kept until an event tells of a change in it, or its lists are found to be others; so to collect it all
 * takes no look at the disk as long as nothing happens. It must not know what else the status file says.
 */
#pragma once

#include "view/view.h"

typedef struct SfsFindings SfsFindings;

SfsFindings *sfs_findings_new(SfsView *view);
void sfs_findings_free(SfsFindings *findings);

/* Adds an errno for each source (as ShieldScan has it) to states, and lines (char *, owned) to the others.
 * TRUE: all could be looked into. Any thread. */
gboolean sfs_findings_collect(SfsFindings *findings, GArray *states, GPtrArray *problems,
                              GPtrArray *degraded);
