/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops: the request handlers: resolve the number, ask the view, reply. The user data of libfuse's session is
 * the SfsSession. It must not know what an error looks like to a caller, nor wait.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

extern const struct fuse_lowlevel_ops sfs_ops;
