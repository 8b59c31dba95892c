/* SPDX-License-Identifier: Apache-2.0 */
/* fault: the switches' names; see fault.h. */
#include "fault.h"

#ifdef SHIELD_FAULTS
#include <string.h>

gboolean shield_fault(ShieldFault fault)
{
    static const char *const names[SHIELD_N_FAULTS] = {
        [SHIELD_FAULT_LEASE] = "lease",
        [SHIELD_FAULT_DRAIN] = "drain",
        [SHIELD_FAULT_SECOND_DRAIN] = "second-drain",
        [SHIELD_FAULT_HOLD] = "hold",
        [SHIELD_FAULT_MEMORY] = "memory",
        [SHIELD_FAULT_OWN_VIEW] = "own-view",
        [SHIELD_FAULT_DEVICE] = "device",
    };
    const char *wanted = g_getenv("SHIELD_FAULTS");

    return wanted && strcmp(wanted, names[fault]) == 0;
}
#endif
