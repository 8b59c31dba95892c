/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply: one request, and the ways to answer it. The only one who replies: where an error becomes an
 * errno, where a request is counted, where an open that fails is logged, and where -d gets its line.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "request/handle.h"
#include "request/session.h"
#include "view/attributes.h"

typedef struct {
    fuse_req_t req;
    const char *op;
    guint64 ino;
    const char *name; /* or NULL */
    SfsOp kind;       /* as it is counted */
    gint64 since;     /* monotonic time, microseconds */
} SfsRequest;

/* One that has just come. op, name: not copied. */
SfsRequest sfs_request(fuse_req_t req, SfsOp kind, const char *op, guint64 ino, const char *name);

SfsSession *sfs_request_session(const SfsRequest *r);
gboolean sfs_request_is_announcers(const SfsRequest *r);

/* The line that -d prints. */
void sfs_request_trace(const SfsRequest *r, const char *format, ...) G_GNUC_PRINTF(2, 3);

void sfs_reply_errno(const SfsRequest *r, int errnum);
void sfs_reply_error(const SfsRequest *r, const GError *error);
void sfs_reply_over_quota(const SfsRequest *r, SfsNode *node, SfsQuota *quota, int errnum);
void sfs_reply_none(const SfsRequest *r); /* to a FORGET */
void sfs_reply_poll(const SfsRequest *r, unsigned events);
void sfs_reply_statfs(const SfsRequest *r, const struct statvfs *sv);
void sfs_reply_bytes(const SfsRequest *r, GBytes *bytes);
void sfs_reply_attributes(const SfsRequest *r, const struct stat *st);

/* Lets the kernel forget what it was told of the node's size, also what is on its way to it. */
void sfs_reply_forget_size(const SfsRequest *r, SfsNode *node);

/* The same to somebody other than the announcer, who has then been shown them (see shown.h), but for what is
 * to be hidden from him: EACCES, if it is open, for to whom it is open the kernel would show what is shown to
 * him (readers.h). */
void sfs_reply_attributes_of(const SfsRequest *r, SfsNode *node, const SfsSight *sight);

/* Gives the kernel node once more, with these attributes. */
void sfs_reply_entry(const SfsRequest *r, SfsNode *node, const struct stat *st);

/* Each takes handle; it is freed by the RELEASE, or at the end of the
 * session. */
void sfs_reply_open(const SfsRequest *r, struct fuse_file_info *fi, SfsFileHandle *handle);
void sfs_reply_opendir(const SfsRequest *r, struct fuse_file_info *fi, SfsDirectoryHandle *handle);

/* Each gives an open file that is never read: it has no handle. */
void sfs_reply_open_unread(const SfsRequest *r, struct fuse_file_info *fi);
void sfs_reply_created(const SfsRequest *r, struct fuse_file_info *fi, SfsNode *node, const struct stat *st);
