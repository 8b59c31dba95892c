/* SPDX-License-Identifier: Apache-2.0 */
/* rechecks: see rechecks.h. */
#include "events/rechecks.h"

#include "hash.h"

/* So long what was done last counts: for the pauses between two announcements, and after a directory's. */
#define COUNTS_USEC G_USEC_PER_SEC

/* So many are looked at, at most, when one is taken: more than are taken, so that their number shrinks. */
#define SWEPT 4

/* All that are queued of one container, or of what else there is in the root. Containers take turns: who has
 * had his goes behind all that were due by then. Those that are gone never have two turns in a row before
 * them, so that any number of them delays the others' news but little. */
typedef struct {
    char *name;           /* in the root */
    GSequence *queue;     /* of SfsRecheck, by due; never empty */
    gint64 served;        /* when it had its turn last, monotonic time */
    gboolean gone;        /* there was nothing of that name any more when it was put into its place, */
    GSequenceIter *place; /* in the order of turns of its kind */
} Turn;

struct SfsRechecks {
    SfsTree *tree;
    GHashTable *all;     /* node to SfsRecheck */
    GHashTable *turns;   /* name to Turn */
    GHashTable *ghosts;  /* directory and name, as a node, to how many ghosts there are of that (GUINT) */
    guint n_ghosts;      /* of all together */
    GSequence *order[2]; /* of Turn, by when it may have its turn: what is there, and what is gone */
    gboolean gone_last;  /* which of those had the last turn */
    GQueue waiting;      /* of SfsRecheck: those in the queue, the oldest first */
    GQueue resting;      /* of SfsRecheck: those not in the queue, the last one taken at the end */
};

static void look_free(void *data)
{
    SfsRecheck *recheck = data;

    sfs_node_unref(recheck->node);
    g_free(recheck);
}

static void turn_free(void *data)
{
    Turn *turn = data;

    g_sequence_free(turn->queue);
    g_free(turn->name);
    g_free(turn);
}

static guint hash_place(const void *data)
{
    const SfsNode *node = data;

    return shield_hash_name(node->name) ^ g_direct_hash(node->parent);
}

static gboolean same_place(const void *data_a, const void *data_b)
{
    const SfsNode *a = data_a, *b = data_b;

    return a->parent == b->parent && g_str_equal(a->name, b->name);
}

SfsRechecks *sfs_rechecks_new(SfsTree *tree)
{
    SfsRechecks *rechecks = g_new0(SfsRechecks, 1);

    rechecks->tree = tree;
    rechecks->all = g_hash_table_new_full(NULL, NULL, NULL, look_free);
    rechecks->turns = g_hash_table_new_full(shield_hash_name, g_str_equal, NULL, turn_free);
    rechecks->ghosts = g_hash_table_new_full(hash_place, same_place, (GDestroyNotify)sfs_node_unref, NULL);
    rechecks->order[FALSE] = g_sequence_new(NULL);
    rechecks->order[TRUE] = g_sequence_new(NULL);
    return rechecks;
}

void sfs_rechecks_free(SfsRechecks *rechecks)
{
    g_sequence_free(rechecks->order[FALSE]);
    g_sequence_free(rechecks->order[TRUE]);
    g_hash_table_unref(rechecks->turns);
    g_hash_table_unref(rechecks->ghosts);
    g_hash_table_unref(rechecks->all);
    g_free(rechecks);
}

SfsRecheck *sfs_rechecks_find(SfsRechecks *rechecks, const SfsNode *node)
{
    return g_hash_table_lookup(rechecks->all, node);
}

SfsRecheck *sfs_rechecks_get(SfsRechecks *rechecks, SfsNode *node)
{
    SfsRecheck *recheck = sfs_rechecks_find(rechecks, node);

    if (!recheck) {
        recheck = g_new0(SfsRecheck, 1);
        recheck->node = sfs_node_ref(node);
        g_hash_table_insert(rechecks->all, node, recheck);
    }
    return recheck;
}

static SfsRecheck *first_of(const Turn *turn)
{
    return g_sequence_get(g_sequence_get_begin_iter(turn->queue));
}

static gint64 turn_due(const Turn *turn)
{
    return MAX(first_of(turn)->due, turn->served);
}

