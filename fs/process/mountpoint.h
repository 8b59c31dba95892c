/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint: what must be right before a mount is tried, so that a person is told in one line what is wrong.
 * It must not know the view.
 */
#pragma once

#include <glib.h>

#include "options.h"

/* Where the view goes: the absolute path without links of options->mountpoint, after a mount that a crash of
 * shieldfs left there (every access fails with ENOTCONN, and the mount table says it was ours) was taken
 * away. NULL with error if nothing can be mounted there; the caller frees it. *lock is then a descriptor to
 * be closed when the mount is there, or -1: as long as it is open every other start at this place waits. */
char *sfs_mountpoint_prepare(const SfsOptions *options, int *lock, GError **error);

/* A line in the log for each source that is no directory or can't be found out, and one if none exists: it
 * may be mistyped, though it is waited for. */
void sfs_mountpoint_tell_of_sources(const SfsOptions *options);

/* Can this user mount at all: is there a /dev/fuse, and where it is needed a fusermount3? */
gboolean sfs_mountpoint_check_system(const SfsOptions *options, GError **error);
