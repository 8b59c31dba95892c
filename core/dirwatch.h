/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirwatch: one inotify instance on the state directories. It turns events into calls of one function, which
 * may only set marks. It must not know what the directories are, nor touch a file in them.
 *
 * An event is in the queue before the system call that caused it returns. So whoever drains the queue before
 * he answers knows of every such change that was complete when he was asked. Any thread may drain. What
 * one thread has taken from the queue has been applied before another finds it empty: whoever finds it so
 * takes the lock all the same while somebody applies. Else he needs none.
 *
 * Lock order: the watch's lock, then any lock of those who are called.
 */
#pragma once

#include <glib.h>

typedef struct ShieldDirwatch ShieldDirwatch;

/* What an event is about. Counted by the owner: a target must live until it is removed. */
typedef enum {
    SHIELD_DIRWATCH_CONTENT, /* all that happens in the directory */
    SHIELD_DIRWATCH_NAMES,   /* what comes and goes in it, attributes, and what becomes of itself */
    SHIELD_DIRWATCH_ENTRIES, /* what comes and goes in it, and what becomes of itself */
    SHIELD_DIRWATCH_SELF,    /* what becomes of itself */
} ShieldDirwatchKind;

/* Called under the watch's lock, once for each target of the directory. mask: inotify's. name: NULL for the
 * directory itself. mask 0: from here on, until IN_IGNORED, target's directory is watched. target NULL and
 * mask IN_Q_OVERFLOW: events were lost. Returns TRUE if it set a mark that was not set. */
typedef gboolean (*ShieldDirwatchFunc)(void *target, guint32 mask, const char *name, void *data);

/* NULL with errno. */
ShieldDirwatch *shield_dirwatch_new(ShieldDirwatchFunc func, void *data);
void shield_dirwatch_free(ShieldDirwatch *watch);

/* To wait on: readable when there are events. */
int shield_dirwatch_descriptor(const ShieldDirwatch *watch);

typedef enum {
    SHIELD_DIRWATCH_REFUSED = 0, /* errno: ENOSPC if the user's limit of watches is reached, EOPNOTSUPP if the
                                  * filesystem does not tell of all changes */
    SHIELD_DIRWATCH_KEPT,        /* it was watched for target already */
    SHIELD_DIRWATCH_PLACED,      /* it was not: what is in there may be anything */
} ShieldDirwatched;

/* Watches the directory behind dirfd (O_PATH will do) for target. Several targets may share a directory; a
 * target may have one: a second call moves it, without a gap if it is the same directory. */
ShieldDirwatched shield_dirwatch_add(ShieldDirwatch *watch, int dirfd, ShieldDirwatchKind kind, void *target);

/* After this returns, target is not called any more. */
void shield_dirwatch_remove(ShieldDirwatch *watch, void *target);

/* How many directories are watched. */
guint shield_dirwatch_count(ShieldDirwatch *watch);

/* Applies all events that were in the queue when it was called. TRUE if a mark was set. */
gboolean shield_dirwatch_drain(ShieldDirwatch *watch);
