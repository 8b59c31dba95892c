/* SPDX-License-Identifier: Apache-2.0 */
/* contract: what shieldstate.h does for a caller who has the row of the table already. Not installed. */
#pragma once

#include "bundle.h"
#include "computed.h"

/* The computed file of the bundle in state_dir; NULL with error. A state_dir that doesn't exist has empty
 * lists. */
ShieldSnapshot *shield_read_snapshot(const char *state_dir, const ShieldComputed *row, GError **error);
