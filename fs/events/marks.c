/* SPDX-License-Identifier: Apache-2.0 */
/* marks: sets of things to look at; see marks.h. */
#include "events/marks.h"

#include <string.h>

#include "counter.h"
#include "hash.h"
#include "lock.h"

struct SfsMarks {
    GMutex lock; /* protects the next */
    SfsMarked marked;
    ShieldCounter joined;
};

static guint place_hash(const void *key)
{
    const SfsPlaceMark *place = key;

    return shield_hash_name(place->below) ^ place->source;
}

static gboolean place_equal(const void *pa, const void *pb)
{
    const SfsPlaceMark *a = pa, *b = pb;

    return a->source == b->source && strcmp(a->below, b->below) == 0;
}

static void place_free(void *data)
{
    SfsPlaceMark *place = data;

    g_free(place->below);
    g_free(place->name);
    g_free(place);
}

static void marked_init(SfsMarked *marked)
{
    *marked = (SfsMarked){
        .containers = g_hash_table_new_full(NULL, NULL, (GDestroyNotify)sfs_container_unref,
                                            (GDestroyNotify)g_hash_table_unref),
        .nodes = g_hash_table_new_full(NULL, NULL, (GDestroyNotify)sfs_node_unref, NULL),
        .places = g_hash_table_new_full(place_hash, place_equal, place_free, NULL),
    };
}

void sfs_marked_clear(SfsMarked *marked)
{
    g_clear_pointer(&marked->containers, g_hash_table_unref);
    g_clear_pointer(&marked->nodes, g_hash_table_unref);
    g_clear_pointer(&marked->places, g_hash_table_unref);
}

SfsMarks *sfs_marks_new(void)
{
    SfsMarks *marks = g_new0(SfsMarks, 1);

    g_mutex_init(&marks->lock);
    marked_init(&marks->marked);
    return marks;
}

void sfs_marks_free(SfsMarks *marks)
{
    sfs_marked_clear(&marks->marked);
    g_mutex_clear(&marks->lock);
    g_free(marks);
}

static GHashTable *new_names(void)
{
    return g_hash_table_new_full(shield_hash_name, g_str_equal, g_free, NULL);
}

/* It was marked already. */
static gboolean join(SfsMarks *marks)
{
    shield_counter_add(&marks->joined, 1);
    return FALSE;
}

guint64 sfs_marks_joined(SfsMarks *marks)
{
    return shield_counter_get(&marks->joined);
}

/* Lock held. */
static GHashTable *names_of(SfsMarks *marks, SfsContainer *container)
{
    GHashTable *names = g_hash_table_lookup(marks->marked.containers, container);

    if (!names) {
        names = new_names();
        g_hash_table_insert(marks->marked.containers, sfs_container_ref(container), names);
    }
    return names;
}

gboolean sfs_marks_name(SfsMarks *marks, SfsContainer *container, gboolean in_hooks, const char *name,
                        guint32 mask)
{
    g_autofree char *key = g_strconcat(in_hooks ? SFS_MARKS_HOOKS : "", name, NULL);
    SHIELD_AUTO_LOCK(&marks->lock);
    GHashTable *names = names_of(marks, container);
    guint32 known = GPOINTER_TO_UINT(g_hash_table_lookup(names, key));

    if (known && (known | mask) == known)
        return join(marks);
    g_hash_table_insert(names, g_steal_pointer(&key), GUINT_TO_POINTER(known | mask));
    return TRUE;
}

gboolean sfs_marks_place(SfsMarks *marks, guint source, const char *below, const char *name)
{
    SfsPlaceMark place = {source, (char *)below, (char *)name};
    SHIELD_AUTO_LOCK(&marks->lock);

    if (g_hash_table_contains(marks->marked.places, &place))
        return join(marks);
    place = (SfsPlaceMark){source, g_strdup(below), g_strdup(name)};
    return g_hash_table_add(marks->marked.places, g_memdup2(&place, sizeof place));
}

static gboolean raise_flag(SfsMarks *marks, gboolean *flag)
{
    SHIELD_AUTO_LOCK(&marks->lock);
    gboolean was = *flag;

    *flag = TRUE;
    return !was;
}

gboolean sfs_marks_structure(SfsMarks *marks)
{
    return raise_flag(marks, &marks->marked.structure);
}

gboolean sfs_marks_everything(SfsMarks *marks)
{
    (void)raise_flag(marks, &marks->marked.structure);
    return raise_flag(marks, &marks->marked.everything);
}

gboolean sfs_marks_node(SfsMarks *marks, SfsNode *node)
{
    SHIELD_AUTO_LOCK(&marks->lock);

    if (g_hash_table_contains(marks->marked.nodes, node))
        return FALSE;
    return g_hash_table_add(marks->marked.nodes, sfs_node_ref(node));
}

/* Moves names, as many as that, from one table to another. */
static void move_names(GHashTable *from, GHashTable *to, guint n)
{
    GHashTableIter iter;
    void *name, *mask;

    g_hash_table_iter_init(&iter, from);
    for (; n > 0 && g_hash_table_iter_next(&iter, &name, &mask); n--) {
        g_hash_table_iter_steal(&iter);
        g_hash_table_insert(to, name, mask);
    }
}

/* Leaves all names but so many for the next time. Lock held. */
static void leave_names(SfsMarks *marks, SfsMarked *marked, SfsContainer *container, guint n)
{
    GHashTable *all = g_hash_table_ref(g_hash_table_lookup(marked->containers, container));
    GHashTable *now = new_names();

    move_names(all, now, n);
    g_hash_table_insert(marks->marked.containers, sfs_container_ref(container), all);
    g_hash_table_insert(marked->containers, sfs_container_ref(container), now);
}

gboolean sfs_marks_take(SfsMarks *marks, SfsMarked *marked, guint names)
{
    SHIELD_AUTO_LOCK(&marks->lock);
    g_autoptr(GList) containers = NULL;

    *marked = marks->marked;
    marked_init(&marks->marked);
    containers = g_hash_table_get_keys(marked->containers);
    for (GList *link = containers; link; link = link->next) {
        if (g_hash_table_size(g_hash_table_lookup(marked->containers, link->data)) > names)
            leave_names(marks, marked, link->data, names);
    }
    return g_hash_table_size(marks->marked.containers) > 0;
}
