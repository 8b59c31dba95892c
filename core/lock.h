/* SPDX-License-Identifier: Apache-2.0 */
/* lock: a mutex that is held from here to the end of the block. (GLib has the same from 2.80 on.) */
#pragma once

#include <glib.h>

#define SHIELD_AUTO_LOCK(mutex) g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(mutex)
