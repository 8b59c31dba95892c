/* SPDX-License-Identifier: Apache-2.0 */
/* index: marks, and looks at what they name; see index.h. */
#include "view/index.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "fault.h"
#include "hash.h"
#include "lock.h"
#include "view/findings.h"
#include "view/halves.h"
#include "view/view_private.h"

/* So many names are marked one by one. One more marks all there are, and it starts anew. */
#define NAMES_MAX 4096

/* So many are looked at one by one; for more it takes a scan. */
#define SUSPECTS_MAX 64

/* So many times a name is looked at again, as it has changed meanwhile. */
#define LOOK_TRIES 100

struct SfsIndex {
    SfsView *view;
    SfsDirectories *directories;
    SfsHalves *halves;
    GMutex lock;       /* protects the rest, and `looked` in each container */
    guint64 now;       /* the last mark */
    guint64 all;       /* the last that concerned every name */
    GHashTable *names; /* name to the last mark that concerned it alone, as guint64 */
    guint64 scanned;
    gboolean exact, complete;
};

SfsIndex *sfs_index_new(SfsView *view)
{
    SfsIndex *index = g_new0(SfsIndex, 1);

    index->view = view;
    index->directories = sfs_directories_new();
    index->halves = sfs_halves_new(view->catalog);
    index->names = g_hash_table_new_full(shield_hash_name, g_str_equal, g_free, g_free);
    g_mutex_init(&index->lock);
    return index;
}

void sfs_index_free(SfsIndex *index)
{
    sfs_directories_free(index->directories);
    sfs_halves_free(index->halves);
    g_hash_table_unref(index->names);
    g_mutex_clear(&index->lock);
    g_free(index);
}

void sfs_index_mark(SfsIndex *index, const char *name)
{
    SHIELD_AUTO_LOCK(&index->lock);

    if (shield_fault(SHIELD_FAULT_MARKS))
        return;
    index->now++;
    if (name && g_hash_table_size(index->names) < NAMES_MAX) {
        g_hash_table_replace(index->names, g_strdup(name), g_memdup2(&index->now, sizeof index->now));
    } else {
        g_hash_table_remove_all(index->names);
        index->all = index->now;
    }
}

void sfs_index_note(SfsIndex *index)
{
    SHIELD_AUTO_LOCK(&index->lock);

    index->now++;
}

guint64 sfs_index_now(SfsIndex *index)
{
    SHIELD_AUTO_LOCK(&index->lock);

    return index->now;
}

void sfs_index_set_scanned(SfsIndex *index, const SfsScanned *scanned)
{
    SHIELD_AUTO_LOCK(&index->lock);
    gboolean all = scanned->mark == index->now; /* none has come since */

    if (scanned->anew)
        index->all = ++index->now;
    index->scanned = all ? index->now : MAX(index->scanned, scanned->mark);
    index->exact = scanned->exact;
    index->complete = scanned->complete;
}

gboolean sfs_index_is_exact(SfsIndex *index)
{
    SHIELD_AUTO_LOCK(&index->lock);

    return index->exact;
}

gboolean sfs_index_is_settled(SfsIndex *index, guint64 *now)
{
    SHIELD_AUTO_LOCK(&index->lock);

    *now = index->now;
    return index->exact && index->all <= index->scanned;
}

/* The last mark that concerned name. Lock held. */
static guint64 mark_of(const SfsIndex *index, const char *name)
{
    const guint64 *own = g_hash_table_lookup(index->names, name);

    return own ? MAX(*own, index->all) : index->all;
}

/* Not before the watcher has been where the last mark says: what has come may not be watched yet, or what was
 * renamed be watched under its old name. Lock held. */
static gboolean is_known(const SfsIndex *index, const SfsContainer *container)
{
    guint64 mark = mark_of(index, container->place->name);

    return index->exact && index->scanned >= mark && container->looked >= mark;
}

