/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sources: the directories that bundles are looked for in. It must not know how bundles are found in one, nor
 * what is in a bundle.
 *
 * A SOURCE is the operator's own path: it may be, or contain, a symbolic link, and need not exist yet. It is
 * resolved when it appears and again when it reappears.
 */
#pragma once

#include <glib.h>

/* What a source holds: containers/NAME and tasks/PROJECT/TASK/shield. */
#define SHIELD_CONTAINERS "containers"
#define SHIELD_TASKS "tasks"
#define SHIELD_SHIELD "shield"

typedef struct ShieldSources ShieldSources;

/* paths: the sources, first wins. excluded: an absolute path without links; a source that lies in it or
 * contains it is refused whenever that comes to light; NULL for none. */
ShieldSources *shield_sources_new(const char *const *paths, const char *excluded);
void shield_sources_free(ShieldSources *sources);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShieldSources, shield_sources_free)

guint shield_sources_count(const ShieldSources *sources);

/* As it was given, made absolute. */
const char *shield_sources_path(const ShieldSources *sources, guint source);

/* With all links resolved, as it was when it was last found; NULL if it never was. Free it. */
char *shield_sources_resolved(ShieldSources *sources, guint source);

/* An O_PATH descriptor of the source; -1 with errno: ENOENT if it is waited for, EXDEV if it is refused,
 * EACCES if it may not be entered, …. */
int shield_sources_open(ShieldSources *sources, guint source);

/* Resolve every source anew the next time. */
void shield_sources_forget(ShieldSources *sources);

/* What to say of a source, whose directory is fd, that holds neither of what a source holds: that, and what
 * it looks like instead. Escaped; free it. */
char *shield_sources_misfit(ShieldSources *sources, guint source, int fd);

/* May what is mounted at path, which is relative to a source, or "" for the source itself, cover a bundle,
 * part of one, or a directory that bundles are found by? */
gboolean shield_sources_matters(const char *path);
