/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops: the request handlers: resolve the number, ask the view, reply. The one place where an error becomes an
 * errno, and where an open that fails is logged. The user data of the session is the SfsView.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

extern const struct fuse_lowlevel_ops sfs_ops;
