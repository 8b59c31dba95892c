/* SPDX-License-Identifier: Apache-2.0 */
/* announce: comparing, and one request at a time; see announce.h. */
#include "announce.h"

#include <errno.h>

#include "fault.h"
#include "open.h"
#include "text.h"

#define HOT_USEC (10 * 1000)           /* between two announcements of one node */
#define NEW_DIRECTORY_USEC (50 * 1000) /* between a directory's and its files': time to add a watch */
#define RETRY_USEC (50 * 1000)
#define RETRY_MAX_USEC (1000 * 1000)
#define MAX_RETRIES 8

/* A node that is to be looked at, or was. */
typedef struct {
    SfsNode *node;         /* a reference */
    GSequenceIter *queued; /* NULL: not in the queue */
    gint64 due;
    gint64 last; /* when it was announced last */
    gint64 born; /* of a directory: when watchers heard that it came; 0: it was there before them */
    guint retries;
    gint64 pause;      /* until the next try for the CLOSE_WRITE that a lease holds up */
    gboolean written;  /* look at it as changed */
    gboolean touched;  /* that its mtime differs has a reason: it was set */
    gboolean unclosed; /* MODIFY was announced, CLOSE_WRITE is owed */
    gboolean ghost;    /* is gone, was never announced, but somebody saw it */
    gboolean unclear;  /* what it is could not be said when it was looked at last */
    gboolean failed;   /* the log has been told that it can't be announced */
} Look;

struct SfsAnnounce {
    SfsView *view;
    SfsWire *wire;
    GHashTable *looks; /* node to Look */
    GSequence *queue;  /* of Look, by due */
    Look *out;         /* what the request that is out is about; NULL: none is */
    SfsAnnounceOp op;  /* what it asks for */
    SfsTold telling;   /* what is true of the node once it is done */
};

static void look_free(void *data)
{
    Look *look = data;

    sfs_node_unref(look->node);
    g_free(look);
}

SfsAnnounce *sfs_announce_new(SfsView *view)
{
    SfsAnnounce *announce = g_new0(SfsAnnounce, 1);

    announce->view = view;
    announce->wire = sfs_wire_new();
    announce->looks = g_hash_table_new_full(NULL, NULL, NULL, look_free);
    announce->queue = g_sequence_new(NULL);
    return announce;
}

void sfs_announce_free(SfsAnnounce *announce)
{
    g_sequence_free(announce->queue);
    g_hash_table_unref(announce->looks);
    sfs_wire_free(announce->wire);
    g_free(announce);
}

SfsWire *sfs_announce_wire(SfsAnnounce *announce)
{
    return announce->wire;
}

static Look *look_at(SfsAnnounce *announce, SfsNode *node)
{
    Look *look = g_hash_table_lookup(announce->looks, node);

    if (!look) {
        look = g_new0(Look, 1);
        look->node = sfs_node_ref(node);
        g_hash_table_insert(announce->looks, node, look);
    }
    return look;
}

static int compare_due(const void *pa, const void *pb, void *data)
{
    const Look *a = pa, *b = pb;

    (void)data;
    return (a->due > b->due) - (a->due < b->due);
}

/* Queues it for due, or leaves it where it is if that is earlier. */
static void queue(SfsAnnounce *announce, Look *look, gint64 due)
{
    if (look->queued && look->due <= due)
        return;
    if (look->queued)
        g_sequence_remove(look->queued);
    look->due = due;
    look->queued = g_sequence_insert_sorted(announce->queue, look, compare_due, NULL);
}

void sfs_announce_look(SfsAnnounce *announce, SfsNode *node, gboolean written)
{
    Look *look = look_at(announce, node);

    look->written |= written;
    queue(announce, look, MAX(g_get_monotonic_time(), look->last ? look->last + HOT_USEC : 0));
}

void sfs_announce_look_at_times(SfsAnnounce *announce, SfsNode *node)
{
    look_at(announce, node)->touched = TRUE;
    sfs_announce_look(announce, node, FALSE);
}

static gboolean content_differs(const Look *look, const SfsTold *a, const SfsTold *b)
{
    if (look->node->kind == SFS_COMPUTED || look->node->kind == SFS_STATUS)
        return a->serial != b->serial &&
               !(shield_fault(SHIELD_FAULT_MEMORY) && a->st.st_size == b->st.st_size);
    return look->written || a->dev != b->dev || a->ino != b->ino || a->st.st_size != b->st.st_size ||
           (!look->touched && !shield_time_equal(a->st.st_mtim, b->st.st_mtim));
}