static void drain(const SfsIndex *index)
{
    const ShieldPolicy *policy = &index->view->policy;

    if (policy->drain && !shield_fault(SHIELD_FAULT_DRAIN))
        policy->drain(policy->drain_data);
}

/* Is the directory that now is the one that container stands for? The first write to it on an overlayfs gives
 * it another time of birth; then its watch knows. */
static gboolean is_same(const SfsIndex *index, SfsContainer *container, const ShieldIdentity *now)
{
    ShieldIdentity known = sfs_container_identity(container);
    const SfsView *view = index->view;

    if (shield_identity_equal(&known, now))
        return TRUE;
    if (known.dev != now->dev || known.ino != now->ino || !view->vouch ||
        !view->vouch(view->vouch_data, container))
        return FALSE;
    sfs_container_set_identity(container, now);
    return TRUE;
}

/* The container at place, whose directory is fd: the one that has the name already, if it is the same. NULL
 * with errno. */
static SfsContainer *container_at(SfsIndex *index, SfsNode *root, const ShieldPlace *place, int fd)
{
    g_autoptr(SfsNode) known = sfs_tree_child(index->view->tree, root, place->name);
    ShieldIdentity identity;

    if (!shield_identity_of(fd, &identity))
        return NULL;
    if (known && known->kind == SFS_CONTAINER && shield_place_equal(known->container->place, place) &&
        is_same(index, known->container, &identity))
        return sfs_container_ref(known->container);

    SfsContainer *container = sfs_container_new(place, &identity, &index->view->policy);
    sfs_findings_touch(index->view->findings, container);
    return container;
}

/* Puts what a look at name has found into the tree: container, or NULL if there is none, as errnum says.
 * FALSE: the name was marked after the mark since, so what was found is old. */
static gboolean settle(SfsIndex *index, SfsNode *root, const char *name, guint64 since, guint64 time,
                       SfsContainer *container, int errnum, SfsNode **node)
{
    SHIELD_AUTO_LOCK(&index->lock);

    if (mark_of(index, name) > since)
        return FALSE;
    if (container) {
        *node = sfs_tree_attach(index->view->tree, root, name, SFS_CONTAINER, NULL, container);
        if (*node)
            (*node)->container->looked = since;
    } else if (errnum == ENOENT) {
        sfs_tree_detach(index->view->tree, root, name, time);
    }
    return TRUE;
}

/* Finds out from the directories what name leads to. */
static int look(SfsIndex *index, SfsNode *root, const char *name, SfsNode **node)
{
    for (int tries = 0; tries < LOOK_TRIES; tries++) {
        guint64 since = sfs_index_now(index), time = sfs_tree_time(index->view->tree);
        g_autoptr(SfsContainer) container = NULL;
        g_auto(ShieldFd) fd = -1;
        g_autoptr(ShieldPlace) place = shield_catalog_find(index->view->catalog, name, &fd);

        if (place)
            container = container_at(index, root, place, fd);

        int errnum = container ? 0 : errno;
        if (settle(index, root, name, since, time, container, errnum, node))
            return *node ? 0 : errnum ? errnum : ENOENT;
    }
    return EBUSY; /* somebody renames it without a pause */
}

/* TRUE: what name leads to is known, and *node is that, or NULL. */
static gboolean find_known(SfsIndex *index, SfsNode *root, const char *name, SfsNode **node)
{
    SHIELD_AUTO_LOCK(&index->lock);
    g_autoptr(SfsNode) child = sfs_tree_child(index->view->tree, root, name);

    if (!child)
        return index->exact && index->complete && index->scanned >= mark_of(index, name);
    if (child->kind != SFS_CONTAINER || !is_known(index, child->container))
        return FALSE;
    *node = g_steal_pointer(&child);
    return TRUE;
}

int sfs_index_find(SfsIndex *index, SfsNode *root, const char *name, SfsNode **node)
{
    *node = NULL;
    drain(index);
    if (find_known(index, root, name, node))
        return *node ? 0 : ENOENT;
    return look(index, root, name, node);
}

