/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals: which signals mean what to which of the processes. All that would end a process go to the
 * supervisor alone, whether they were sent to it or to the whole group, as a terminal and a control group
 * send them. It must not know what they ask for.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Undoes what was inherited, and what could end or stop us for writing somewhere. The first thing that main
 * does. */
void sfs_signals_start(void);

/* For the supervisor: from now on every signal that would end a process waits to be read from the signalfd
 * that is returned, SIGCHLD and SIGHUP too. -1 with errno. */
int sfs_signals_take(void);

/* The next one; 0: none that means anything, as that of a write of our own: SIGPIPE, SIGXFSZ. */
int sfs_signals_next(int signals);

/* For its children, before anything else: they leave to the supervisor what was sent by somebody. */
void sfs_signals_leave(void);