static int compare_turns(const void *a, const void *b, void *data)
{
    gint64 due_a = turn_due(a), due_b = turn_due(b);

    (void)data;
    return (due_a > due_b) - (due_a < due_b);
}

/* What is in the root of it: itself, or what it is in. */
static SfsNode *top_of(SfsNode *node)
{
    while (node->parent && node->parent->parent)
        node = node->parent;
    return node;
}

/* Its first is another one, or it has been served. */
static void move_turn(SfsRechecks *rechecks, Turn *turn)
{
    if (turn->place)
        g_sequence_remove(turn->place);
    if (g_sequence_is_empty(turn->queue)) {
        g_hash_table_remove(rechecks->turns, turn->name);
        return;
    }
    turn->gone = !sfs_tree_has_successor(rechecks->tree, top_of(first_of(turn)->node));
    turn->place = g_sequence_insert_sorted(rechecks->order[turn->gone], turn, compare_turns, NULL);
}

static Turn *turn_of(SfsRechecks *rechecks, SfsNode *of)
{
    const SfsNode *node = top_of(of);
    Turn *turn = g_hash_table_lookup(rechecks->turns, node->name);

    if (!turn) {
        turn = g_new0(Turn, 1);
        turn->name = g_strdup(node->name);
        turn->queue = g_sequence_new(NULL);
        g_hash_table_insert(rechecks->turns, turn->name, turn);
    }
    return turn;
}

/* It is in no queue any more. */
static void leave_queue(SfsRechecks *rechecks, SfsRecheck *recheck)
{
    if (recheck->queued) {
        g_sequence_remove(recheck->queued);
        recheck->queued = NULL;
        move_turn(rechecks, turn_of(rechecks, recheck->node));
    }
    if (recheck->resting.data)
        g_queue_unlink(&rechecks->resting, &recheck->resting);
    recheck->resting.data = NULL;
}

static void end_wait(SfsRechecks *rechecks, SfsRecheck *recheck)
{
    if (recheck->waiting.data)
        g_queue_unlink(&rechecks->waiting, &recheck->waiting);
    recheck->waiting.data = NULL;
}

guint sfs_rechecks_waiting(const SfsRechecks *rechecks, gint64 *since)
{
    const SfsRecheck *oldest = rechecks->waiting.head ? rechecks->waiting.head->data : NULL;

    *since = oldest ? oldest->since : 0;
    return rechecks->waiting.length;
}

/* It is in no queue; when there is nothing to remember of it, it will be forgotten. */
static void rest(SfsRechecks *rechecks, SfsRecheck *recheck)
{
    recheck->resting.data = recheck;
    g_queue_push_tail_link(&rechecks->resting, &recheck->resting);
}

gboolean sfs_rechecks_has_ghost(const SfsRechecks *rechecks, SfsNode *node)
{
    return g_hash_table_contains(rechecks->ghosts, node);
}

guint sfs_rechecks_count_ghosts(const SfsRechecks *rechecks)
{
    return rechecks->n_ghosts;
}

/* One more of its place, or one less. */
static void count_ghosts(SfsRechecks *rechecks, SfsNode *node, gboolean more)
{
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(rechecks->ghosts, node));

    rechecks->n_ghosts += more ? 1 : -1U;
    if (more || n > 1)
        g_hash_table_insert(rechecks->ghosts, sfs_node_ref(node), GUINT_TO_POINTER(more ? n + 1 : n - 1));
    else
        g_hash_table_remove(rechecks->ghosts, node);
}

void sfs_rechecks_set_ghost(SfsRechecks *rechecks, SfsRecheck *recheck, gboolean ghost)
{
    SfsRecheck *above;

    if (recheck->ghost == ghost)
        return;
    recheck->ghost = ghost;
    count_ghosts(rechecks, recheck->node, ghost);
    if (ghost) {
        if (recheck->queued)
            move_turn(rechecks, turn_of(rechecks, recheck->node)); /* to those that are gone, it may be */
        sfs_rechecks_get(rechecks, recheck->node->parent)->ghosts++;
        return;
    }
    above = sfs_rechecks_find(rechecks, recheck->node->parent);
    if (!above || above->ghosts == 0)
        return; /* it was forgotten meanwhile */
    if (--above->ghosts > 0)
        return;
    if (above->queued)
        sfs_rechecks_queue(rechecks, above, g_get_monotonic_time());
    else if (!above->resting.data)
        rest(rechecks, above);
}

