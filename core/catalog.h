/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog: sources to bundles, in both layouts: SOURCE/containers/NAME and SOURCE/tasks/PROJECT/TASK/shield.
 * It keeps no state of what it finds: every question is answered from the directories as they are. It must
 * not know what is in a bundle.
 * Below a source no link is followed, and below its containers and tasks nothing that is mounted there is
 * entered.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "open.h"
#include "paths.h"
#include "sources.h"

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

/* As shield_sources_new. */
ShieldCatalog *shield_catalog_new(const char *const *paths, const char *excluded);
void shield_catalog_free(ShieldCatalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShieldCatalog, shield_catalog_free)

ShieldSources *shield_catalog_sources(ShieldCatalog *catalog);

/* Finds the bundle that name stands for. *dirfd is its directory (O_PATH, the caller's). NULL with errno. */
ShieldPlace *shield_catalog_find(ShieldCatalog *catalog, const char *name, int *dirfd);

/* Opens a bundle that was found before; -1 with errno: EXDEV if something is mounted over it. */
int shield_catalog_open(ShieldCatalog *catalog, const ShieldPlace *place);

/* The same in two steps: containers or tasks, whichever it is in, and from there. */
int shield_catalog_open_half(ShieldCatalog *catalog, const ShieldPlace *place);
int shield_catalog_open_in_half(int half_fd, const ShieldPlace *place);

/* Called for each directory that bundles are found by, the sources first, before it is looked into. fd is the
 * directory (O_PATH), path its absolute path without links, below its path in the source, "" for the source
 * itself. */
typedef void (*ShieldVisitFunc)(int fd, const char *path, guint source, const char *below, void *data);

/* What a scan tells beside the bundles; each may be left NULL. */
typedef struct {
    GPtrArray *problems; /* gets a line (char *, owned) for whatever can't be shown, so many of each source as
                            lines.h says; not of a mere visit */
    GArray *states;      /* gets an int for each source: what shield_sources_open said, 0 if it was found */
    ShieldVisitFunc visit;
    void *data;
    gboolean incomplete; /* some directory could not be read */
    int errnum;          /* 0, or what was wanting: descriptors or memory. There may be more than was found */
    struct timespec latest; /* modification of the directories that hold bundles */
} ShieldScan;

/* The same without looking for bundles: visits, and `latest`. */
void shield_catalog_visit(ShieldCatalog *catalog, ShieldScan *out);

/* A visit to the one directory below, of the form tasks/PROJECT/TASK. FALSE if it is not there. */
gboolean shield_catalog_visit_task(ShieldCatalog *catalog, guint source, const char *below,
                                   ShieldVisitFunc func, void *data);

/* All bundles: an array of ShieldPlace, sorted by name, each name once. */
GPtrArray *shield_catalog_scan(ShieldCatalog *catalog, ShieldScan *out);

/* Is this [A-Za-z0-9_][A-Za-z0-9_.-]*? */
gboolean shield_is_container_name(const char *name);