/* Sends one request about look; what is true of the node afterwards is now. */
static void ask(SfsAnnounce *announce, Look *look, SfsAnnounceOp op, const SfsTold *now)
{
    announce->op = op;
    announce->telling = *now;
    if (sfs_wire_ask(announce->wire, look->node, op, now)) {
        announce->out = look;
    } else { /* the announcer is gone: the supervisor will send another */
        look->written |= op == SFS_ANNOUNCE_MODIFY;
        queue(announce, look, g_get_monotonic_time() + RETRY_USEC);
    }
}

static gboolean has_announced_child(SfsAnnounce *announce, SfsNode *directory)
{
    g_autoptr(GPtrArray) children = sfs_tree_children(announce->view->tree, directory);
    gboolean any = FALSE;

    for (guint i = 0; i < children->len; i++) {
        SfsNode *child = g_ptr_array_index(children, i);

        if (sfs_tree_is_announced(announce->view->tree, child)) {
            any = TRUE;
            queue(announce, look_at(announce, child), g_get_monotonic_time());
        }
    }
    return any;
}

static void forget_look(SfsAnnounce *announce, Look *look)
{
    if (look->queued)
        g_sequence_remove(look->queued);
    g_hash_table_remove(announce->looks, look->node);
}

/* The name is gone, and watchers are to hear of it: of what was in a directory first. */
static void announce_removal(SfsAnnounce *announce, Look *look)
{
    static const SfsTold nothing;
    gboolean directory = sfs_node_is_directory(look->node);

    if (directory && has_announced_child(announce, look->node))
        queue(announce, look, g_get_monotonic_time() + 1);
    else
        ask(announce, look, directory ? SFS_ANNOUNCE_RMDIR : SFS_ANNOUNCE_UNLINK, &nothing);
}

/* Watchers are to hear of a new name: after its directory, with time to watch that, and after the end of what
 * had the name before. */
static void announce_arrival(SfsAnnounce *announce, Look *look, const SfsTold *now)
{
    SfsTree *tree = announce->view->tree;
    SfsNode *node = look->node;
    g_autoptr(SfsNode) before = sfs_tree_announced_child(tree, node->parent, node->name);
    const Look *parent = g_hash_table_lookup(announce->looks, node->parent);
    gint64 ready = parent && parent->born ? parent->born + NEW_DIRECTORY_USEC : 0;

    if (look->ghost && before && sfs_tree_is_attached(tree, before)) {
        forget_look(announce, look); /* too late: watchers have been told of the next one with its name */
    } else if (!sfs_tree_is_announced(tree, node->parent)) {
        if (look->ghost)
            forget_look(announce, look);
    } else if (ready > g_get_monotonic_time()) {
        queue(announce, look, ready);
    } else if (before) {
        queue(announce, look_at(announce, before), g_get_monotonic_time());
        queue(announce, look, g_get_monotonic_time() + 1);
    } else {
        ask(announce, look, sfs_node_is_directory(node) ? SFS_ANNOUNCE_MKDIR : SFS_ANNOUNCE_CREATE, now);
    }
}

static void announce_change(SfsAnnounce *announce, Look *look, const SfsTold *told, const SfsTold *now)
{
    gboolean content = !sfs_node_is_directory(look->node) && content_differs(look, told, now);

    /* A computed file's owner is its directory's, and with allow_other so is much of every mode in it. */
    if (sfs_node_is_directory(look->node) && sfs_told_access_differs(told, &now->st))
        sfs_announce_look_at_children(announce, look->node, 0);
    look->written = look->touched = FALSE;
    if (content)
        ask(announce, look, SFS_ANNOUNCE_MODIFY, now);
    else if (look->unclosed)
        ask(announce, look, SFS_ANNOUNCE_CLOSE, now);
    else if (sfs_told_access_differs(told, &now->st))
        ask(announce, look, SFS_ANNOUNCE_ATTRIB, now);
    else
        sfs_tree_tell(announce->view->tree, look->node, now);
}

/* What can't be said of a computed file may be sayable later without a change. */
static void look_again(SfsAnnounce *announce, Look *look)
{
    const SfsNode *node = look->node;
    gint64 due =
        node->kind == SFS_COMPUTED ? shield_bundle_doubt_ends(node->container->bundle, node->synth) : 0;

    if (due)
        queue(announce, look, due);
}

/* What there is to tell of a node. A name that a look finds gone is gone, whether it was detached by then or
 * not: else it might come back under a number that watchers were told is dead. */
