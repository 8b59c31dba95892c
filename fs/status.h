/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the texts of .shieldfs: version and status. Both are functions of what is on disk; reading them
 * changes nothing. Their line format is an interface.
 */
#pragma once

#include "view.h"

GBytes *sfs_status_version(void);

/* Looks at every source and every bundle. */
GBytes *sfs_status_render(SfsView *view);
