/* SPDX-License-Identifier: Apache-2.0 */
/*
 * polls: open files that somebody waits on with poll(2) until their content changes. It knows who is to be
 * woken, and must not know whether anything has changed: who is woken asks again.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <glib.h>

#include "session.h"

SfsPolls *sfs_polls_new(void);
void sfs_polls_free(SfsPolls *polls);

/* Whoever polls handle is to be woken through waiter, which is taken over; one from before is dropped. */
void sfs_polls_set(SfsPolls *polls, void *handle, struct fuse_pollhandle *waiter);

/* The handle is closed. */
void sfs_polls_drop(SfsPolls *polls, void *handle);

/* Wakes all. From no request handler, and with no lock held. */
void sfs_polls_wake(SfsPolls *polls);