gboolean sfs_index_is_certain_of_all(SfsIndex *index)
{
    SHIELD_AUTO_LOCK(&index->lock);

    return index->exact && index->scanned == index->now;
}

gboolean sfs_index_is_certain_since(SfsIndex *index, const SfsContainer *container, guint64 mark)
{
    SHIELD_AUTO_LOCK(&index->lock);
    guint64 last = mark_of(index, container->place->name);

    return index->exact && index->scanned >= last && mark >= last;
}

/* *all: the last mark that concerned every name. */
static gboolean is_certain(SfsIndex *index, const SfsContainer *container, guint64 *all)
{
    SHIELD_AUTO_LOCK(&index->lock);

    *all = index->all;
    return is_known(index, container);
}

gboolean sfs_index_is_certain(SfsIndex *index, const SfsContainer *container)
{
    guint64 all;

    return is_certain(index, container, &all);
}

void sfs_index_confirm(SfsIndex *index, SfsContainer *container)
{
    g_autoptr(SfsNode) root = NULL;
    g_autoptr(SfsNode) node = NULL;

    if (!sfs_index_is_exact(index))
        return;
    drain(index);
    if (sfs_index_is_certain(index, container))
        return;
    root = sfs_tree_root(index->view->tree);
    (void)look(index, root, container->place->name, &node);
}

/* From now on the watcher's thread closes what is not used any more. */
static void note_kept(const SfsIndex *index)
{
    if (index->view->kept)
        index->view->kept(index->view->kept_data);
}

/* The directory at the place of a container that is certain: so is what it is found by, since that mark. */
static int open_from_half(SfsIndex *index, const ShieldPlace *place, guint64 all)
{
    gboolean anew = FALSE;
    g_autoptr(SfsDirectory) half = sfs_halves_open(index->halves, place, all, &anew);

    if (anew)
        note_kept(index);
    return half ? shield_catalog_open_in_half(half->fd, place) : -1;
}

/* fd is given up: what was opened at the container's place. */
static SfsDirectory *take_opened(SfsIndex *index, SfsContainer *container, int opened)
{
    g_auto(ShieldFd) fd = opened;
    ShieldIdentity now;

    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP || errno == EXDEV))
        errno = ENOENT; /* no directory any more */
    if (fd < 0 || !shield_identity_of(fd, &now))
        return NULL;
    if (!is_same(index, container, &now)) {
        errno = ENOENT; /* another directory in its place: the next lookup gives it a number of its own */
        return NULL;
    }
    return sfs_directory_new(g_steal_fd(&fd));
}

static SfsDirectory *open_anew(SfsIndex *index, SfsContainer *container)
{
    return take_opened(index, container, shield_catalog_open(index->view->catalog, container->place));
}

SfsDirectory *sfs_index_open(SfsIndex *index, SfsContainer *container)
{
    guint64 all;
    gboolean certain = is_certain(index, container, &all);
    SfsDirectory *directory = certain ? sfs_directories_get(index->directories, container) : NULL;

    if (!certain)
        return open_anew(index, container);
    if (directory)
        return directory;
    directory = take_opened(index, container, open_from_half(index, container->place, all));
    if (directory && sfs_directories_keep(index->directories, container, directory))
        note_kept(index);
    return directory;
}

gint64 sfs_index_expire(SfsIndex *index, gboolean all)
{
    gint64 directories = sfs_directories_expire(index->directories, all);
    gint64 halves = sfs_halves_expire(index->halves, all);

    return directories && halves ? MIN(directories, halves) : MAX(directories, halves);
}

/* All at once. A scan, and what it has come by. */
typedef struct {
    SfsIndex *index;
    SfsNode *root;
    guint64 since, time;
    GHashTable *names; /* a set of those that lead to a container */
    GPtrArray *nodes;
    gboolean unsure; /* there may be others */
    int errnum;      /* what was wanting */
} Roll;

