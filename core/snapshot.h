/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot: a computed file at one moment, made of readings. It must not know when they are taken, nor which
 * snapshots were there before.
 */
#pragma once

#include <glib.h>

#include "computed.h"
#include "hash.h"
#include "reading.h"

/* A computed file at one moment: the content or the error, and the time to show for it. Immutable, counted.
 */
typedef struct {
    gatomicrefcount refs;
    guint n_readings;
    GBytes *text;          /* the list, one entry a line; NULL on error, and if it is not kept */
    gsize size;            /* of the text, kept or not */
    ShieldDigest digest;   /* likewise */
    GError *error;         /* SHIELD_ERROR or NULL */
    struct timespec mtime; /* the latest source's; it grows with every change of content */
    guint64 serial;        /* counts the contents and errors that this computed file has had, from 1 */
    ShieldReading *readings[SHIELD_COMPUTED_MAX_SOURCES]; /* what it was computed from, in the row's order */
} ShieldSnapshot;

ShieldSnapshot *shield_snapshot_ref(ShieldSnapshot *snapshot);
void shield_snapshot_unref(ShieldSnapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShieldSnapshot, shield_snapshot_unref)

/* Computes row of its sources' readings, in its order, which have their lists unless there is an error; keeps
 * a reference to each. Time and serial are the caller's to set. NULL: there is no memory for it. */
ShieldSnapshot *shield_snapshot_new(ShieldReading *const *readings, const ShieldComputed *row);

/* One that is an error; takes it. */
ShieldSnapshot *shield_snapshot_new_error(GError *error);

/* Its text, for an open: as long as there is a reference to that, the snapshot is open. */
GBytes *shield_snapshot_open(ShieldSnapshot *snapshot);

/* Has anybody but the caller the snapshot? */
gboolean shield_snapshot_is_open(ShieldSnapshot *snapshot);

/* The same one, of which the text is not kept. */
ShieldSnapshot *shield_snapshot_without_text(const ShieldSnapshot *snapshot);

/* Have both the same content, or the same kind of error? */
gboolean shield_snapshot_equal(const ShieldSnapshot *a, const ShieldSnapshot *b);
