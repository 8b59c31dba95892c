/* SPDX-License-Identifier: Apache-2.0 */
/* readers: see readers.h. */
#include "view/readers.h"

#include "lock.h"

gboolean sfs_readers_hide(SfsNode *node)
{
    SHIELD_AUTO_LOCK(&node->container->lock);

    if (node->readers > 0)
        return FALSE;
    node->hidden = TRUE;
    return TRUE;
}

gboolean sfs_readers_enter(SfsNode *node)
{
    SHIELD_AUTO_LOCK(&node->container->lock);
    gboolean hidden = node->hidden != 0;

    node->readers++;
    node->hidden = FALSE;
    return hidden;
}

void sfs_readers_leave(SfsNode *node)
{
    SHIELD_AUTO_LOCK(&node->container->lock);

    node->readers--;
}
