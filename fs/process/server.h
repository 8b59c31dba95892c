/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: the process that mounts and serves. It never unmounts: at the end it lets go of its connection, and
 * the supervisor does the rest.
 */
#pragma once

#include "options.h"

/* Mounts, gives up what that took, says so on control, and serves until the supervisor says to end or the
 * mount goes away; TRUE if it ended as it should. refused: as in confine.h. */
gboolean sfs_serve(const SfsOptions *options, const char *mountpoint, int control, int refused);
