/* SPDX-License-Identifier: Apache-2.0 */
/* fault: the switches' names and counts; see fault.h. */
#include "fault.h"

#ifdef SHIELD_FAULTS
#include <signal.h>
#include <string.h>

static const char *const names[SHIELD_N_FAULTS] = {
    [SHIELD_FAULT_LEASE] = "lease",
    [SHIELD_FAULT_DRAIN] = "drain",
    [SHIELD_FAULT_SECOND_DRAIN] = "second-drain",
    [SHIELD_FAULT_HOLD] = "hold",
    [SHIELD_FAULT_MEMORY] = "memory",
    [SHIELD_FAULT_OWN_VIEW] = "own-view",
    [SHIELD_FAULT_DEVICE] = "device",
    [SHIELD_FAULT_MARKS] = "marks",
    [SHIELD_FAULT_ESTALE] = "estale",
    [SHIELD_FAULT_OPENAT2] = "openat2",
    [SHIELD_FAULT_DESCRIPTORS] = "descriptors",
    [SHIELD_FAULT_MOUNTS] = "mounts",
    [SHIELD_FAULT_UNREAD] = "unread",
    [SHIELD_FAULT_LATE] = "late",
    [SHIELD_FAULT_CROWD] = "crowd",
    [SHIELD_FAULT_UNCONFINED] = "unconfined",
    [SHIELD_FAULT_FORBIDDEN] = "forbidden",
    [SHIELD_FAULT_HOLD_OPEN] = "hold-open",
    [SHIELD_FAULT_FAIL_ANNOUNCEMENT] = "fail-announcement",
    [SHIELD_FAULT_STOP_DRAIN] = "stop-drain",
    [SHIELD_FAULT_STOP_READING] = "stop-reading",
    [SHIELD_FAULT_STOP_TEXT] = "stop-text",
    [SHIELD_FAULT_STOP_COMPARISON] = "stop-comparison",
    [SHIELD_FAULT_STOP_WATCH] = "stop-watch",
    [SHIELD_FAULT_STOP_DETACH] = "stop-detach",
    [SHIELD_FAULT_STOP_MKDIR] = "stop-mkdir",
    [SHIELD_FAULT_STOP_MOUNTED] = "stop-mounted",
};

/* Each how many times it happens: 0 if it is not named, 1 if it is without a number. */
static guint64 each(ShieldFault fault)
{
    const char *wanted = g_getenv("SHIELD_FAULTS");
    g_auto(GStrv) words = g_strsplit(wanted ? wanted : "", ",", -1);
    gsize length = strlen(names[fault]);

    for (char **word = words; *word; word++) {
        if (strncmp(*word, names[fault], length) != 0)
            continue;
        if ((*word)[length] == '\0')
            return 1;
        if ((*word)[length] == ':')
            return g_ascii_strtoull(*word + length + 1, NULL, 10);
    }
    return 0;
}

gboolean shield_fault(ShieldFault fault)
{
    static int times[SHIELD_N_FAULTS]; /* atomic */
    guint64 k = each(fault);

    return k > 0 && ((guint64)g_atomic_int_add(&times[fault], 1) + 1) % k == 0;
}

void shield_fault_stop(ShieldFault fault)
{
    if (shield_fault(fault))
        (void)raise(SIGSTOP); /* to this thread: it has stopped when the process has */
}
#endif
