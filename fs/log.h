/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: where GLib's messages go: "shieldfs: TEXT" on standard error in the foreground, syslog else. Whoever
 * has something to say uses g_message (and g_debug for what only -d shows), with untrusted bytes escaped.
 */
#pragma once

#include <fuse_log.h>
#include <glib.h>

/* To be called once, before there are threads. */
void sfs_log_start(void);

/* For fuse_set_log_func: what libfuse has to say is a message like others. */
void sfs_log_libfuse(enum fuse_log_level level, const char *format, va_list args) G_GNUC_PRINTF(2, 0);

/* From now on to syslog: standard error is about to be closed. Before there are threads. */
void sfs_log_to_syslog(void);
