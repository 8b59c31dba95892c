/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caller: who sent a request. The kernel tells user and group; the other groups, and whether root has root's
 * privileges, proc(5) tells of the process, which waits for the answer meanwhile. It must not know what any
 * of this is good for.
 */
#pragma once

#include "request/reply.h"
#include "view/access.h"

/* Cleared by the owner; before the request is answered all must be known that is to be known. */
SfsCaller sfs_caller_of(const SfsRequest *r);

/* What a process's status file says; FALSE if it is none. For tests too. */
gboolean sfs_caller_parse(SfsCaller *caller, const char *status);
