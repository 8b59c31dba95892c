/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: where GLib's messages go. In the foreground to standard error, as "shieldfs: TEXT"; if that is the
 * journal's, to the journal itself, with fields. In the background to the journal; where there is none to
 * syslog; where there is neither, and standard error was a file, to that.
 *
 * Whoever has something to say uses g_message for what is wrong, g_warning for what ends the service, g_info
 * for what went well, g_debug for what only loglevel=debug shows; all with untrusted bytes escaped. Who has
 * fields for it (SFS_LOG_FIELD in system_log.h) uses g_log_structured.
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

/* For the journal; escaped, it stays the caller's. Before there are threads. */
void sfs_log_set_place(const char *mountpoint);

/* From now on what is less severe is left out. (For G_LOG_LEVEL_DEBUG there is g_log_set_debug_enabled, too.)
 * What happens at the start, before there is a mount, is always told. */
void sfs_log_set_least(GLogLevelFlags level);

/* How many lines of this process were dropped. Any thread. */
guint sfs_log_dropped(void);

/* From now on to the system's log, as lines of the process pid: standard error is about to be closed. */
void sfs_log_to_system(pid_t pid);
