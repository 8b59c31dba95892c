/* SPDX-License-Identifier: Apache-2.0 */
/* outcome: done, given up, put off, or tried again; see outcome.h. */
#include "events/outcome.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "events/trace.h"
#include "view/wrong.h"

#define RETRY_MAX_USEC (1000 * 1000)
#define MAX_RETRIES 3 /* at the first pace; then it goes to the backlog */

/* MODIFY tells of the content alone: a new mode or owner is still to be told. But that a file in error may
 * not be read by others (see attributes.c) is no news beside the error. */
static void keep_access(SfsOutbox *outbox, Recheck *recheck)
{
    SfsState announced_state = sfs_tree_announced_state(sfs_view_tree(outbox->view), recheck->node);
    struct stat *telling = &outbox->telling.st, *before = &announced_state.st;

    if (((telling->st_mode ^ before->st_mode) & ~(mode_t)S_IROTH) == 0 && telling->st_uid == before->st_uid &&
        telling->st_gid == before->st_gid)
        return;
    telling->st_mode = before->st_mode;
    telling->st_uid = before->st_uid;
    telling->st_gid = before->st_gid;
    queue(outbox, recheck, recheck->last);
}

/* What was asked has been done, or is given up. */
static void done(SfsOutbox *outbox, Recheck *recheck, SfsAnnouncerOp op)
{
    SfsTree *tree = sfs_view_tree(outbox->view);

    recheck->retries = 0;
    recheck->pause = 0;
    sfs_backlog_remove(outbox->backlog, recheck->node);
    switch (op) {
    case SFS_ANNOUNCER_CLOSE:
        recheck->unclosed = FALSE;
        queue(outbox, recheck, recheck->last); /* what else there may be to tell came second */
        return;
    case SFS_ANNOUNCER_UNLINK:
    case SFS_ANNOUNCER_RMDIR:
        return forget_recheck(outbox, recheck);
    case SFS_ANNOUNCER_MKDIR:
        recheck->born = recheck->last;
        sfs_asking_recheck_children(outbox, recheck->node, SFS_NEW_DIRECTORY_USEC);
        break;
    case SFS_ANNOUNCER_MODIFY:
        recheck->unclosed = FALSE;
        keep_access(outbox, recheck);
        break;
    case SFS_ANNOUNCER_TIME:
        recheck->unclosed = TRUE;
        recheck->pause = SFS_RETRY_USEC;
        queue(outbox, recheck, recheck->last + SFS_RETRY_USEC);
        keep_access(outbox, recheck);
        break;
    case SFS_ANNOUNCER_CREATE:
    case SFS_ANNOUNCER_ATTRIB:
    default:
        break;
    }
    sfs_tree_set_announced_state(tree, recheck->node, &outbox->telling);
    if (recheck->ghost || !sfs_tree_is_attached(tree, recheck->node)) { /* its end is to be told, too */
        sfs_rechecks_set_ghost(outbox->rechecks, recheck, FALSE);
        queue(outbox, recheck, g_get_monotonic_time());
    }
}

/* With allow_other the kernel lets a plain user's announcer act on what is his alone. The status file tells
 * of the rest (status.c). */
static gboolean is_anothers(SfsOutbox *outbox, const Recheck *recheck)
{
    const SfsNode *node = recheck->node;
    SfsState announced_state = sfs_tree_announced_state(sfs_view_tree(outbox->view), recheck->node);
    SfsState parent = sfs_tree_announced_state(sfs_view_tree(outbox->view), node->parent);
    const struct stat *st = outbox->telling.st.st_mode ? &outbox->telling.st : &announced_state.st;

    return sfs_view_allows_others(outbox->view) && geteuid() != 0 &&
           (st->st_uid != geteuid() || (parent.st.st_mode && parent.st.st_uid != geteuid()));
}

static void say_not_announced(const SfsNode *node, int errnum)
{
    g_autofree char *text = g_strdup_printf("could not be announced: %s", sfs_backlog_reason(errnum));

    sfs_wrong_log(node, G_LOG_LEVEL_MESSAGE, text);
}

