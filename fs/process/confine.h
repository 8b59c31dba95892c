/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine: what each of the three processes gives up once it has what it needs. What the kernel lacks is left
 * out and is no error; what was given up is known by the number that is returned. It must not know what the
 * view shows.
 *
 * All of this holds for the thread that gives it up and for those that it starts later, so it is to be called
 * while there is one only.
 */
#pragma once

#include <glib.h>

typedef enum { SFS_SUPERVISOR, SFS_SERVER, SFS_ANNOUNCER, SFS_N_PROCESSES } SfsProcess;

typedef struct {
    gboolean allow_other;
    int mount; /* SFS_ANNOUNCER: a descriptor of the view's root, beneath which it works; -1: it is not there
                */
    int refused; /* where a refused system call is told of: see filter.h; -1: nowhere */
} SfsConfinement;

/* For the supervisor and what it starts: no core dump is ever made. */
void sfs_confine_cores(void);

/* To be called when everything is open that takes more rights. Never 0. */
guint32 sfs_confine(SfsProcess process, const SfsConfinement *confinement);

/* What sfs_confine returned, in the words of the status file; free it. */
char *sfs_confine_text(SfsProcess process, guint32 confined);
