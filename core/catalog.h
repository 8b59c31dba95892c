/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog: sources to bundles, in both layouts: SOURCE/containers/NAME and SOURCE/tasks/PROJECT/TASK/shield.
 * It keeps no state of what it finds: every question is answered from the directories as they are. It must
 * not know what is in a bundle.
 *
 * A SOURCE is the operator's own path: it may be, or contain, a symbolic link, and need not exist yet. It is
 * resolved when it appears and again when it reappears. Below it no link is followed.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "open.h"
#include "paths.h"

typedef struct ShieldCatalog ShieldCatalog;

/* Where one bundle lies. Immutable. */
typedef struct {
    char *name;   /* what the container is called in the view */
    guint source; /* index of the source */
    char *path;   /* relative to the source */
} ShieldPlace;

ShieldPlace *shield_place_copy(const ShieldPlace *place);
gboolean shield_place_equal(const ShieldPlace *a, const ShieldPlace *b);
void shield_place_free(ShieldPlace *place);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShieldPlace, shield_place_free)

/* paths: the sources, first wins. excluded: an absolute path without links; a source that lies in it or
 * contains it is refused whenever that comes to light; NULL for none. */
ShieldCatalog *shield_catalog_new(const char *const *paths, const char *excluded);
void shield_catalog_free(ShieldCatalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShieldCatalog, shield_catalog_free)

guint shield_catalog_n_sources(const ShieldCatalog *catalog);
const char *shield_catalog_source_path(const ShieldCatalog *catalog, guint source);

/* The source's path with all links resolved, as it was when it was last found; NULL if it never was. Free it.
 */
char *shield_catalog_source_resolved(ShieldCatalog *catalog, guint source);

/* An O_PATH descriptor of the source; -1 with errno: ENOENT if it is waited for, EXDEV if it is refused. */
int shield_catalog_open_source(ShieldCatalog *catalog, guint source);

/* Resolve every source anew the next time. */
void shield_catalog_forget(ShieldCatalog *catalog);

/* Is it a want of ours, of descriptors or memory, that says nothing about what is there? */
gboolean shield_is_shortage(int errnum);

/* Finds the bundle that name stands for. *dirfd is its directory (O_PATH, the caller's). NULL with errno. */
ShieldPlace *shield_catalog_find(ShieldCatalog *catalog, const char *name, int *dirfd);

/* Opens a bundle that was found before; -1 with errno. */
int shield_catalog_open(ShieldCatalog *catalog, const ShieldPlace *place);

/* What a scan tells beside the bundles; each may be left NULL. */
typedef struct {
    GPtrArray *problems; /* gets a line (char *, owned) for whatever can't be shown */
    /* Called for each directory that bundles are found by, the sources first, before it is looked into. fd is
     * the directory (O_PATH), path its absolute path without links. */
    void (*visit)(int fd, const char *path, void *data);
    void *data;
    gboolean incomplete; /* some directory could not be read */
    int errnum;          /* 0, or what was wanting: descriptors or memory. There may be more than was found */
    struct timespec latest; /* modification of the directories that hold bundles */
} ShieldScan;

/* All bundles: an array of ShieldPlace, sorted by name, each name once. */
GPtrArray *shield_catalog_scan(ShieldCatalog *catalog, ShieldScan *out);

/* Is this [A-Za-z0-9_][A-Za-z0-9_.-]*? */
gboolean shield_is_container_name(const char *name);
