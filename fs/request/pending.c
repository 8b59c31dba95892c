/* SPDX-License-Identifier: Apache-2.0 */
/* pending: answers, and what is to be noted with each; see pending.h. */
#include "request/pending.h"

#include <errno.h>

#include "error.h"

SfsPending *sfs_pending_new(SfsPending init)
{
    SfsPending *pending = g_new(SfsPending, 1);

    *pending = init;
    pending->link.data = pending;
    return pending;
}

static void held_free(SfsPending *pending)
{
    sfs_node_unref(pending->node);
    g_free(pending);
}

/* What has changed without an event is announced when an open finds it. */
static void note_shown(const SfsPending *pending, guint64 serial)
{
    const SfsSession *session = sfs_request_session(&pending->r);

    if (pending->node->kind != SFS_VERSION &&
        sfs_tree_is_announced(sfs_view_tree(session->view), pending->node) &&
        sfs_tree_announced_state(sfs_view_tree(session->view), pending->node).serial != serial)
        sfs_watcher_recheck(session->watcher, pending->node);
}

void sfs_pending_answer(SfsPending *pending, SfsContent content)
{
    int errnum = 0;

    note_shown(pending, content.serial);
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
    held_free(pending);
}

/* The status file names the list that is in the way. */
static void note_refused(const SfsPending *pending)
{
    const SfsNode *node = pending->node;

    if (node->kind == SFS_COMPUTED && shield_bundle_refuse(node->container->bundle, node->computed))
        sfs_watcher_recheck(sfs_request_session(&pending->r)->watcher, pending->node);
}

/* An error is news too, of which a poller is told once. But that a writer keeps everyone waiting is none. */
void sfs_pending_answer_error(SfsPending *pending, const GError *error, guint64 serial)
{
    if (pending->kind == SFS_PENDING_READ && error->code != EBUSY)
        sfs_file_handle_renew(pending->handle, (SfsContent){NULL, serial}, shield_error_errno(error));
    if (serial)
        note_shown(pending, serial);
    if (error->code == EBUSY)
        note_refused(pending);
    sfs_reply_error(&pending->r, error);
    held_free(pending);
}

/* Whatever was found, and at once: during a rewrite it is the last complete version that has a size. */
void sfs_pending_answer_attributes(SfsPending *pending, int errnum, const struct stat *st)
{
    if (errnum)
        sfs_reply_errno(&pending->r, errnum);
    else
        sfs_reply_attributes_of(&pending->r, pending->node, st);
    held_free(pending);
}

void sfs_pending_interrupt(SfsPending *pending)
{
    sfs_reply_errno(&pending->r, EINTR);
    held_free(pending);
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
