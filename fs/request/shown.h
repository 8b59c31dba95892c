/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shown: somebody other than the announcer was shown something of the view. If watchers were told something
 * else, or nothing, the watcher is to look at it: so a change that made no event is announced when somebody
 * sees it. It must not know requests, nor how anything is announced.
 */
#pragma once

#include "request/session.h"

/* That there is such a node. */
void sfs_shown_node(const SfsSession *session, SfsNode *node);

/* That there is no such name in the directory. */
void sfs_shown_absence(const SfsSession *session, SfsNode *directory, const char *name);

/* All that is in the directory, and that nothing else is. */
void sfs_shown_listing(const SfsSession *session, SfsNode *directory);

void sfs_shown_attributes(const SfsSession *session, SfsNode *node, const struct stat *st);

/* An open raw file, as it is on disk. */
void sfs_shown_file(const SfsSession *session, SfsNode *node, const struct stat *backing);

/* A content of a computed file or of .shieldfs, or an error in its place. */
void sfs_shown_content(const SfsSession *session, SfsNode *node, guint64 serial);

/* That a list is in the way (EBUSY), which the status file tells. */
void sfs_shown_refusal(const SfsSession *session, SfsNode *node);
