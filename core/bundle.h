/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle: one bundle directory to immutable snapshots of its computed files. It keeps what was read, by
 * stamp, so that an unchanged list is not read twice. It must not know where bundles lie nor who asks.
 *
 * A bundle may be used by any number of threads. Under its lock the policy's drain is called, and its budget
 * used, and nothing else that takes a lock; and nobody waits for a writer under it. What the policy's budget
 * has no room for is not kept: it is read again when it is asked for. An open's text must have room: else the
 * error is ENOMEM, or EBUSY if there may be some at once.
 */
#pragma once

#include <glib.h>

#include "snapshot.h"

typedef struct ShieldBundle ShieldBundle;

/* label names the bundle in messages; it and policy must outlive the bundle. */
ShieldBundle *shield_bundle_new(const char *label, const ShieldPolicy *policy);
ShieldBundle *shield_bundle_ref(ShieldBundle *bundle);
void shield_bundle_unref(ShieldBundle *bundle);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShieldBundle, shield_bundle_unref)

const char *shield_bundle_label(const ShieldBundle *bundle);

/* Forgets all that was read, so that it is read anew. Times keep growing all the same. */
void shield_bundle_forget(ShieldBundle *bundle);

/* The lists as they are now, or, while somebody is writing one, as it was read last; NULL if it was never
 * read whole. An array of references, by ShieldFile. */
GPtrArray *shield_bundle_readings(ShieldBundle *bundle, int dirfd);

/* What is known of a bundle from events. Each may be called from any thread, under any lock. */
typedef enum {
    SHIELD_MARK_CHANGED, /* read it again, whatever its stamp says */
    SHIELD_MARK_WRITING, /* the same, and somebody has begun to write it */
    SHIELD_MARK_WRITTEN, /* the same, and somebody has closed it after writing */
} ShieldMark;
gboolean shield_bundle_invalidate(ShieldBundle *bundle, const char *name,
                                  ShieldMark mark); /* FALSE: no such list */
void shield_bundle_mark_all(ShieldBundle *bundle);

/* Are events of every change to be had? If not, what is read is compared more often. */
void shield_bundle_set_watched(ShieldBundle *bundle, gboolean watched);
gboolean shield_bundle_is_watched(ShieldBundle *bundle);

/* The computed file as it is now; all its sources are from one cut. dirfd is the bundle's directory, -1 if
 * there is none. Never NULL; errors are in it. A source that is being written is waited for as long as the
 * policy says, then the error is EBUSY. */
ShieldSnapshot *shield_bundle_open(ShieldBundle *bundle, int dirfd, const ShieldComputed *row);

/* The same without waiting: the error is EBUSY at once if a source is being written. */
ShieldSnapshot *shield_bundle_try(ShieldBundle *bundle, int dirfd, const ShieldComputed *row);

/* The same without waiting: during a rewrite this is the last complete version, if there was one. Its text
 * may be missing; so nothing is read for the text's sake. */
ShieldSnapshot *shield_bundle_peek(ShieldBundle *bundle, int dirfd, const ShieldComputed *row);

/* The same if nothing has to be read or computed for it, else NULL. Waits for nobody who reads or computes.
 */
ShieldSnapshot *shield_bundle_warm(ShieldBundle *bundle, int dirfd, const ShieldComputed *row);

/* The same, but its text may be missing: for its size, time and serial. */
ShieldSnapshot *shield_bundle_known(ShieldBundle *bundle, int dirfd, const ShieldComputed *row);

/* The last that was computed, be it out of date and without its text, or NULL. Waits for nobody either. */
ShieldSnapshot *shield_bundle_last(ShieldBundle *bundle, const ShieldComputed *row);

/* Counts the readings that took another's place, and what is known of refusals. */
guint shield_bundle_version(ShieldBundle *bundle);

/* When (monotonic time, microseconds) to look whether a source of row that was being written when that was
 * tried last still is; 0: none was. */
gint64 shield_bundle_recheck_due(ShieldBundle *bundle, const ShieldComputed *row);

/* Somebody is given an error since a source of row is being written. Until it is read whole, that is known
 * of it. TRUE: it was not before. */
gboolean shield_bundle_refuse(ShieldBundle *bundle, const ShieldComputed *row);
gboolean shield_bundle_has_refused(ShieldBundle *bundle, ShieldFile file);
