/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deferred: requests for a computed content that can't be answered at once, because a list has to be read or
 * somebody is writing one: an OPEN, a READ that renews, and a GETATTR, which does not wait for a writer.
 * While they wait they occupy none of libfuse's threads: two threads of its own try, all who wait for one
 * bundle together, when its writer is done and now and then, until the time of each is up. One whose caller
 * got a signal is answered EINTR at once. It must not know how a content is computed.
 */
#pragma once

#include "request/reply.h"

SfsDeferred *sfs_deferred_new(void);

/* Answers all that are still pending, with EINTR. No request may be added any more, nor a writer be told of.
 */
void sfs_deferred_free(SfsDeferred *deferred);

/* All take over the answer. It is given at once if nothing has to be read. */
void sfs_deferred_open(SfsDeferred *deferred, const SfsRequest *r, SfsNode *node,
                       const struct fuse_file_info *fi);

/* A READ of size bytes from the start, for which handle is to have a newer content. */
void sfs_deferred_read(SfsDeferred *deferred, const SfsRequest *r, SfsNode *node, SfsFileHandle *handle,
                       gsize size);

void sfs_deferred_getattr(SfsDeferred *deferred, const SfsRequest *r, SfsNode *node);

/* A list of this bundle has been written: whoever waits for it is tried again now. data is the SfsDeferred.
 * Any thread; its lock is a leaf. */
void sfs_deferred_written(void *data, const SfsContainer *container);
