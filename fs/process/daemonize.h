/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemonize: into the background, and back to the shell only when the mount answers. It must not know the
 * view.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Forks. In the child returns a descriptor for sfs_daemonize_ready; the parent stays here until the child is
 * ready and mountpoint answers, and exits with 0, or with 1 if either fails. To be called before there are
 * threads. -1 with error if there can be no child. */
int sfs_daemonize(const char *mountpoint, GError **error);

/* Can the file be opened that is in every view? Until there is an answer it waits. What is wrong is logged.
 */
gboolean sfs_daemonize_answers(const char *mountpoint);

/* Tells the waiting parent that the mount is there; FALSE if it is gone. ready: from sfs_daemonize; it is
 * closed. */
gboolean sfs_daemonize_ready(int ready);

/* What sfs_daemonize_detach takes, opened while files may be opened for writing; -1: not to be had. */
int sfs_daemonize_open(void);

/* Leaves the session, in which nothing is read or written any more; the log goes to the system's, as
 * the supervisor's. To be called before there are threads, and when the mount is there: an automounter knows
 * by the process group who mounts for it, and lets all others wait until that is done. */
void sfs_daemonize_detach(pid_t supervisor, int null);
