/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold: requests that may have to wait for a writer to finish: an OPEN, and a READ that renews. While they
 * wait they occupy none of libfuse's threads: two threads of its own try again until the list is whole or its
 * time is up, and answer. It must not know what is waited for.
 */
#pragma once

#include "reply.h"

SfsHold *sfs_hold_new(void);

/* Answers all that are still held, with EINTR. No request may be added any more. */
void sfs_hold_free(SfsHold *hold);

/* Both take over the answer. It is given at once if no list is being written. */
void sfs_hold_open(SfsHold *hold, const SfsRequest *r, SfsNode *node, const struct fuse_file_info *fi);

/* A READ of size bytes from the start, for which handle is to have a newer content. */
void sfs_hold_read(SfsHold *hold, const SfsRequest *r, SfsNode *node, SfsFileHandle *handle, gsize size);
