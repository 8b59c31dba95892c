/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote: filesystems whose files are changed from elsewhere, behind the local kernel's back: no event tells
 * of it, and a lease is granted that knows nothing of it. It must not know who asks.
 */
#pragma once

#include <glib.h>

/* Does the file or directory behind fd (O_PATH will do) lie on such a filesystem? */
gboolean shield_is_remote(int fd);
