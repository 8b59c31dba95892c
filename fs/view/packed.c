/* SPDX-License-Identifier: Apache-2.0 */
/* packed: see packed.h. */
#include "view/packed.h"

SfsPacked sfs_pack(const struct stat *st)
{
    return (SfsPacked){
        .mode = st->st_mode,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .nlink = (guint32)st->st_nlink,
        .size = st->st_size,
        .mtime = st->st_mtim.tv_sec,
        .ctime = st->st_ctim.tv_sec,
        .mtime_nsec = (guint32)st->st_mtim.tv_nsec,
        .ctime_nsec = (guint32)st->st_ctim.tv_nsec,
    };
}

struct stat sfs_unpack(const SfsPacked *packed)
{
    struct timespec mtime = {packed->mtime, packed->mtime_nsec};

    return (struct stat){
        .st_mode = packed->mode,
        .st_uid = packed->uid,
        .st_gid = packed->gid,
        .st_nlink = packed->nlink,
        .st_size = packed->size,
        .st_blocks = (packed->size + 511) / 512,
        .st_atim = mtime,
        .st_mtim = mtime,
        .st_ctim = {packed->ctime, packed->ctime_nsec},
    };
}
