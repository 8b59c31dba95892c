/* SPDX-License-Identifier: Apache-2.0 */
/* pending: answers, and what is to be noted with each; see pending.h. */
#include "request/pending.h"

#include <errno.h>

#include "error.h"
#include "request/shown.h"

SfsPending *sfs_pending_new(SfsPending init)
{
    SfsPending *pending = g_new(SfsPending, 1);

    *pending = init;
    pending->link.data = pending;
    return pending;
}

static void pending_free(SfsPending *pending)
{
    sfs_node_unref(pending->node);
    g_free(pending);
}

void sfs_pending_answer(SfsPending *pending, SfsContent content)
{
    int errnum = 0;

    sfs_shown_content(sfs_request_session(&pending->r), pending->node, content.serial);
    if (pending->kind == SFS_PENDING_READ) {
        sfs_file_handle_renew(pending->handle, content, 0);
        g_autoptr(GBytes) bytes = sfs_file_handle_read(pending->handle, pending->size, 0, &errnum);
        if (bytes)
            sfs_reply_bytes(&pending->r, bytes);
        else /* another thread's read has found an error since */
            sfs_reply_errno(&pending->r, errnum);
    } else {
        sfs_reply_open(&pending->r, &pending->fi, sfs_file_handle_new_computed(content));
    }
    pending_free(pending);
}

/* An error is news too, of which a poller is told once. But that a writer keeps everyone waiting is none. */
void sfs_pending_answer_error(SfsPending *pending, const GError *error, guint64 serial)
{
    if (pending->kind == SFS_PENDING_READ && error->code != EBUSY)
        sfs_file_handle_renew(pending->handle, (SfsContent){NULL, serial}, shield_error_errno(error));
    if (serial)
        sfs_shown_content(sfs_request_session(&pending->r), pending->node, serial);
    if (error->code == EBUSY)
        sfs_shown_refusal(sfs_request_session(&pending->r), pending->node);
    sfs_reply_error(&pending->r, error);
    pending_free(pending);
}

/* Whatever was found, and at once: during a rewrite it is the last complete version that has a size. */
void sfs_pending_answer_attributes(SfsPending *pending, int errnum, const struct stat *st)
{
    if (errnum)
        sfs_reply_errno(&pending->r, errnum);
    else
        sfs_reply_attributes_of(&pending->r, pending->node, st);
    pending_free(pending);
}

void sfs_pending_interrupt(SfsPending *pending)
{
    sfs_reply_errno(&pending->r, EINTR);
    pending_free(pending);
}

void sfs_pending_answer_found(SfsPending *pending, const SfsFound *found)
{
    if (pending->kind == SFS_PENDING_GETATTR)
        sfs_pending_answer_attributes(pending, found->errnum, &found->st);
    else if (found->error)
        sfs_pending_answer_error(pending, found->error, found->content.serial);
    else
        sfs_pending_answer(pending, (SfsContent){g_bytes_ref(found->content.text), found->content.serial});
}
