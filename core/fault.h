/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault: for the tests' sake alone, switches each mechanism off that a promise rests on. Without the build
 * option `faults` there is nothing of it in a program. All switches are here:
 */
#pragma once

#include <glib.h>

typedef enum {
    SHIELD_FAULT_LEASE,        /* a list is read without a lease, and taken for whole */
    SHIELD_FAULT_DRAIN,        /* the inotify queue is not read before an open is answered */
    SHIELD_FAULT_SECOND_DRAIN, /* nor looked at again once all lists have been read */
    SHIELD_FAULT_HOLD,         /* an open that finds a list being written fails at once */
    SHIELD_FAULT_MEMORY,       /* what was shown between two announcements is forgotten */
    SHIELD_FAULT_OWN_VIEW,     /* the announcer sees the tree as it is, as others do */
    SHIELD_FAULT_DEVICE,       /* the announcer acts on whatever is mounted at the mount point */
    SHIELD_N_FAULTS
} ShieldFault;

#ifdef SHIELD_FAULTS
/* Is it named in the environment, in SHIELD_FAULTS? "lease", "drain", "second-drain", "hold", "memory",
 * "own-view" or "device". */
gboolean shield_fault(ShieldFault fault);
#else
#define shield_fault(fault) FALSE
#endif
