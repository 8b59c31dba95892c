/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: the command line of shieldfs, as every mount helper has it: one table, the words of fstab, usage
 * and version. It must not touch the mount point or the sources.
 */
#pragma once

#include <glib.h>

#include "reading.h"

typedef struct {
    char **sources;      /* as given, or the default ones */
    char *mountpoint;    /* as given */
    char *fsname;        /* what mount(8) shows as the device: the SOURCE as given, or what -o fsname= says */
    char *labels;        /* SELinux's words for the mount, as an option list; may be empty */
    ShieldPolicy policy; /* without a budget: that is the server's */
    gsize cache;         /* the budget's limit, bytes */
    guint poll_sec;      /* between two looks at what makes no events */
    GLogLevelFlags log_level; /* the least severe that the log has; -d, and loglevel=debug: all */
    gboolean foreground;
    gboolean single_threaded;
    gboolean nonempty;
    gboolean allow_other;
} SfsOptions;

typedef enum { SFS_OPTIONS_RUN, SFS_OPTIONS_DONE, SFS_OPTIONS_WRONG } SfsOptionsResult;

/* Fills options. DONE: help or version was printed. WRONG: the error line was printed. */
SfsOptionsResult sfs_options_parse(SfsOptions *options, int argc, char **argv);
void sfs_options_clear(SfsOptions *options);

/* What fuse_session_new wants after the program's name to mount at mountpoint, in the form "-o" "a,b,c": an
 * array of two strings. */
char **sfs_options_mount_args(const SfsOptions *options, const char *mountpoint);
