/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace: what -d tells of an event's life, a line for each step: "event NAME/FILE: TEXT", so that grep finds
 * all that was done about one file. It must not know what the steps lead to.
 */
#pragma once

#include <glib.h>

#include "events/announcer_protocol.h"
#include "view/tree.h"

/* About a node; about a name in a bundle (in_hooks: in its hooks directory); about a directory behind the
 * view. */
void sfs_trace_node(const SfsNode *node, const char *format, ...) G_GNUC_PRINTF(2, 3);
void sfs_trace_inotify(const SfsContainer *container, gboolean in_hooks, const char *name, guint32 mask,
                       const char *what);
void sfs_trace_directory(const char *path, const char *name, guint32 mask, const char *what);

/* What the announcer is asked for, as a word. */
const char *sfs_trace_op(SfsAnnouncerOp op);
