/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome: what became of a request to the announcer, and what follows. It must not know how a change is
 * found, nor what a request is made of.
 */
#pragma once

#include "events/asking.h"

/* The request that was out has come back. */
void sfs_outcome_finish(SfsOutbox *outbox, int errnum);

/* Looks at the node now: what could not be told of it may be possible by now. */
void sfs_outcome_try_again(SfsOutbox *outbox, SfsNode *node);
