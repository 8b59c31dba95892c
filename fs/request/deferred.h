/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deferred: requests for what is computed that can't be answered at once, because a list has to be read or
 * somebody is writing one: an OPEN, a READ that renews, a GETATTR and a POLL, of which the last two do not
 * wait for a writer; and those for the status file, which wait for what has changed to be looked into. While
 * they wait they occupy none of libfuse's threads: jobs try, for all who wait for one bundle together, when
 * its writer is done and now and then, until the time of each is up. One whose caller got a signal is
 * answered EINTR at once. It must not know how a content is computed.
 */
#pragma once

#include "request/pending.h"

/* The jobs of SFS_JOB_REQUESTS are its from now on. */
SfsDeferred *sfs_deferred_new(SfsView *view);

/* Starts its thread; FALSE with error: there is none to be had. */
gboolean sfs_deferred_start(SfsDeferred *deferred, GError **error);

/* Answers all that are still pending, with EINTR. The jobs have been stopped, no request may be added any
 * more, nor a writer be told of. */
void sfs_deferred_free(SfsDeferred *deferred);

/* Takes over the answer. It is given at once if no job is needed. init: what pending.h has for the kind. */
void sfs_deferred_take(SfsDeferred *deferred, SfsPending init);

/* A list of this bundle has been written: whoever waits for it is tried again now. data is the SfsDeferred.
 * Any thread; its lock comes before the jobs' alone. */
void sfs_deferred_written(void *data, const SfsContainer *container);

/* There is something new to tell in the status file, or what has changed has been looked into. Likewise. */
void sfs_deferred_told(void *data);

/* How many of each kind are waiting. Any thread. */
void sfs_deferred_tell(SfsDeferred *deferred, SfsOpenMetrics *out);
