/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota: who may hold how many of something that there are only so many of. It must not know of what.
 *
 * The mounting user and root may hold all. The others together may hold half, and each of them no more than
 * he then leaves to the rest of them: so whoever comes finds something, be it ever less.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct SfsQuota SfsQuota;

/* owner: the mounting user. what: a name for them, in the plural, for the log; not copied. */
SfsQuota *sfs_quota_new(gsize max, uid_t owner, const char *what);
void sfs_quota_free(SfsQuota *quota); /* after all shares are cleared */

/* Logs that path was refused to uid; not more than one line a minute. */
void sfs_quota_tell(SfsQuota *quota, const char *path, uid_t uid);

/* What somebody holds. */
typedef struct {
    SfsQuota *quota; /* NULL: nothing */
    uid_t uid;
    gsize n;
    const void *thing; /* NULL: it is of none */
} SfsShare;

/* Gives n to uid, if he may have them; share holds nothing before, and nothing if it is FALSE. */
gboolean sfs_share_take(SfsShare *share, SfsQuota *quota, uid_t uid, gsize n);

/* The same for a thing that somebody may hold several times: it costs him n once, for as long as any of his
 * shares is of it. It must live as long as they. The mounting user and root are not counted. */
gboolean sfs_share_take_of(SfsShare *share, SfsQuota *quota, uid_t uid, const void *thing, gsize n);

SfsShare sfs_share_steal(SfsShare *share); /* what it held, for another */
void sfs_share_clear(SfsShare *share);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SfsShare, sfs_share_clear)
