/* SPDX-License-Identifier: Apache-2.0 */
/*
 * announcer: the process that makes the kernel send events to watchers of the view, by operating on the mount
 * as the server tells it to. It is a process of its own, without a descriptor of /dev/fuse, so that it can be
 * stuck or die without holding the connection, and the server can die under it. It must not know what it
 * announces.
 *
 * It can touch nothing but the mount: for each request it opens the mount point, compares its device with the
 * view's, and acts only through that descriptor, beneath it, over no further mount and no
 * link. Between requests it keeps nothing open, so that an unmount finds the mount busy in the moment of a
 * request alone.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* What is to be done while the process has all its rights: its name, its limits. Returns a descriptor
 * (O_PATH) of the view's root, to confine it by and then to close; -1: the view is not there, or is covered.
 */
int sfs_announcer_prepare(const char *mountpoint, dev_t dev);

/* Serves requests from socket until its other end is gone. dev: the view's; 0: not known, so nothing is done.
 * confined: not 0; its first word to the server. */
void sfs_announcer_run(const char *mountpoint, dev_t dev, int socket, unsigned confined);
