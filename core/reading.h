/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reading: one list file, read once and whole. A reading is counted: what stood under the name, its stamp,
 * and the list or the error that it gave. It is immutable; but who keeps it may drop text and list, so they
 * are his alone. It must not know what the list is for, nor retry.
 *
 * Whole means: nobody had the file open for writing while it was read. A read lease shows that: the kernel
 * refuses it while there is a writer, and lets no writer in until it is released. It is held while the file
 * is read; or it is only taken before and after that, and the events that came in between tell the rest.
 */
#pragma once

#include <glib.h>

#include "budget.h"
#include "hash.h"
#include "layout.h"
#include "lists.h"
#include "open.h"
#include "rights.h"

#define SHIELD_DEFAULT_MAX_SIZE (16 * 1024 * 1024)
#define SHIELD_DEFAULT_SETTLE_MS 1000

/* How readings are taken; the same for a whole program. */
typedef struct {
    gsize max_size;  /* bytes; a longer list is an error (EFBIG) */
    guint settle_ms; /* how long one that is being written may be waited for; 0: take it as it stands */
    /* Brings the marks of all bundles up to date (shield_bundle_invalidate); NULL: nothing marks them. */
    void (*drain)(void *data);
    void *drain_data;
    ShieldBudget *budget; /* of what is kept and open; NULL: no limit */
    gboolean rights;      /* a reading remembers who may read the file */
} ShieldPolicy;

typedef struct {
    gatomicrefcount refs;
    guint8 racy;          /* it may have changed since without a change of its stamp: read again next time */
    guint8 without_lease; /* no lease to be had: two equal readings a tick apart stand for it */
    ShieldStamp stamp;    /* mode 0: nothing there. Not regular: what stood in the file's place */
    ShieldRights rights;  /* of the file that was read, if the policy wants that; mode 0: not known */
    GBytes *text;         /* the bytes as they were; NULL on error */
    ShieldList *list;     /* NULL on error; empty for a missing file */
    ShieldDigest digest;  /* of the text */
    GError *error;        /* SHIELD_ERROR or NULL */
} ShieldReading;

/* Tells whether nothing has happened to the name since the reading began, from events. */
typedef struct {
    gboolean (*left_alone)(void *data);
    void *data;
} ShieldProbe;

/* Reads name in dirfd (-1: there is no bundle, so every file is missing). Never NULL. An error of code EBUSY
 * says that somebody is writing it at this moment. label names the bundle in messages. probe: the lease need
 * not be held, as the caller can tell; NULL: it is. */
ShieldReading *shield_reading_take(int dirfd, const char *label, const char *name, ShieldTextKind kind,
                                   const ShieldPolicy *policy, const ShieldProbe *probe);

/* The same, but while somebody is writing it, it is tried again, for as long as the policy says. */
ShieldReading *shield_reading_settle(int dirfd, const char *label, const char *name, ShieldTextKind kind,
                                     const ShieldPolicy *policy);

/* When to give up on a list that is being written, and how long to sleep before trying again: shortly at
 * first, as most rewrites are short. */
typedef struct {
    gint64 deadline;
    gulong pause; /* microseconds */
} ShieldRetry;

ShieldRetry shield_retry_start(const ShieldPolicy *policy);
gboolean shield_retry_again(ShieldRetry *retry); /* sleeps, or returns FALSE: time is up */

/* For who waits otherwise: when to try again (monotonic time, microseconds), or -1: time is up. */
gint64 shield_retry_next(ShieldRetry *retry);

/* Does name still look as it did when it was read? A racy reading is never current. */
gboolean shield_reading_is_current(const ShieldReading *reading, int dirfd, const char *name);

/* Has nothing shown since that the reading is old (as above, racy or not)? */
gboolean shield_reading_stamp_holds(const ShieldReading *reading, int dirfd, const char *name);

ShieldReading *shield_reading_ref(ShieldReading *reading);
void shield_reading_unref(ShieldReading *reading);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShieldReading, shield_reading_unref)
