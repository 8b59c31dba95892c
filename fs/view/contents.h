/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contents: what the view's files hold: the computed ones, those of .shieldfs, and the way to the raw ones.
 * An error is a GError, for its message is for a person to read. It must not know FUSE.
 */
#pragma once

#include "view/access.h"
#include "view/view.h"

/* The content of a file that is computed, at one moment. */
typedef struct {
    GBytes *text;   /* a reference of the caller's; NULL: an error */
    guint64 serial; /* tells it from every other content or error that the file has had; 0: none of these */
    SfsDemands *demands; /* with allow_other: of who is to be given it; NULL: of nobody */
} SfsContent;

void sfs_content_clear(SfsContent *content);

/* FALSE with error, and the serial in content; its code is EBUSY if a list is being written at this moment.
 * Never waits for a writer. */
gboolean sfs_contents_snapshot(SfsView *view, SfsNode *node, SfsContent *content, GError **error);

/* The same, but FALSE without error if a list would have to be read or a content computed first. */
gboolean sfs_contents_at_once(SfsView *view, SfsNode *node, SfsContent *content, GError **error);

/* The serial of what it was found to hold last; 0: it never was. Nothing is read or computed. */
guint64 sfs_contents_serial(SfsView *view, SfsNode *node);

/* A descriptor of a raw file, and what it is; -1 with error, or without one if the caller may not read it. */
int sfs_contents_open_raw(SfsView *view, SfsNode *node, SfsCaller *caller, struct stat *st, GError **error);
