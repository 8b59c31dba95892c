/* SPDX-License-Identifier: Apache-2.0 */
/* sight: what stat demands, and hides; see sight.h. */
#include "view/sight.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "times.h"
#include "view/passage.h"
#include "view/view_private.h"

/* With allow_other the kernel checks modes, the announcer's too: it may act on what belongs to who mounted.
 * Whoever else tries is answered EROFS by the server. */
mode_t sfs_sight_let_announcer(SfsView *view, mode_t mode, uid_t uid)
{
    return view->allow_other && uid == geteuid() ? mode | S_IWUSR : mode;
}

/* Adds what name in parent demands of who reads it. FALSE: it can't be told, so nobody may. */
static gboolean demand(SfsDemands *demands, int parent, const char *name, SfsDemand what)
{
    g_auto(ShieldFd) fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    ShieldRights rights;

    if (fd < 0 || !shield_rights_of(fd, &rights))
        return FALSE;
    sfs_demands_add(demands, &rights, what);
    shield_rights_clear(&rights);
    return TRUE;
}

/* With allow_other: the mode that is left of base, of what demands says; NULL: of nothing. */
static mode_t mode_left(SfsView *view, mode_t base, const SfsDemands *demands, const struct stat *st)
{
    mode_t left = demands ? sfs_access_mode(demands, st->st_uid, st->st_gid) : 0;

    return sfs_sight_let_announcer(view, base & (S_IFMT | left), st->st_uid);
}

/* Whoever is to stat it must get to it; what else he may is its mode's to say. */
void sfs_sight_judge_container(SfsView *view, SfsNode *node, SfsSight *sight)
{
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(view, node->container);
    g_autoptr(SfsDemands) all = NULL;
    ShieldRights rights;

    sight->demands = directory ? sfs_passage_to(view, node->container) : NULL;
    sight->refused = sight->demands ? 0 : errno;
    if (sight->demands && shield_rights_of(directory->fd, &rights)) {
        all = sfs_demands_new(sight->demands);
        sfs_demands_add(all, &rights, SFS_READ);
        shield_rights_clear(&rights);
    }
    sight->st.st_mode = mode_left(view, SFS_DIRECTORY_MODE, all, &sight->st);
}

/* Likewise of a raw file or hooks. base: the mode of which something is to be left. */
void sfs_sight_judge_backing(SfsView *view, SfsNode *node, const SfsDirectory *parent, mode_t base,
                             SfsSight *sight)
{
    g_autoptr(SfsDemands) into = sfs_passage_into(view, node->container);
    g_autoptr(SfsDemands) all = NULL;

    sight->refused = into ? 0 : errno;
    if (into)
        sight->demands = sfs_demands_new(into);
    if (into && node->parent->kind == SFS_HOOKS && !demand(sight->demands, parent->fd, ".", SFS_SEARCH))
        sight->refused = errno;
    if (!sight->refused) {
        all = sfs_demands_new(sight->demands);
        if (!demand(all, parent->fd, node->name, SFS_READ))
            g_clear_pointer(&all, sfs_demands_unref);
    }
    sight->st.st_mode = mode_left(view, base, all, &sight->st);
}

/* What a list demands, of the reading or as it is; nothing if there is none. FALSE: it can't be told. */
static gboolean list_rights(const SfsNode *node, guint source, int dirfd, const ShieldSnapshot *snapshot,
                            ShieldRights *rights)
{
    const char *name = shield_layout_name(node->computed->sources[source]);
    g_auto(ShieldFd) fd = -1;

    *rights = (ShieldRights){0};
    if (snapshot && source < snapshot->n_readings && snapshot->readings[source]->rights.mode) {
        *rights = shield_rights_copy(&snapshot->readings[source]->rights);
        return TRUE;
    }
    if (snapshot && source < snapshot->n_readings && snapshot->readings[source]->stamp.mode == 0)
        return TRUE;
    fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? errno == ENOENT : shield_rights_of(fd, rights);
}

/* Whose the lists are, if they are all one's; and likewise the group. */
typedef struct {
    guint n;
    guint32 uid, gid;
    gboolean one_uid, one_gid;
} Owners;

static void add_owner(Owners *owners, const ShieldRights *rights)
{
    owners->one_uid = owners->n == 0 || (owners->one_uid && owners->uid == rights->uid);
    owners->one_gid = owners->n == 0 || (owners->one_gid && owners->gid == rights->gid);
    owners->uid = rights->uid;
    owners->gid = rights->gid;
    owners->n++;
}

/* Adds what the lists demand as they are now (or, which is the same, as current has it); whose are they?
 * FALSE: it can't be told. */
static gboolean demand_lists(const SfsNode *node, int dirfd, const ShieldSnapshot *current,
                             SfsDemands *demands, Owners *owners)
{
    for (guint i = 0; i < node->computed->n_sources; i++) {
        ShieldRights rights;

        if (!list_rights(node, i, dirfd, current, &rights))
            return FALSE;
        if (S_ISREG(rights.mode)) {
            sfs_demands_add(demands, &rights, SFS_READ);
            add_owner(owners, &rights);
        }
        shield_rights_clear(&rights);
    }
    return TRUE;
}

/* Adds what those demand that a snapshot was made of. */
static void demand_readings(SfsDemands *demands, const ShieldSnapshot *snapshot)
{
    for (guint i = 0; i < snapshot->n_readings; i++) {
        if (S_ISREG(snapshot->readings[i]->rights.mode))
            sfs_demands_add(demands, &snapshot->readings[i]->rights, SFS_READ);
    }
}

/* Whoever may not read one of the lists may not read what is computed from it, nor know its size. Owner and
 * group are those of the lists, where all have the same; but what a plain user's announcer is to tell of must
 * be his. */
void sfs_sight_judge_computed(SfsView *view, SfsNode *node, int dirfd, const ShieldSnapshot *snapshot,
                              gboolean current, SfsSight *sight)
{
    static const ShieldRights nobodys = {.mode = S_IFREG, .uid = SHIELD_NO_ID, .gid = SHIELD_NO_ID};
    g_autoptr(SfsDemands) into = sfs_passage_into(view, node->container);
    struct stat *st = &sight->st;
    gboolean known = FALSE;
    Owners owners = {0};

    sight->refused = into ? 0 : errno;
    if (into) {
        sight->demands = sfs_demands_new(into);
        known = demand_lists(node, dirfd, current ? snapshot : NULL, sight->demands, &owners);
    }
    if (owners.one_uid && owners.uid != SHIELD_NO_ID && (geteuid() == 0 || st->st_uid != geteuid()))
        st->st_uid = owners.uid;
    if (owners.one_gid && owners.gid != SHIELD_NO_ID)
        st->st_gid = owners.gid;
    st->st_mode = mode_left(view, SFS_FILE_MODE, known ? sight->demands : NULL, st);
    if (into && snapshot && !current)
        demand_readings(sight->demands, snapshot);
    if (into && !known)
        sfs_demands_add(sight->demands, &nobodys, SFS_READ);
}

gboolean sfs_sight_hide(SfsSight *sight, SfsCaller *caller, int *errnum)
{
    *errnum = sight->refused ? sight->refused : sfs_access_reaches(sight->demands, caller) ? 0 : EACCES;
    if (*errnum || sfs_access_allows(sight->demands, caller))
        return FALSE;
    sight->st.st_size = sight->st.st_blocks = 0;
    sight->st.st_mtim = sight->st.st_atim = sight->st.st_ctim = sight->bare;
    return TRUE;
}

void sfs_sight_clear(SfsSight *sight)
{
    g_clear_pointer(&sight->demands, sfs_demands_unref);
}
