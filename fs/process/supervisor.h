/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor: the process that outlives the others. It forks the server, tells it what signals ask for, and
 * takes the mount away at the end, whatever ended the server. It has one thread, holds no descriptor of
 * /dev/fuse, and reads nothing of what a bundle holds, so nothing there can bring it down.
 */
#pragma once

#include "options.h"
#include "process/service.h"

/* Runs until the server has ended; TRUE if it ended as it should. lock: from sfs_mountpoint_prepare; ready:
 * from sfs_daemonize, or -1 in the foreground. Takes both. service: told of it. To be called before there are
 * threads. */
gboolean sfs_supervise(const SfsOptions *options, const char *mountpoint, int lock, int ready,
                       SfsService *service);
