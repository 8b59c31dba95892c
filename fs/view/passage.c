/* SPDX-License-Identifier: Apache-2.0 */
/* passage: going from "/" to a bundle; see passage.h. */
#include "view/passage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lock.h"
#include "view/index.h"
#include "view/view_private.h"

/* Immutable. It holds as long as there is no event that any of this may have changed. */
struct SfsPassage {
    gatomicrefcount refs;
    SfsDemands *to, *into;
    guint64 mark; /* the index's, from before it was gone */
    int ways;     /* likewise, the view's count of events in the ways to the sources */
    int touched;  /* likewise, the container's */
};

static SfsPassage *sfs_passage_ref(SfsPassage *passage)
{
    g_atomic_ref_count_inc(&passage->refs);
    return passage;
}

void sfs_passage_unref(SfsPassage *passage)
{
    if (!g_atomic_ref_count_dec(&passage->refs))
        return;
    g_clear_pointer(&passage->to, sfs_demands_unref);
    g_clear_pointer(&passage->into, sfs_demands_unref);
    g_free(passage);
}

/* What has happened by now must have been told. */
static gboolean holds(SfsView *view, SfsContainer *container, const SfsPassage *passage)
{
    const ShieldPolicy *policy = &view->policy;

    if (policy->drain)
        policy->drain(policy->drain_data);
    return shield_bundle_is_watched(container->bundle) &&
           passage->ways == g_atomic_int_get(&view->ways_touched) &&
           passage->touched == g_atomic_int_get(&container->touched) &&
           sfs_index_is_certain_since(view->index, container, passage->mark);
}

static gboolean demand_search(SfsDemands *demands, int fd)
{
    ShieldRights rights;

    if (!shield_rights_of(fd, &rights))
        return FALSE;
    sfs_demands_add(demands, &rights, SFS_SEARCH);
    shield_rights_clear(&rights);
    return TRUE;
}

/* Is it the container's? A watch may know better than its time of birth, which a copy-up changes. */
static gboolean is_bundle(int fd, SfsContainer *container)
{
    ShieldIdentity known = sfs_container_identity(container), now;

    return shield_identity_of(fd, &now) && known.dev == now.dev && known.ino == now.ino;
}

/* Goes to the end of path, which is absolute. FALSE with errno. */
static gboolean go(SfsPassage *passage, const char *path, SfsContainer *container)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    g_auto(ShieldFd) at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    passage->to = sfs_demands_new(NULL);
    for (char **name = names; *name; name++) {
        if (**name == '\0')
            continue;
        if (at < 0 || !demand_search(passage->to, at))
            return FALSE;

        int next = shield_open_beneath(at, *name);
        shield_fd_close(at);
        at = next;
    }
    passage->into = sfs_demands_new(passage->to);
    if (at < 0 || !demand_search(passage->into, at))
        return FALSE;
    errno = ENOENT;
    return is_bundle(at, container);
}

/* NULL with errno. */
static SfsPassage *go_anew(SfsView *view, SfsContainer *container)
{
    const ShieldPlace *place = container->place;
    g_autoptr(SfsPassage) passage = g_new0(SfsPassage, 1);
    g_autofree char *source = NULL, *path = NULL;

    g_atomic_ref_count_init(&passage->refs);
    passage->mark = sfs_index_now(view->index);
    passage->ways = g_atomic_int_get(&view->ways_touched);
    passage->touched = g_atomic_int_get(&container->touched);
    source = shield_sources_resolved(shield_catalog_sources(view->catalog), place->source);
    path = g_build_filename(source ? source : "/", place->path, NULL);
    return go(passage, path, container) ? g_steal_pointer(&passage) : NULL;
}

/* The one that was gone last, whether it holds or not; NULL: none was. */
static SfsPassage *recall(SfsContainer *container)
{
    SHIELD_AUTO_LOCK(&container->lock);

    return container->passage ? sfs_passage_ref(container->passage) : NULL;
}

static void remember(SfsContainer *container, SfsPassage *passage)
{
    g_autoptr(SfsPassage) before G_GNUC_UNUSED = NULL;
    SHIELD_AUTO_LOCK(&container->lock);

    before = container->passage;
    container->passage = sfs_passage_ref(passage);
}

/* A new reference; NULL with errno. */
static SfsPassage *find(SfsView *view, SfsContainer *container)
{
    g_autoptr(SfsPassage) known = recall(container);

    if (known && holds(view, container, known))
        return g_steal_pointer(&known);

    SfsPassage *passage = go_anew(view, container);
    if (passage)
        remember(container, passage);
    return passage;
}

SfsDemands *sfs_passage_into(SfsView *view, SfsContainer *container)
{
    g_autoptr(SfsPassage) passage = find(view, container);

    return passage ? sfs_demands_ref(passage->into) : NULL;
}

SfsDemands *sfs_passage_to(SfsView *view, SfsContainer *container)
{
    g_autoptr(SfsPassage) passage = find(view, container);

    return passage ? sfs_demands_ref(passage->to) : NULL;
}

/* How many directories of a source have a place's name, or part of it, in their listing. */
static guint count_holders(const char *path)
{
    guint n = 0;

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        n++;
    return n;
}

SfsShows sfs_passage_shows(SfsView *view, SfsContainer *container, SfsCaller *caller)
{
    g_autoptr(SfsPassage) passage = find(view, container);

    if (!passage)
        return SFS_SHOWN_NOT;
    if (sfs_access_lists(passage->into, count_holders(container->place->path), caller))
        return SFS_SHOWN_ALL;
    return sfs_access_reaches(passage->into, caller) ? SFS_SHOWN : SFS_SHOWN_NOT;
}
