/* SPDX-License-Identifier: Apache-2.0 */
/* node: one node, and what stands behind a container, each by itself; see tree.h. */
#include <string.h>

#include "hash.h"
#include "lock.h"
#include "view/tree.h"

SfsContainer *sfs_container_new(const ShieldPlace *place, const ShieldIdentity *identity,
                                const ShieldPolicy *policy)
{
    SfsContainer *container = g_new0(SfsContainer, 1);

    g_atomic_ref_count_init(&container->refs);
    container->place = shield_place_copy(place);
    g_mutex_init(&container->lock);
    container->identity = *identity;
    container->bundle = shield_bundle_new(container->place->name, policy);
    container->touched = 1;
    return container;
}

SfsContainer *sfs_container_ref(SfsContainer *container)
{
    g_atomic_ref_count_inc(&container->refs);
    return container;
}

void sfs_container_unref(SfsContainer *container)
{
    if (!g_atomic_ref_count_dec(&container->refs))
        return;
    g_clear_pointer(&container->passage, sfs_passage_unref);
    shield_bundle_unref(container->bundle);
    shield_place_free(container->place);
    g_mutex_clear(&container->lock);
    g_free(container);
}

void sfs_container_touch(SfsContainer *container)
{
    g_atomic_int_inc(&container->touched);
}

ShieldIdentity sfs_container_identity(SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&container->lock);

    return container->identity;
}

void sfs_container_set_identity(SfsContainer *container, const ShieldIdentity *identity)
{
    SHIELD_AUTO_LOCK(&container->lock);

    container->identity = *identity;
}

#define STRAY_USEC (50 * 1000)          /* from being told to having looked again, on a busy machine too */
#define STRAYING_USEC (10 * STRAY_USEC) /* so long who comes again and again counts, */
#define STRAYED_USEC (50 * STRAY_USEC)  /* from each time on that he has not come for so long */

void sfs_container_stray(SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&container->lock);
    gint64 now = g_get_monotonic_time();

    if (now >= container->straying + STRAYED_USEC)
        container->straying = now;
    if (now < container->straying + STRAYING_USEC)
        container->strayed = now;
}

gint64 sfs_container_stray_until(SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&container->lock);

    return container->strayed ? container->strayed + STRAY_USEC : 0;
}

gboolean sfs_node_makes_news(const SfsNode *node)
{
    return node->kind != SFS_VERSION && node->kind != SFS_METRICS;
}

static guint hash_node(const void *node)
{
    return shield_hash_name(((const SfsNode *)node)->name);
}

static gboolean has_equal_name(const void *a, const void *b)
{
    return strcmp(((const SfsNode *)a)->name, ((const SfsNode *)b)->name) == 0;
}

GHashTable *sfs_nodes_by_name(void)
{
    return g_hash_table_new(hash_node, has_equal_name);
}

SfsNode *sfs_nodes_find(GHashTable *nodes, const char *name)
{
    const SfsNode like = {.name = name};

    return g_hash_table_lookup(nodes, &like);
}

static SfsEntries *entries_new(void)
{
    SfsEntries *entries = g_new0(SfsEntries, 1);

    entries->children = sfs_nodes_by_name();
    return entries;
}

static void entries_free(SfsEntries *entries)
{
    g_hash_table_unref(entries->children);
    g_clear_pointer(&entries->remnants, g_hash_table_unref);
    g_free(entries);
}

SfsNode *sfs_node_ref(SfsNode *node)
{
    g_atomic_ref_count_inc(&node->refs);
    return node;
}

void sfs_node_unref(SfsNode *node)
{
    if (!g_atomic_ref_count_dec(&node->refs))
        return;
    g_clear_pointer(&node->parent, sfs_node_unref);
    g_clear_pointer(&node->container, sfs_container_unref);
    if (sfs_node_is_directory(node))
        entries_free(node->entries);
    g_free(node);
}

gboolean sfs_node_is_directory(const SfsNode *node)
{
    return node->kind == SFS_ROOT || node->kind == SFS_META || node->kind == SFS_CONTAINER ||
           node->kind == SFS_HOOKS;
}

static gboolean is_called(const char *known, const char *name)
{
    return known && strcmp(known, name) == 0;
}

/* The name, where it stands for as long as the node is there; NULL: nowhere. */
static const char *standing_name(const char *name, const ShieldComputed *row, const SfsContainer *container)
{
    ShieldFile file;

    if (row && is_called(row->name, name))
        return row->name;
    if (container && is_called(container->place->name, name))
        return container->place->name;
    return shield_layout_find_name(name, &file) ? shield_layout_name(file) : NULL;
}

SfsNode *sfs_node_new(const char *name, SfsKind kind, const ShieldComputed *row, SfsContainer *container)
{
    const char *standing = standing_name(name, row, container);
    gsize size = standing ? 0 : strlen(name) + 1;
    SfsNode *node = g_malloc0(sizeof *node + size);

    g_atomic_ref_count_init(&node->refs);
    node->name = standing ? standing : memcpy(node->own, name, size);
    node->kind = (guint8)kind;
    node->computed = row;
    node->container = container ? sfs_container_ref(container) : NULL;
    if (sfs_node_is_directory(node))
        node->entries = entries_new();
    return node;
}

static gboolean has_serial(const SfsNode *node)
{
    return node->kind == SFS_COMPUTED || node->kind == SFS_STATUS;
}

SfsState sfs_node_told(const SfsNode *node)
{
    SfsState state = {.st = sfs_unpack(&node->told)};

    state.st.st_ino = node->ino;
    state.st.st_blksize = 4096;
    if (has_serial(node)) {
        state.serial = node->told_serial;
    } else {
        state.dev = node->told_dev;
        state.ino = node->told_ino;
    }
    return state;
}

void sfs_node_set_told(SfsNode *node, const SfsState *state)
{
    node->told = sfs_pack(&state->st);
    if (has_serial(node)) {
        node->told_serial = state->serial;
    } else {
        node->told_dev = state->dev;
        node->told_ino = state->ino;
    }
}

gboolean sfs_state_access_differs(const SfsState *announced_state, const struct stat *st)
{
    return announced_state->st.st_mode != st->st_mode || announced_state->st.st_uid != st->st_uid ||
           announced_state->st.st_gid != st->st_gid;
}
