/* SPDX-License-Identifier: Apache-2.0 */
/*
 * announcer_ops: the announcer's requests. They are answered from the tree as announced, change nothing but
 * that tree, and are never deferred. Each returns TRUE if the request was the announcer's; then it has been
 * answered.
 */
#pragma once

#include "request/reply.h"

gboolean sfs_announcer_ops_lookup(const SfsRequest *r);
gboolean sfs_announcer_ops_attributes(const SfsRequest *r); /* GETATTR and SETATTR */
gboolean sfs_announcer_ops_open(const SfsRequest *r, struct fuse_file_info *fi);
gboolean sfs_announcer_ops_create(const SfsRequest *r, struct fuse_file_info *fi);
gboolean sfs_announcer_ops_mkdir(const SfsRequest *r);
gboolean sfs_announcer_ops_remove(const SfsRequest *r); /* UNLINK and RMDIR */
