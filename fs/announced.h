/* SPDX-License-Identifier: Apache-2.0 */
/*
 * announced: the announcer's requests. They are answered from the tree as announced, change nothing but that
 * tree, and are never held. Each returns TRUE if the request was the announcer's; then it has been answered.
 */
#pragma once

#include "reply.h"

gboolean sfs_announced_lookup(const SfsRequest *r);
gboolean sfs_announced_attributes(const SfsRequest *r); /* GETATTR and SETATTR */
gboolean sfs_announced_open(const SfsRequest *r, struct fuse_file_info *fi);
gboolean sfs_announced_create(const SfsRequest *r, struct fuse_file_info *fi);
gboolean sfs_announced_mkdir(const SfsRequest *r);
gboolean sfs_announced_remove(const SfsRequest *r); /* UNLINK and RMDIR */
