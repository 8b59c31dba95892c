/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault: for the tests' sake alone, switches each mechanism off that a promise rests on, and makes moments
 * last that are hard to hit. Without the build option `faults` there is nothing of it in a program.
 *
 * The variable SHIELD_FAULTS says which: names, with commas between them. All there are:
 */
#pragma once

#include <glib.h>

typedef enum {
    SHIELD_FAULT_LEASE,        /* lease: a list is read without a lease, and taken for whole */
    SHIELD_FAULT_DRAIN,        /* drain: the inotify queue is not read before an open is answered */
    SHIELD_FAULT_SECOND_DRAIN, /* second-drain: nor looked at again once all lists have been read */
    SHIELD_FAULT_HOLD,         /* hold: an open that finds a list being written fails at once */
    SHIELD_FAULT_MEMORY,       /* memory: what was shown between two announcements is forgotten */
    SHIELD_FAULT_OWN_VIEW,     /* own-view: the announcer sees the tree as it is, as others do */
    SHIELD_FAULT_DEVICE,       /* device: the announcer acts on whatever is mounted at the mount point */
    SHIELD_FAULT_MARKS,        /* marks: no event tells that a name leads elsewhere */
    SHIELD_FAULT_ESTALE,  /* estale: who asks for a node that is gone is not told to look its path up again */
    SHIELD_FAULT_OPENAT2, /* openat2: as on a kernel that has none */
    SHIELD_FAULT_DESCRIPTORS, /* descriptors: a directory that was opened stays open */
    SHIELD_FAULT_MOUNTS,      /* mounts: what is mounted, or unmounted, is not noticed */
    SHIELD_FAULT_UNREAD,      /* unread: what is there at the start is not looked into before a SIGHUP */
    SHIELD_FAULT_LATE,  /* late: the watcher's thread takes its time before it looks at what has changed */
    SHIELD_FAULT_CROWD, /* crowd: a hundred names that came and went before they were announced are too many
                         */
    SHIELD_FAULT_UNCONFINED, /* unconfined: no process gives up anything */
    SHIELD_FAULT_FORBIDDEN,  /* forbidden: server and announcer make a system call that they may not */
    /* These happen each K-th time, counted in each process from its start: NAME:K. */
    SHIELD_FAULT_HOLD_OPEN,         /* hold-open: a computed file's open is held until its time is up */
    SHIELD_FAULT_FAIL_ANNOUNCEMENT, /* fail-announcement: nothing is done, and EIO answered */
    SHIELD_FAULT_STOP_DRAIN,      /* stop-drain: the process stops (SIGSTOP) before it drains for a bundle */
    SHIELD_FAULT_STOP_READING,    /* stop-reading: and before it reads a list, twice */
    SHIELD_FAULT_STOP_TEXT,       /* stop-text: and before it reads the text of one */
    SHIELD_FAULT_STOP_COMPARISON, /* stop-comparison: around a look at what is to be announced */
    SHIELD_FAULT_STOP_WATCH,      /* stop-watch: and before it watches a directory */
    SHIELD_FAULT_STOP_DETACH,     /* stop-detach: and before it takes a mount away */
    SHIELD_FAULT_STOP_MKDIR,      /* stop-mkdir: and before it answers a MKDIR of the announcer's */
    SHIELD_FAULT_STOP_MOUNTED,    /* stop-mounted: and when it has mounted, before anybody knows */
    SHIELD_N_FAULTS
} ShieldFault;

#ifdef SHIELD_FAULTS
/* Is it on? Of those that have a K: is this such a time? Any thread. */
gboolean shield_fault(ShieldFault fault);

/* Stops the process if it is. */
void shield_fault_stop(ShieldFault fault);
#else
#define shield_fault(fault) FALSE
#define shield_fault_stop(fault) ((void)(fault))
#endif
