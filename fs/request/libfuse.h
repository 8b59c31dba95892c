/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse: all that depends on which version of it is here. What must be known when this is compiled meson
 * finds out (fs/meson.build). It knows neither requests nor what is served.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <glib.h>

/* At the start of a session: lets the kernel send several LOOKUPs and READDIRs of one directory at a time.
 * Before 3.17 libfuse tells the kernel nothing of it, whatever it is asked for. */
void sfs_libfuse_want_parallel(struct fuse_conn_info *conn);

/* Serves, with one thread or as many as libfuse likes, until the mount goes or fuse_session_exit ends it; 0
 * or a negative errno, -EAGAIN if there is no thread for it. The calling thread only waits. */
int sfs_libfuse_loop(struct fuse_session *session, gboolean single);

/* Does fuse_session_exit alone end that loop? Before 3.18 the thread that waits needs a signal, too. */
gboolean sfs_libfuse_exit_wakes(void);
