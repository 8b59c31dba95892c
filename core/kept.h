/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept: what is kept of one bundle: the newest reading of each list, and the last snapshot of each computed
 * file. Texts and parsed lists go when the budget wants them to; that they were there, and what they were,
 * stays. It must not know when a list is read.
 *
 * Whoever uses one has its lock, but for shield_kept_last.
 */
#pragma once

#include <glib.h>

#include "budget.h"
#include "times.h"

typedef struct {
    ShieldBudget *budget;
    ShieldKeeper keeper;
    GMutex lock;
    ShieldReading *readings[SHIELD_N_LISTS]; /* NULL: never read */
    guint8 charged[SHIELD_N_LISTS];          /* which of a reading's text and list the budget knows of */
    ShieldTimes *times;                      /* one for each row of the table of computed files */
    GMutex last_lock; /* a leaf: protects the pointers `last` in times for who has not the other lock */
} ShieldKept;

void shield_kept_init(ShieldKept *kept, ShieldBudget *budget);
void shield_kept_clear(ShieldKept *kept);

/* Has text and list of the reading: it can be computed with, or is an error. */
gboolean shield_kept_has_text(const ShieldKept *kept, ShieldFile file);

/* Takes a fresh reading of file. TRUE: it is another than the last one. FALSE: that one stays, with what is
 * missing of it. */
gboolean shield_kept_put(ShieldKept *kept, ShieldFile file, ShieldReading *fresh);

void shield_kept_forget(ShieldKept *kept);

/* The last snapshot of row: a new reference, or NULL. It may be out of date. Any thread. */
ShieldSnapshot *shield_kept_last(ShieldKept *kept, const ShieldComputed *row);

/* The last snapshot if it was made of the readings as they are, else NULL; not a new reference. dirfd: the
 * bundle's directory. */
ShieldSnapshot *shield_kept_standing(const ShieldKept *kept, int dirfd, const ShieldComputed *row);

/* Makes it; all sources have their text. Says whether there is room for its text; if not, it is kept without.
 */
ShieldTake shield_kept_compute(ShieldKept *kept, int dirfd, const ShieldComputed *row);

/* To be called before the lock is given up: what was read meanwhile is charged; for what there is no room,
 * goes. */
void shield_kept_settle(ShieldKept *kept);

/* A text is handed out. */
void shield_kept_touch(ShieldKept *kept);
