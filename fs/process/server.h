/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: the process that mounts and serves. It never unmounts: at the end it lets go of its connection, and
 * the supervisor does the rest.
 */
#pragma once

#include "options.h"

/* Mounts, says so on control, and serves until the supervisor says to end or the mount goes away; TRUE if it
 * ended as it should. */
gboolean sfs_serve(const SfsOptions *options, const char *mountpoint, int control);