static void add_place(Roll *roll, const ShieldPlace *place)
{
    SfsIndex *index = roll->index;
    g_auto(ShieldFd) fd = shield_catalog_open(index->view->catalog, place);
    g_autoptr(SfsContainer) container = fd < 0 ? NULL : container_at(index, roll->root, place, fd);
    g_autoptr(SfsNode) node = NULL;

    if (container)
        g_hash_table_add(roll->names, g_strdup(place->name));
    else if (shield_error_is_shortage(errno))
        roll->errnum = errno;
    else if (errno != EXDEV)
        roll->unsure = TRUE;
    if (container && !settle(index, roll->root, place->name, roll->since, roll->time, container, 0, &node))
        (void)look(index, roll->root, place->name, &node);
    if (node)
        g_ptr_array_add(roll->nodes, g_steal_pointer(&node));
}

/* The containers that were not come by, but are not known to be gone either. */
static void add_unseen(Roll *roll)
{
    g_autoptr(GPtrArray) containers = sfs_tree_containers(roll->index->view->tree);

    for (guint i = 0; i < containers->len; i++) {
        SfsContainer *container = g_ptr_array_index(containers, i);
        g_autoptr(SfsDirectory) directory = open_anew(roll->index, container);

        if (directory || errno != ENOENT)
            g_hash_table_add(roll->names, g_strdup(container->place->name));
    }
}

int sfs_index_scan(SfsIndex *index, SfsNode *root, ShieldScan *scan, GPtrArray **nodes)
{
    g_autoptr(GHashTable) names = g_hash_table_new_full(shield_hash_name, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)sfs_node_unref);
    Roll roll = {index, root, sfs_index_now(index), sfs_tree_time(index->view->tree), names, found, FALSE, 0};
    g_autoptr(GPtrArray) places = shield_catalog_scan(index->view->catalog, scan);

    if (scan->errnum)
        return scan->errnum; /* rather than show less than there is */
    g_hash_table_add(names, g_strdup(SFS_META_NAME));
    for (guint i = 0; i < places->len && !roll.errnum; i++)
        add_place(&roll, g_ptr_array_index(places, i));
    if (roll.errnum)
        return roll.errnum;
    if (roll.unsure || scan->incomplete)
        add_unseen(&roll);
    sfs_tree_retain(index->view->tree, root, names, roll.time);
    *nodes = g_steal_pointer(&found);
    return 0;
}

/* The names that were marked since all were looked at; NULL: too many, or all. */
static GPtrArray *suspects(SfsIndex *index)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    SHIELD_AUTO_LOCK(&index->lock);
    GHashTableIter iter;
    void *name, *mark;

    if (!index->exact || !index->complete || index->all > index->scanned)
        return NULL;
    if (index->now == index->scanned)
        return g_steal_pointer(&names);
    g_hash_table_iter_init(&iter, index->names);
    while (g_hash_table_iter_next(&iter, &name, &mark)) {
        if (*(guint64 *)mark > index->scanned)
            g_ptr_array_add(names, g_strdup(name));
    }
    return names->len <= SUSPECTS_MAX ? g_steal_pointer(&names) : NULL;
}

int sfs_index_list(SfsIndex *index, SfsNode *root, GPtrArray **nodes)
{
    g_autoptr(GPtrArray) names = NULL;
    ShieldScan scan = {0};

    *nodes = NULL;
    drain(index);
    names = suspects(index);
    if (!names)
        return sfs_index_scan(index, root, &scan, nodes);
    for (guint i = 0; i < names->len; i++) {
        g_autoptr(SfsNode) node = NULL;
        const char *name = g_ptr_array_index(names, i);
        int errnum = find_known(index, root, name, &node) ? 0 : look(index, root, name, &node);

        if (shield_error_is_shortage(errnum))
            return errnum;
    }
    return 0;
}
