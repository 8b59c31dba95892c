/* SPDX-License-Identifier: Apache-2.0 */
/* pending: answers, and what is to be noted with each; see pending.h. */
#include "request/pending.h"

#include <errno.h>
#include <poll.h>

#include "error.h"
#include "request/caller.h"
#include "request/shown.h"
#include "view/readers.h"

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

gboolean sfs_pending_is_old(const SfsPending *pending, guint64 serial)
{
    return sfs_file_handle_serial(pending->handle) != serial;
}

void sfs_found_clear(SfsFound *found)
{
    sfs_content_clear(&found->content);
    sfs_sight_clear(&found->sight);
    g_clear_error(&found->error);
}

/* What the handle has by now. */
static void answer_read(SfsPending *pending)
{
    int errnum = 0;
    g_autoptr(GBytes) bytes = sfs_file_handle_read(pending->handle, pending->size, 0, &errnum);

    if (bytes)
        sfs_reply_bytes(&pending->r, bytes);
    else
        sfs_reply_errno(&pending->r, errnum);
}

/* May he who asks, and may he who opened what he asks by, be given what was found? */
typedef struct {
    gboolean caller, opener;
} Verdict;

static Verdict judge(const SfsPending *pending, const SfsFound *found)
{
    g_auto(SfsCaller) caller = sfs_caller_of(&pending->r);
    SfsCaller *opener = pending->handle ? &pending->handle->opener : &caller;
    gboolean may = sfs_access_allows(found->content.demands, &caller);

    return (Verdict){may, sfs_caller_is(opener, &caller) ? may
                                                         : sfs_access_allows(found->content.demands, opener)};
}

/* A handle whose opener may read no more has no more than that, until he may: whoever reads it otherwise
 * leaves it alone. */
static void refuse(SfsPending *pending, Verdict verdict)
{
    if (pending->kind == SFS_PENDING_READ && !verdict.opener)
        sfs_file_handle_renew(pending->handle, (SfsContent){0}, (SfsShare){0}, EACCES);
    sfs_reply_errno(&pending->r, EACCES);
}

/* He has as much of the cache as he may. */
static void refuse_content(SfsPending *pending, guint64 serial)
{
    if (pending->kind == SFS_PENDING_READ)
        sfs_file_handle_renew(pending->handle, (SfsContent){NULL, serial, NULL}, (SfsShare){0}, ENOMEM);
    sfs_reply_over_quota(&pending->r, pending->node, sfs_request_session(&pending->r)->texts, ENOMEM);
}

/* The node as one that is open from now on; NULL: nothing of it is hidden from anybody. */
static SfsNode *enter(const SfsPending *pending)
{
    if (pending->node->kind != SFS_COMPUTED)
        return NULL;
    if (sfs_readers_enter(pending->node))
        sfs_reply_forget_size(&pending->r, pending->node);
    return sfs_node_ref(pending->node);
}

static void answer_content(SfsPending *pending, const SfsFound *found)
{
    SfsSession *session = sfs_request_session(&pending->r);
    const struct fuse_ctx *ctx = fuse_req_ctx(pending->r.req);
    gsize size;
    const void *text = g_bytes_get_data(found->content.text, &size);
    g_auto(SfsShare) share = {0};

    if (!sfs_share_take_of(&share, session->texts, ctx->uid, text, size))
        return refuse_content(pending, found->content.serial);

    SfsContent content = {g_bytes_ref(found->content.text), found->content.serial, NULL};
    sfs_shown_content(session, pending->node, content.serial);
    if (pending->kind == SFS_PENDING_READ) {
        sfs_file_handle_renew(pending->handle, content, sfs_share_steal(&share), 0);
        answer_read(pending);
    } else {
        sfs_reply_open(&pending->r, &pending->fi,
                       sfs_file_handle_new_computed(content, sfs_share_steal(&share),
                                                    sfs_caller_remember(ctx->uid, ctx->gid), enter(pending)));
    }
}

/* An error is news too, of which a poller is told once. But that a writer keeps everyone waiting is none. */
static void answer_error(SfsPending *pending, const SfsFound *found)
{
    const GError *error = found->error;
    guint64 serial = found->content.serial;

    if (pending->kind == SFS_PENDING_READ && error->code != EBUSY)
        sfs_file_handle_renew(pending->handle, (SfsContent){NULL, serial, NULL}, (SfsShare){0},
                              shield_error_errno(error));
    if (serial)
        sfs_shown_content(sfs_request_session(&pending->r), pending->node, serial);
    if (error->code == EBUSY)
        sfs_shown_refusal(sfs_request_session(&pending->r), pending->node);
    sfs_reply_error(&pending->r, error);
}

/* Whatever was found, and at once: during a rewrite it is the last complete version that has a size. */
static void answer_attributes(SfsPending *pending, const SfsFound *found)
{
    if (found->errnum)
        sfs_reply_errno(&pending->r, found->errnum);
    else
        sfs_reply_attributes_of(&pending->r, pending->node, &found->sight);
}

static void answer_poll(const SfsPending *pending, gboolean news)
{
    sfs_reply_poll(&pending->r, POLLIN | POLLRDNORM | (news ? POLLPRI | POLLERR : 0));
}

void sfs_pending_interrupt(SfsPending *pending)
{
    if (pending->kind == SFS_PENDING_POLL)
        answer_poll(pending, FALSE);
    else
        sfs_reply_errno(&pending->r, EINTR);
    pending_free(pending);
}

/* To him who may not read it the only news is that he may not, or that he may again. */
static void answer_poll_found(const SfsPending *pending, const SfsFound *found, Verdict verdict)
{
    gboolean busy = found->error && found->error->code == EBUSY;

    if (verdict.caller && verdict.opener)
        answer_poll(pending, (found->serial || !busy) && sfs_pending_is_old(pending, found->serial));
    else
        answer_poll(pending, !verdict.opener && sfs_file_handle_serial(pending->handle) != 0);
}

static void answer_contents(SfsPending *pending, const SfsFound *found)
{
    gboolean busy = found->error && found->error->code == EBUSY;
    Verdict verdict = judge(pending, found);

    if (pending->kind == SFS_PENDING_POLL)
        answer_poll_found(pending, found, verdict);
    else if (!verdict.caller || !verdict.opener)
        refuse(pending, verdict);
    else if (pending->kind == SFS_PENDING_READ && (busy || found->serial == found->content.serial) &&
             !sfs_pending_is_old(pending, found->serial))
        answer_read(pending); /* it has that already */
    else if (found->error)
        answer_error(pending, found);
    else
        answer_content(pending, found);
}

void sfs_pending_answer_found(SfsPending *pending, const SfsFound *found)
{
    if (pending->kind == SFS_PENDING_GETATTR)
        answer_attributes(pending, found);
    else
        answer_contents(pending, found);
    pending_free(pending);
}
