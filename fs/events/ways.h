/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ways: the directories on the way to each source, links that lead nowhere yet and mounts included: all that
 * decides what a source's path leads to. It must not know how a directory is watched. For one thread.
 */
#pragma once

#include <glib.h>

#include "sources.h"

typedef struct SfsWays SfsWays;

SfsWays *sfs_ways_new(ShieldSources *sources);
void sfs_ways_free(SfsWays *ways);

/* Called for the directory path (fd, O_PATH), before what it holds counts. awaited NULL: what becomes of it
 * itself matters; else: what comes and goes by this name in it. */
typedef void (*SfsWayFunc)(int fd, const char *path, const char *awaited, void *data);

/* Goes all the ways as they are now. */
void sfs_ways_walk(SfsWays *ways, SfsWayFunc func, void *data);

/* A descriptor that poll(2) says POLLPRI of when something has been mounted or unmounted; -1: there is none.
 */
int sfs_ways_descriptor(const SfsWays *ways);

/* Has, since the ways were gone last, a mount come or gone that may have changed where they lead, or what is
 * found there? Reads the mount table and nothing else. */
gboolean sfs_ways_have_changed(SfsWays *ways);