static SfsSight see(SfsAnnounce *announce, SfsNode *node, SfsTold *now)
{
    SfsTree *tree = announce->view->tree;
    SfsSight sight = SFS_GONE;

    while (sight == SFS_GONE && sfs_tree_is_attached(tree, node)) {
        guint64 time = sfs_tree_time(tree);

        shield_fault_stop(SHIELD_FAULT_STOP_COMPARISON);
        sight = sfs_view_see(announce->view, node, now);
        shield_fault_stop(SHIELD_FAULT_STOP_COMPARISON);
        if (sight == SFS_GONE) /* no effect if somebody has seen it since: then it is looked at again */
            sfs_tree_detach(tree, node->parent, node->name, time);
    }
    return sight;
}

/* One step for one node. */
static void compare(SfsAnnounce *announce, Look *look)
{
    SfsTree *tree = announce->view->tree;
    gboolean announced = sfs_tree_is_announced(tree, look->node);
    SfsTold told = sfs_tree_told(tree, look->node), now = {0};
    SfsSight sight = see(announce, look->node, &now);

    sfs_announce_look_at_ghosts(announce);
    look_again(announce, look);
    look->unclear = sight == SFS_UNCLEAR;
    if (sight == SFS_UNCLEAR)
        return; /* the end of what makes it so is a change, and leads here again */
    if (sight == SFS_FAILED)
        queue(announce, look, g_get_monotonic_time() + RETRY_MAX_USEC);
    else if (sight == SFS_GONE && announced)
        announce_removal(announce, look);
    else if (sight == SFS_GONE && !look->ghost)
        forget_look(announce, look);
    else if (!announced)
        announce_arrival(announce, look, &now);
    else
        announce_change(announce, look, &told, &now);
}

void sfs_announce_look_at_unclear(SfsAnnounce *announce)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, announce->looks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Look *look = value;

        if (look->unclear)
            queue(announce, look, g_get_monotonic_time());
    }
}

void sfs_announce_look_at_children(SfsAnnounce *announce, SfsNode *directory, gint64 delay)
{
    g_autoptr(GPtrArray) children = sfs_tree_children(announce->view->tree, directory);

    for (guint i = 0; i < children->len; i++)
        queue(announce, look_at(announce, g_ptr_array_index(children, i)), g_get_monotonic_time() + delay);
}

void sfs_announce_look_at_ghosts(SfsAnnounce *announce)
{
    g_autoptr(GPtrArray) ghosts = sfs_tree_take_ghosts(announce->view->tree);

    for (guint i = 0; i < ghosts->len; i++) {
        Look *look = look_at(announce, g_ptr_array_index(ghosts, i));

        look->ghost = TRUE;
        queue(announce, look, 0); /* before what has its name now, which may be in the queue */
    }
}

void sfs_announce_assume(SfsAnnounce *announce, SfsNode *node)
{
    SfsTold now = {0};

    sfs_tree_set_announced(announce->view->tree, node, TRUE);
    if (sfs_view_see(announce->view, node, &now) == SFS_CLEAR)
        sfs_tree_tell(announce->view->tree, node, &now);
}

/* Only the content was told: a new mode or owner is still to be. But that others may not read goes with an
 * error (see attributes.c), and is no news beside it. */
static void keep_access(SfsAnnounce *announce, Look *look)
{
    SfsTold told = sfs_tree_told(announce->view->tree, look->node);
    struct stat *telling = &announce->telling.st, *before = &told.st;

    if (((telling->st_mode ^ before->st_mode) & ~(mode_t)S_IROTH) == 0 && telling->st_uid == before->st_uid &&
        telling->st_gid == before->st_gid)
        return;
    telling->st_mode = before->st_mode;
    telling->st_uid = before->st_uid;
    telling->st_gid = before->st_gid;
    queue(announce, look, look->last);
}

