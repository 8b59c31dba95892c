/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch: into the background, and back to the shell only when the mount answers. It must not know the view.
 */
#pragma once

#include <glib.h>

/* Forks. In the child returns a descriptor for sfs_launch_ready; the parent stays here until the child is
 * ready and mountpoint answers, and exits with 0, or with 1 if either fails. To be called before there are
 * threads. -1 with error if there can be no child. */
int sfs_launch(const char *mountpoint, GError **error);

/* Tells the waiting parent that the mount is there. ready: from sfs_launch; it is closed. */
void sfs_launch_ready(int ready);

/* Lets go of the terminal: nothing is read or written there any more, the log goes to syslog. Before there
 * are threads. */
void sfs_launch_detach(void);
