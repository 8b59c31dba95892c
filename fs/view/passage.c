/* SPDX-License-Identifier: Apache-2.0 */
/* passage: going from "/" to a bundle; see passage.h. */
#include "view/passage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lock.h"
#include "view/index.h"
#include "view/view_private.h"

/* No event tells of its rights. But they don't change without its stamp, unless that is young. */
typedef struct {
    char *path;
    ShieldStamp stamp;
    uid_t uid;
    gid_t gid;
} Above;

/* So young that it may be changed once more and look the same: some ticks of the clock; or two of its
 * seconds, where the filesystem seems to know no parts of them. */
#define YOUNG_USEC (20 * 1000)
#define YOUNG_SECONDS_USEC (2 * G_USEC_PER_SEC)

/* Immutable. It holds as long as there is no event that any of this may have changed. */
struct SfsPassage {
    gatomicrefcount refs;
    SfsDemands *to, *into;
    guint64 mark;   /* the index's, from before it was gone */
    int touched;    /* likewise, the container's */
    gboolean young; /* one of those is */
    GArray *above;  /* of Above: the directories above the source, in which too much happens to hear of it */
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
    g_array_unref(passage->above);
    g_clear_pointer(&passage->to, sfs_demands_unref);
    g_clear_pointer(&passage->into, sfs_demands_unref);
    g_free(passage);
}

static void above_clear(void *data)
{
    g_free(((Above *)data)->path);
}

static gboolean is_as_it_was(const Above *above)
{
    struct stat st;

    if (shield_stat(AT_FDCWD, above->path, &st) < 0)
        return FALSE;

    ShieldStamp now = shield_stamp(&st);
    return shield_stamp_equal(&now, &above->stamp) && st.st_uid == above->uid && st.st_gid == above->gid;
}

static gboolean are_as_they_were(const GArray *above)
{
    for (guint i = 0; i < above->len; i++) {
        if (!is_as_it_was(&g_array_index(above, Above, i)))
            return FALSE;
    }
    return TRUE;
}

static gboolean are_the_same(const GArray *a, const GArray *b)
{
    for (guint i = 0; i < a->len && i < b->len; i++) {
        const Above *of_a = &g_array_index(a, Above, i), *of_b = &g_array_index(b, Above, i);

        if (strcmp(of_a->path, of_b->path) != 0 || !shield_stamp_equal(&of_a->stamp, &of_b->stamp) ||
            of_a->uid != of_b->uid || of_a->gid != of_b->gid)
            return FALSE;
    }
    return a->len == b->len;
}

/* After a drain. known: another that holds, or NULL. */
static gboolean holds(SfsView *view, SfsContainer *container, const SfsPassage *passage,
                      const SfsPassage *known)
{
    return !passage->young && shield_bundle_is_watched(container->bundle) &&
           passage->touched == g_atomic_int_get(&container->touched) &&
           sfs_index_is_certain_since(view->index, container, passage->mark) &&
           ((known && are_the_same(known->above, passage->above)) || are_as_they_were(passage->above));
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

static gboolean is_young(const struct timespec *changed)
{
    gint64 age = g_get_real_time() - (changed->tv_sec * G_USEC_PER_SEC + changed->tv_nsec / 1000);

    return age < (changed->tv_nsec ? YOUNG_USEC : YOUNG_SECONDS_USEC);
}

/* Notes how fd is, which lies at path above the source. FALSE with errno. */
static gboolean note_above(SfsPassage *passage, int fd, const char *path)
{
    Above above;
    struct stat st;

    if (shield_fstat(fd, &st) < 0)
        return FALSE;
    above = (Above){g_strdup(path), shield_stamp(&st), st.st_uid, st.st_gid};
    g_array_append_val(passage->above, above);
    passage->young |= is_young(&st.st_ctim);
    return TRUE;
}

/* Goes to the end of path, which is absolute, by way of source, which is part of it. FALSE with errno. */
static gboolean go(SfsPassage *passage, const char *source, const char *path, SfsContainer *container)
{
    g_autoptr(GString) here = g_string_new("/");
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    g_auto(ShieldFd) at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    passage->to = sfs_demands_new(NULL);
    for (char **name = names; *name; name++) {
        if (**name == '\0')
            continue;
        if (at < 0 || (here->len < strlen(source) && !note_above(passage, at, here->str)) ||
            !demand_search(passage->to, at))
            return FALSE;
        if (here->len > 1)
            g_string_append_c(here, '/');
        g_string_append(here, *name);

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
    passage->above = g_array_new(FALSE, FALSE, sizeof(Above));
    g_array_set_clear_func(passage->above, above_clear);
    passage->mark = sfs_index_now(view->index);
    passage->touched = g_atomic_int_get(&container->touched);
    source = shield_sources_resolved(shield_catalog_sources(view->catalog), place->source);
    path = g_build_filename(source ? source : "/", place->path, NULL);
    return go(passage, source ? source : "/", path, container) ? g_steal_pointer(&passage) : NULL;
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
static SfsPassage *find(SfsView *view, SfsContainer *container, const SfsPassage *known)
{
    g_autoptr(SfsPassage) last = recall(container);

    if (last && holds(view, container, last, known))
        return g_steal_pointer(&last);

    SfsPassage *passage = go_anew(view, container);
    if (passage)
        remember(container, passage);
    return passage;
}

/* What has happened by now must have been told. */
static SfsPassage *find_now(SfsView *view, SfsContainer *container)
{
    const ShieldPolicy *policy = &view->policy;

    if (policy->drain)
        policy->drain(policy->drain_data);
    return find(view, container, NULL);
}

SfsDemands *sfs_passage_into(SfsView *view, SfsContainer *container)
{
    g_autoptr(SfsPassage) passage = find_now(view, container);

    return passage ? sfs_demands_ref(passage->into) : NULL;
}

SfsDemands *sfs_passage_to(SfsView *view, SfsContainer *container)
{
    g_autoptr(SfsPassage) passage = find_now(view, container);

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

SfsShows sfs_passage_shows(SfsView *view, SfsContainer *container, SfsCaller *caller, SfsPassage **known)
{
    SfsPassage *passage = find(view, container, *known);

    g_clear_pointer(known, sfs_passage_unref);
    *known = passage;
    if (!passage)
        return SFS_SHOWN_NOT;
    if (sfs_access_lists(passage->into, count_holders(container->place->path), caller))
        return SFS_SHOWN_ALL;
    return sfs_access_reaches(passage->into, caller) ? SFS_SHOWN : SFS_SHOWN_NOT;
}