/* What was asked has been done. */
static void done(SfsAnnounce *announce, Look *look, SfsAnnounceOp op)
{
    SfsTree *tree = announce->view->tree;

    look->retries = 0;
    switch (op) {
    case SFS_ANNOUNCE_CLOSE:
        look->unclosed = FALSE;
        queue(announce, look, look->last); /* what else there may be to tell came second */
        return;
    case SFS_ANNOUNCE_UNLINK:
    case SFS_ANNOUNCE_RMDIR:
        return forget_look(announce, look);
    case SFS_ANNOUNCE_MKDIR:
        look->born = look->last;
        sfs_announce_look_at_children(announce, look->node, NEW_DIRECTORY_USEC);
        break;
    case SFS_ANNOUNCE_MODIFY:
        look->unclosed = FALSE;
        keep_access(announce, look);
        break;
    case SFS_ANNOUNCE_TIME:
        look->unclosed = TRUE;
        look->pause = RETRY_USEC;
        queue(announce, look, look->last + RETRY_USEC);
        keep_access(announce, look);
        break;
    case SFS_ANNOUNCE_CREATE:
    case SFS_ANNOUNCE_ATTRIB:
    default:
        break;
    }
    sfs_tree_tell(tree, look->node, &announce->telling);
    if (look->ghost) {
        look->ghost = FALSE;
        queue(announce, look, g_get_monotonic_time());
    }
}

/* It can't be done. Trying for ever would be worse than a lost event: what was asked counts as done. */
static void give_up(SfsAnnounce *announce, Look *look, SfsAnnounceOp op, int errnum)
{
    g_autofree char *path = sfs_wire_path(look->node);
    g_autofree char *subject = shield_text_escape(path, -1);

    if (!look->failed)
        g_message("%s: could not be announced: %s", subject, g_strerror(errnum));
    look->failed = TRUE;
    if (op == SFS_ANNOUNCE_CREATE || op == SFS_ANNOUNCE_MKDIR)
        sfs_tree_set_announced(announce->view->tree, look->node, TRUE);
    if (op == SFS_ANNOUNCE_UNLINK || op == SFS_ANNOUNCE_RMDIR)
        sfs_tree_set_announced(announce->view->tree, look->node, FALSE);
    done(announce, look, op);
}

static void not_done(SfsAnnounce *announce, Look *look, SfsAnnounceOp op, int errnum)
{
    if (errnum == ESTALE) { /* another is mounted over it, or it is detached */
        look->written |= op == SFS_ANNOUNCE_MODIFY;
        queue(announce, look, g_get_monotonic_time());
    } else if (errnum == EAGAIN && op == SFS_ANNOUNCE_MODIFY) {
        ask(announce, look, SFS_ANNOUNCE_TIME, &announce->telling); /* somebody holds a lease on it */
    } else if (errnum == EAGAIN && op == SFS_ANNOUNCE_CLOSE) {
        look->pause = MIN(look->pause * 2, RETRY_MAX_USEC); /* and may do so for long */
        queue(announce, look, look->last + look->pause);
    } else if (errnum == EACCES || errnum == EPERM || /* another owner's file, with allow_other */
               (errnum != EAGAIN && errnum != ECONNRESET && ++look->retries > MAX_RETRIES)) {
        give_up(announce, look, op, errnum);
    } else {
        look->written |= op == SFS_ANNOUNCE_MODIFY;
        queue(announce, look, g_get_monotonic_time() + RETRY_USEC);
    }
}

/* The announcer made the directory known and died before it could say so: its files are still to come. */
static gboolean died_too_late(SfsAnnounce *announce, const Look *look, int errnum)
{
    return errnum == ECONNRESET && announce->op == SFS_ANNOUNCE_MKDIR &&
           sfs_tree_is_announced(announce->view->tree, look->node);
}

/* The request that was out has come back. */
static void finish(SfsAnnounce *announce, int errnum)
{
    Look *look = g_steal_pointer(&announce->out);

    look->last = g_get_monotonic_time();
    look->failed &= errnum != 0;
    if (errnum && !died_too_late(announce, look, errnum))
        not_done(announce, look, announce->op, errnum);
    else
        done(announce, look, announce->op);
}

void sfs_announce_answered(SfsAnnounce *announce)
{
    int errnum;

    if (sfs_wire_answer(announce->wire, &errnum) && announce->out)
        finish(announce, errnum);
}

gint64 sfs_announce_work(SfsAnnounce *announce)
{
    while (!announce->out && sfs_wire_socket(announce->wire) >= 0) {
        GSequenceIter *first = g_sequence_get_begin_iter(announce->queue);

        if (g_sequence_iter_is_end(first))
            return -1;

        Look *look = g_sequence_get(first);
        gint64 due = MAX(look->due, sfs_wire_covered_until(announce->wire));
        if (due > g_get_monotonic_time())
            return due;
        g_sequence_remove(first);
        look->queued = NULL;
        compare(announce, look);
    }
    return -1;
}

gboolean sfs_announce_is_idle(SfsAnnounce *announce)
{
    return !announce->out && g_sequence_is_empty(announce->queue);
}