void sfs_rechecks_forget(SfsRechecks *rechecks, SfsRecheck *recheck)
{
    sfs_rechecks_set_ghost(rechecks, recheck, FALSE);
    leave_queue(rechecks, recheck);
    end_wait(rechecks, recheck);
    g_hash_table_remove(rechecks->all, recheck->node);
}

static gboolean is_forgettable(const SfsRecheck *recheck, gint64 now)
{
    gboolean in_mind = recheck->written || recheck->touched || recheck->unclosed || recheck->ghost ||
                       recheck->ghosts || recheck->unclear || recheck->failed || recheck->retries ||
                       recheck->out;

    return !in_mind && now > MAX(recheck->last, recheck->born) + COUNTS_USEC;
}

static void sweep(SfsRechecks *rechecks)
{
    gint64 now = g_get_monotonic_time();

    for (guint n = MIN(SWEPT, g_queue_get_length(&rechecks->resting)); n > 0; n--) {
        SfsRecheck *recheck = g_queue_peek_head(&rechecks->resting);

        if (is_forgettable(recheck, now)) {
            sfs_rechecks_forget(rechecks, recheck);
        } else {
            g_queue_unlink(&rechecks->resting, &recheck->resting);
            g_queue_push_tail_link(&rechecks->resting, &recheck->resting);
        }
    }
}

void sfs_rechecks_take(SfsRechecks *rechecks, SfsRecheck *recheck)
{
    Turn *turn = turn_of(rechecks, recheck->node);

    sweep(rechecks);
    rechecks->gone_last = turn->gone;
    recheck->waits = FALSE;
    turn->served = g_get_monotonic_time();
    leave_queue(rechecks, recheck);
    end_wait(rechecks, recheck);
    rest(rechecks, recheck);
}

guint sfs_rechecks_count(const SfsRechecks *rechecks)
{
    return g_hash_table_size(rechecks->all);
}

static int compare_due(const void *pa, const void *pb, void *data)
{
    const SfsRecheck *a = pa, *b = pb;

    (void)data;
    return (a->due > b->due) - (a->due < b->due);
}

void sfs_rechecks_queue(SfsRechecks *rechecks, SfsRecheck *recheck, gint64 due)
{
    Turn *turn;

    if (recheck->queued && recheck->due <= due)
        return;
    leave_queue(rechecks, recheck);
    turn = turn_of(rechecks, recheck->node);
    recheck->due = due;
    recheck->queued = g_sequence_insert_sorted(turn->queue, recheck, compare_due, NULL);
    move_turn(rechecks, turn);
    if (recheck->waiting.data)
        return;
    recheck->since = g_get_monotonic_time();
    recheck->waiting.data = recheck;
    g_queue_push_tail_link(&rechecks->waiting, &recheck->waiting);
}

GPtrArray *sfs_rechecks_unclear(const SfsRechecks *rechecks)
{
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, rechecks->all);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SfsRecheck *recheck = value;

        if (recheck->unclear)
            g_ptr_array_add(nodes, sfs_node_ref(recheck->node));
    }
    return nodes;
}

/* NULL: none waits. */
static const Turn *next_turn(const SfsRechecks *rechecks, gboolean gone)
{
    GSequenceIter *first = g_sequence_get_begin_iter(rechecks->order[gone]);

    return g_sequence_iter_is_end(first) ? NULL : g_sequence_get(first);
}

SfsRecheck *sfs_rechecks_first(const SfsRechecks *rechecks, gint64 *due)
{
    const Turn *turn = next_turn(rechecks, FALSE), *gone = next_turn(rechecks, TRUE);

    if (!turn || (gone && turn_due(gone) < turn_due(turn) &&
                  !(rechecks->gone_last && turn_due(turn) <= g_get_monotonic_time())))
        turn = gone;
    if (!turn)
        return NULL;
    *due = turn_due(turn);
    return first_of(turn);
}
