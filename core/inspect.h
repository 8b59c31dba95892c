/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect: what of a bundle's directory may be shown, and what is wrong with it. It must not
 * know how a view is laid out beyond that.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "bundle.h"

/* Is what stands under name in a bundle (with in_hooks: in its hooks directory) shown, and as what? Whatever
 * is no directory is shown as a file, though only regular ones can be opened. */
typedef enum { SHIELD_SHOW_NOT, SHIELD_SHOW_FILE, SHIELD_SHOW_DIRECTORY } ShieldShow;
ShieldShow shield_shows(const char *name, mode_t type, gboolean in_hooks);

/* Of a bundle's directory so many names are shown, and of its hooks, besides those that the contract names.
 */
#define SHIELD_MAX_NAMES 65536
gboolean shield_is_counted(const char *name, gboolean in_hooks);

/* Appends a line "NAME/FILE: TEXT" (char *, owned by the array) for whatever is wrong with the bundle: things
 * that are no files, lists that can't be used; the lists' come before the others. A function of what is on
 * disk; a list that is being written is no problem, unless somebody was refused because of it. degraded gets
 * "NAME/FILE: TEXT" for each list that can't be leased. Returns how many of the problems are lists'. */
guint shield_inspect(ShieldBundle *bundle, int dirfd, GPtrArray *problems, GPtrArray *degraded);
