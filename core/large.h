/* SPDX-License-Identifier: Apache-2.0 */
/*
 * large: blocks of memory whose size an input has chosen, within its limits. GLib's own allocation ends the
 * program when there is no memory; these say so, and leave some to what is small. It must not know what a
 * block is for.
 */
#pragma once

#include <glib.h>

/* Bytes that are not set; g_free frees them. NULL: there is no memory, or size is 0. */
void *shield_large_alloc(gsize size);

/* The block with another size, not 0. NULL: there is no memory; then the block is as before. */
void *shield_large_resize(void *block, gsize size);
