/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers: who has a computed file open, against who is shown that it is empty. The kernel answers a stat by
 * what it is told for that one, but keeps one size of each file, by which all who have it open seek to its
 * end and map it. It must not know who they are.
 */
#pragma once

#include "view/tree.h"

/* Somebody who may not read node is to be shown that it is empty. FALSE: not now, as it is open. */
gboolean sfs_readers_hide(SfsNode *node);

/* It is about to be open, once more. TRUE: what was shown before may be on its way yet, and the kernel must
 * be told that it is old. */
gboolean sfs_readers_enter(SfsNode *node);
void sfs_readers_leave(SfsNode *node);
