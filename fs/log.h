/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: where GLib's messages go: "shieldfs: TEXT" on standard error in the foreground, syslog else. Whoever
 * has something to say uses g_message (g_warning for what ends the service, g_debug for what only -d shows),
 * with untrusted bytes escaped.
 *
 * Nobody ever waits in it. A line that can't be taken at once, as its reader is stuck or has gone, is dropped
 * and counted; before the next one that is taken stands how many were lost.
 */
#pragma once

#include <fuse_log.h>
#include <glib.h>
#include <sys/types.h>

/* To be called once, before there are threads. */
void sfs_log_start(void);

/* For fuse_set_log_func: what libfuse has to say is a message like others. */
void sfs_log_libfuse(enum fuse_log_level level, const char *format, va_list args) G_GNUC_PRINTF(2, 0);

/* How many lines of this process were dropped. Any thread. */
guint sfs_log_dropped(void);

/* From now on to syslog, as lines of the process pid: standard error is about to be closed. Before there are
 * threads. */
void sfs_log_to_syslog(pid_t pid);