/* It will never be possible: what was asked counts as done. */
static void give_up(SfsOutbox *outbox, Recheck *recheck, SfsAnnouncerOp op, int errnum)
{
    if (!recheck->failed)
        say_not_announced(recheck->node, errnum);
    recheck->failed = TRUE;
    if (op == SFS_ANNOUNCER_CREATE || op == SFS_ANNOUNCER_MKDIR)
        sfs_tree_set_announced(sfs_view_tree(outbox->view), recheck->node, TRUE);
    if (op == SFS_ANNOUNCER_UNLINK || op == SFS_ANNOUNCER_RMDIR)
        sfs_tree_set_announced(sfs_view_tree(outbox->view), recheck->node, FALSE);
    done(outbox, recheck, op);
}

/* It can't be done at present, whatever the reason: what there is to tell is kept until it can be told. */
static void put_off(SfsOutbox *outbox, Recheck *recheck, int errnum)
{
    if (sfs_backlog_add(outbox->backlog, recheck->node, errnum))
        say_not_announced(recheck->node, errnum);
}

static void not_done(SfsOutbox *outbox, Recheck *recheck, SfsAnnouncerOp op, int errnum)
{
    if (errnum == ESTALE) { /* another is mounted over it, or it is detached */
        recheck->written |= op == SFS_ANNOUNCER_MODIFY;
        queue(outbox, recheck, g_get_monotonic_time());
    } else if (errnum == EAGAIN && op == SFS_ANNOUNCER_MODIFY) {
        /* Somebody holds a lease on it. */
        sfs_asking_ask(outbox, recheck, SFS_ANNOUNCER_TIME, &outbox->telling);
    } else if (errnum == EAGAIN && op == SFS_ANNOUNCER_CLOSE) {
        recheck->pause = MIN(recheck->pause * 2, RETRY_MAX_USEC); /* and may do so for long */
        queue(outbox, recheck, recheck->last + recheck->pause);
    } else if ((errnum == EACCES || errnum == EPERM) && is_anothers(outbox, recheck)) {
        give_up(outbox, recheck, op, errnum);
    } else {
        recheck->written |= op == SFS_ANNOUNCER_MODIFY;
        if (errnum != EAGAIN && errnum != ECONNRESET && ++recheck->retries > MAX_RETRIES)
            put_off(outbox, recheck, errnum);
        else
            queue(outbox, recheck, g_get_monotonic_time() + SFS_RETRY_USEC);
    }
}

void sfs_outcome_try_again(SfsOutbox *outbox, SfsNode *node)
{
    queue(outbox, recheck_of(outbox, node), g_get_monotonic_time());
}

/* It works again: all that could not be announced is tried at once. */
static void try_all_again(SfsOutbox *outbox)
{
    g_autoptr(GPtrArray) nodes = sfs_backlog_nodes(outbox->backlog);

    for (guint i = 0; i < nodes->len; i++)
        sfs_outcome_try_again(outbox, g_ptr_array_index(nodes, i));
}

/* The announcer made the directory known, and died before it could say so. The directory's files are still to
 * come. */
static gboolean died_too_late(SfsOutbox *outbox, const Recheck *recheck, int errnum)
{
    return errnum == ECONNRESET && outbox->op == SFS_ANNOUNCER_MKDIR &&
           sfs_tree_is_announced(sfs_view_tree(outbox->view), recheck->node);
}

void sfs_outcome_finish(SfsOutbox *outbox, int errnum)
{
    Recheck *recheck = g_steal_pointer(&outbox->out);

    recheck->out = FALSE;
    recheck->last = g_get_monotonic_time();
    recheck->failed &= errnum != 0;
    sfs_trace_node(recheck->node, "the announcer answers: %s", errnum ? strerrorname_np(errnum) : "done");
    if (errnum && !died_too_late(outbox, recheck, errnum)) {
        shield_counter_add(&outbox->failed, 1);
        not_done(outbox, recheck, outbox->op, errnum);
        return;
    }
    shield_counter_add(&outbox->announced[outbox->op], 1);
    done(outbox, recheck, outbox->op);
    if (sfs_backlog_works(outbox->backlog))
        try_all_again(outbox);
}
