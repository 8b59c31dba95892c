/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pollers: open files that somebody waits on with poll(2) until their content changes. It knows who is to be
 * woken, and must not know whether anything has changed: who is woken asks again.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <glib.h>

#include "request/session.h"

SfsPollers *sfs_pollers_new(void);
void sfs_pollers_free(SfsPollers *pollers);

/* Whoever polls handle is to be woken through waiter, which is taken over; one from before is dropped. */
void sfs_pollers_set(SfsPollers *pollers, void *handle, struct fuse_pollhandle *waiter);

/* The handle is closed. */
void sfs_pollers_drop(SfsPollers *pollers, void *handle);

/* Wakes all. From no request handler, and with no lock held. */
void sfs_pollers_wake(SfsPollers *pollers);
