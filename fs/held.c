/* SPDX-License-Identifier: Apache-2.0 */
/* held: answers, and what is to be noted with each; see held.h. */
#include "held.h"

#include <errno.h>

#include "error.h"

SfsHeld *sfs_held_new(SfsHeld init)
{
    SfsHeld *held = g_new(SfsHeld, 1);

    *held = init;
    held->link.data = held;
    return held;
}

static void held_free(SfsHeld *held)
{
    sfs_node_unref(held->node);
    g_free(held);
}

/* What has changed without an event is announced when an open finds it. */
static void note_shown(const SfsHeld *held, guint64 serial)
{
    const SfsSession *own = sfs_request_session(&held->r);

    if (held->node->kind != SFS_VERSION && sfs_tree_is_announced(own->view->tree, held->node) &&
        sfs_tree_told(own->view->tree, held->node).serial != serial)
        sfs_watcher_suspect(own->watcher, held->node);
}

void sfs_held_answer(SfsHeld *held, SfsContent content)
{
    int errnum = 0;

    note_shown(held, content.serial);
    if (held->kind == SFS_HELD_READ) {
        sfs_file_handle_renew(held->handle, content, 0);
        g_autoptr(GBytes) bytes = sfs_file_handle_read(held->handle, held->size, 0, &errnum);
        if (bytes)
            sfs_reply_bytes(&held->r, bytes);
        else /* another thread's read has found an error since */
            sfs_reply_errno(&held->r, errnum);
    } else {
        sfs_reply_open(&held->r, &held->fi, sfs_file_handle_new_computed(content));
    }
    held_free(held);
}

/* The status file names the list that is in the way. */
static void note_refused(const SfsHeld *held)
{
    const SfsNode *node = held->node;

    if (node->kind == SFS_COMPUTED && shield_bundle_refuse(node->container->bundle, node->synth))
        sfs_watcher_suspect(sfs_request_session(&held->r)->watcher, held->node);
}

/* An error is news too, of which a poller is told once. But that a writer keeps everyone waiting is none. */
void sfs_held_answer_error(SfsHeld *held, const GError *error, guint64 serial)
{
    if (held->kind == SFS_HELD_READ && error->code != EBUSY)
        sfs_file_handle_renew(held->handle, (SfsContent){NULL, serial}, shield_error_errno(error));
    if (serial)
        note_shown(held, serial);
    if (error->code == EBUSY)
        note_refused(held);
    sfs_reply_error(&held->r, error);
    held_free(held);
}

/* Whatever was found, and at once: during a rewrite it is the last complete version that has a size. */
void sfs_held_answer_attributes(SfsHeld *held, int errnum, const struct stat *st)
{
    if (errnum)
        sfs_reply_errno(&held->r, errnum);
    else
        sfs_reply_attributes_of(&held->r, held->node, st);
    held_free(held);
}

void sfs_held_interrupt(SfsHeld *held)
{
    sfs_reply_errno(&held->r, EINTR);
    held_free(held);
}

void sfs_held_answer_found(SfsHeld *held, const SfsFound *found)
{
    if (held->kind == SFS_HELD_GETATTR)
        sfs_held_answer_attributes(held, found->errnum, &found->st);
    else if (found->error)
        sfs_held_answer_error(held, found->error, found->content.serial);
    else
        sfs_held_answer(held, (SfsContent){g_bytes_ref(found->content.text), found->content.serial});
}
