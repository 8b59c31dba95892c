/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sight: attributes, and who is to see them. With allow_other the mode that a node shows is what is left of
 * it by all that it takes to read it, and who asks is shown no more than he may know. It must not know FUSE,
 * nor where size and times come from.
 */
#pragma once

#include "view/access.h"
#include "view/view.h"

#define SFS_FILE_MODE (S_IFREG | 0444)
#define SFS_DIRECTORY_MODE (S_IFDIR | 0555)

/* The attributes of a node as they are, and, with allow_other, of whom that is to be kept. Cleared by the
 * caller, whatever came of it. */
typedef struct {
    struct stat st;
    SfsDemands *demands;  /* of who asks for them; NULL: of nobody */
    int refused;          /* an errno, for everybody: what it takes to get there can't be told; else 0 */
    struct timespec bare; /* of a computed file: the time of its lists, which its content is no part of */
} SfsSight;

void sfs_sight_clear(SfsSight *sight);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SfsSight, sfs_sight_clear)

/* Hides from the caller what he may not know; TRUE: something was to hide. *errnum: he may know nothing. */
gboolean sfs_sight_hide(SfsSight *sight, SfsCaller *caller, int *errnum);

/* mode, and what the announcer needs of it. */
mode_t sfs_sight_let_announcer(SfsView *view, mode_t mode, uid_t uid);

/* With allow_other: each sets the mode in sight, what is left of the usual one, and what is demanded of who
 * asks. Owner and group are there already. */
void sfs_sight_judge_container(SfsView *view, SfsNode *node, SfsSight *sight);

/* A raw file or hooks in parent. base: the mode of which something is to be left. */
void sfs_sight_judge_backing(SfsView *view, SfsNode *node, const SfsDirectory *parent, mode_t base,
                             SfsSight *sight);

/* A computed file of the bundle dirfd; owner and group may become others. snapshot: what size and times are
 * of, or NULL; current: and it is made of the lists as they are. */
void sfs_sight_judge_computed(SfsView *view, SfsNode *node, int dirfd, const ShieldSnapshot *snapshot,
                              gboolean current, SfsSight *sight);
