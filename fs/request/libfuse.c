/* SPDX-License-Identifier: Apache-2.0 */
/* libfuse: what its versions have and do; see libfuse.h. */
#include "request/libfuse.h"

#include <errno.h>

/* The first whose fuse_session_exit wakes the loop, as fuse_version says it. */
#define EXIT_WAKES 318

void sfs_libfuse_want_parallel(struct fuse_conn_info *conn)
{
#ifdef SFS_FEATURE_FLAGS
    fuse_set_feature_flag(conn, FUSE_CAP_PARALLEL_DIROPS); /* if the kernel has it */
#else
    (void)conn;
#endif
}

/* Not fuse_session_loop for one thread: that one reads by itself, and is woken by no version. */
int sfs_libfuse_loop(struct fuse_session *session, gboolean single)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();

    if (single)
        fuse_loop_cfg_set_max_threads(config, 1);

    int result = fuse_session_loop_mt(session, config);

    fuse_loop_cfg_destroy(config);
    if (result == -1) /* it got no thread at all, and has said so */
        return -EAGAIN;
    /* What an unmount gives to who is just taking a request that goes with it. */
    return result == -ECONNABORTED ? 0 : result;
}

gboolean sfs_libfuse_exit_wakes(void)
{
    return fuse_version() >= EXIT_WAKES;
}
