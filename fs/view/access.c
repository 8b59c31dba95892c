/* SPDX-License-Identifier: Apache-2.0 */
/* access: the kernel's rules (path_resolution(7), acl(5)), for one caller and for classes; see access.h. */
#include "view/access.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    ShieldRights rights;
    SfsDemand what;
} Step;

struct SfsDemands {
    gatomicrefcount refs;
    GArray *steps; /* of Step */
};

static void step_clear(void *data)
{
    shield_rights_clear(&((Step *)data)->rights);
}

SfsDemands *sfs_demands_new(const SfsDemands *before)
{
    SfsDemands *demands = g_new0(SfsDemands, 1);

    g_atomic_ref_count_init(&demands->refs);
    demands->steps = g_array_new(FALSE, FALSE, sizeof(Step));
    g_array_set_clear_func(demands->steps, step_clear);
    if (before)
        sfs_demands_add_all(demands, before);
    return demands;
}

void sfs_demands_add_all(SfsDemands *demands, const SfsDemands *others)
{
    for (guint i = 0; i < others->steps->len; i++) {
        const Step *step = &g_array_index(others->steps, Step, i);

        sfs_demands_add(demands, &step->rights, step->what);
    }
}

void sfs_demands_add(SfsDemands *demands, const ShieldRights *rights, SfsDemand what)
{
    const Step step = {shield_rights_copy(rights), what};

    g_array_append_val(demands->steps, step);
}

SfsDemands *sfs_demands_ref(SfsDemands *demands)
{
    g_atomic_ref_count_inc(&demands->refs);
    return demands;
}

void sfs_demands_unref(SfsDemands *demands)
{
    if (!g_atomic_ref_count_dec(&demands->refs))
        return;
    g_array_unref(demands->steps);
    g_free(demands);
}

static void ask(SfsCaller *caller)
{
    void (*how)(SfsCaller *) = caller->ask;

    caller->ask = NULL;
    if (how)
        how(caller);
}

SfsCaller sfs_caller_remember(uid_t uid, gid_t gid)
{
    return (SfsCaller){.uid = uid, .gid = gid, .vague = TRUE};
}

gboolean sfs_caller_is(const SfsCaller *opener, const SfsCaller *now)
{
    return opener->uid == now->uid && opener->gid == now->gid;
}

/* Root may be without the capability. */
gboolean sfs_caller_is_privileged(SfsCaller *caller)
{
    if (caller->uid != 0)
        return FALSE;
    ask(caller);
    return caller->privileged;
}

void sfs_caller_clear(SfsCaller *caller)
{
    g_clear_pointer(&caller->groups, g_array_unref);
}

/* A POSIX ACL as the kernel hands it out: a version, then entries; little-endian. */
typedef struct {
    guint16 tag, perm;
    guint32 id;
} AclEntry;

enum { ACL_VERSION_SIZE = 4, ACL_USER = 0x02, ACL_GROUP_OBJ = 0x04, ACL_GROUP = 0x08, ACL_MASK = 0x10 };

/* What the mode has for owner, group and others; with an ACL the group's bits are those of its mask. */
static guint owner_bits(const ShieldRights *rights)
{
    return rights->mode >> 6 & 7;
}

static guint middle_bits(const ShieldRights *rights)
{
    return rights->mode >> 3 & 7;
}

static guint other_bits(const ShieldRights *rights)
{
    return rights->mode & 7;
}

/* Where the mask has nothing, the kernel doesn't look at the ACL. */
static gboolean has_acl(const ShieldRights *rights)
{
    return rights->acl && middle_bits(rights) != 0;
}

/* The i-th entry; FALSE: there are no more. */
static gboolean acl_entry(const ShieldRights *rights, gsize i, AclEntry *entry)
{
    gsize size, at = ACL_VERSION_SIZE + i * sizeof *entry;
    const char *acl = g_bytes_get_data(rights->acl, &size);

    if (at + sizeof *entry > size)
        return FALSE;
    memcpy(entry, acl + at, sizeof *entry);
    *entry = (AclEntry){le16toh(entry->tag), le16toh(entry->perm) & 7, le32toh(entry->id)};
    entry->id = entry->tag == ACL_USER ? shield_rights_user(entry->id) : shield_rights_group(entry->id);
    return TRUE;
}

/* The bits of those entries that hold with the mask. */
static guint masked(const ShieldRights *rights, guint perm)
{
    AclEntry entry;

    for (gsize i = 0; acl_entry(rights, i, &entry); i++) {
        if (entry.tag == ACL_MASK)
            return perm & entry.perm;
    }
    return perm;
}

/* One caller. */
typedef enum { NO, MAYBE, YES } Answer;

static Answer is_in_group(SfsCaller *caller, guint32 gid)
{
    if (gid == SHIELD_NO_ID)
        return MAYBE; /* which one it is can't be told, nor which those of his are that look like it */
    if (caller->gid == gid)
        return YES;
    ask(caller);
    for (guint i = 0; caller->groups && i < caller->groups->len; i++) {
        if (g_array_index(caller->groups, gid_t, i) == gid)
            return YES;
    }
    return caller->vague ? MAYBE : NO;
}

/* Is he in the group that an entry is of? NO if it is of none. */
static Answer is_meant(const ShieldRights *rights, SfsCaller *caller, const AclEntry *entry)
{
    if (entry->tag != ACL_GROUP_OBJ && entry->tag != ACL_GROUP)
        return NO;
    return is_in_group(caller, entry->tag == ACL_GROUP_OBJ ? rights->gid : entry->id);
}

/* A group that he may be in lets him in only if he is, and keeps him from what others may do. */
static gboolean acl_allows(const ShieldRights *rights, SfsCaller *caller, guint what)
{
    gboolean found = FALSE;
    AclEntry entry;

    for (gsize i = 0; acl_entry(rights, i, &entry); i++) {
        gboolean allowed = (masked(rights, entry.perm) & what) != 0;
        Answer meant = is_meant(rights, caller, &entry);

        if (entry.tag == ACL_USER && entry.id == caller->uid)
            return allowed;
        if (meant == YES && allowed)
            return TRUE;
        found |= meant == YES || (meant == MAYBE && !allowed);
    }
    return !found && (other_bits(rights) & what) != 0;
}

/* what: one bit. */
static gboolean allows(const ShieldRights *rights, SfsCaller *caller, guint what)
{
    gboolean middle = (middle_bits(rights) & what) != 0, other = (other_bits(rights) & what) != 0;

    if (rights->uid == caller->uid)
        return (owner_bits(rights) & what) != 0;
    if (has_acl(rights))
        return acl_allows(rights, caller, what);
    if (middle == other)
        return other; /* whatever his groups */

    Answer member = is_in_group(caller, rights->gid);
    return member == MAYBE ? FALSE : member == YES ? middle : other;
}

/* Those of the first n steps that demand this. */
static gboolean passes(const SfsDemands *demands, guint n, guint what, SfsCaller *caller)
{
    for (guint i = 0; i < n; i++) {
        const Step *step = &g_array_index(demands->steps, Step, i);

        if ((step->what & what) && !allows(&step->rights, caller, step->what))
            return sfs_caller_is_privileged(caller);
    }
    return TRUE;
}

gboolean sfs_access_allows(const SfsDemands *demands, SfsCaller *caller)
{
    return !demands || passes(demands, demands->steps->len, SFS_SEARCH | SFS_READ, caller);
}

gboolean sfs_access_reaches(const SfsDemands *demands, SfsCaller *caller)
{
    return !demands || passes(demands, demands->steps->len, SFS_SEARCH, caller);
}

gboolean sfs_access_lists(const SfsDemands *demands, guint n, SfsCaller *caller)
{
    guint last = demands->steps->len - 1;

    for (guint i = last - n; i < last; i++) {
        if (!allows(&g_array_index(demands->steps, Step, i).rights, caller, SFS_READ))
            return sfs_caller_is_privileged(caller);
    }
    return passes(demands, last, SFS_SEARCH, caller);
}

/* A class of users, as a mode has it: who is shown as the owner; who is in the group that is shown; others.
 */
typedef struct {
    enum { OWNER, GROUP, OTHER } class;
    uid_t uid;
    gid_t gid;
} Class;

typedef enum { NOBODY, SOME, ALL } HowMany;

static HowMany are_user(const Class *class, guint32 uid)
{
    if (class->class == OWNER)
        return class->uid == uid ? ALL : NOBODY;
    return class->uid == uid || uid == 0 ? NOBODY : SOME;
}

static HowMany are_in_group(const Class *class, guint32 gid)
{
    if (class->class == OWNER || class->gid != gid)
        return SOME;
    return class->class == GROUP ? ALL : NOBODY;
}

/* What is known so far of the groups' entries: all are in one of those that give `sure`; some may be in each
 * of those that give no more than `maybe`. */
typedef struct {
    gboolean all;
    guint sure, maybe;
} Groups;

static void add_group(Groups *groups, HowMany how_many, guint perm)
{
    if (how_many == ALL) {
        groups->all = TRUE;
        groups->sure |= perm; /* one group that allows is enough */
    } else if (how_many == SOME) {
        groups->maybe &= perm;
    }
}

/* The bits that everyone in class has at least, who are not the owner. */
static guint others_least(const ShieldRights *rights, const Class *class)
{
    Groups groups = {FALSE, 0, 7};
    guint users = 7;
    AclEntry entry;

    if (!has_acl(rights))
        add_group(&groups, are_in_group(class, rights->gid), middle_bits(rights));
    for (gsize i = 0; has_acl(rights) && acl_entry(rights, i, &entry); i++) {
        guint perm = masked(rights, entry.perm);
        HowMany how_many = entry.tag == ACL_USER ? are_user(class, entry.id) : NOBODY;

        if (how_many == ALL)
            return perm;
        if (how_many == SOME)
            users &= perm;
        if (entry.tag == ACL_GROUP_OBJ || entry.tag == ACL_GROUP)
            add_group(&groups,
                      are_in_group(class, entry.tag == ACL_GROUP_OBJ ? rights->gid : (gid_t)entry.id), perm);
    }
    return users & (groups.all ? groups.sure : groups.maybe & other_bits(rights));
}

/* The bits that everyone in class has at least. */
static guint least(const ShieldRights *rights, const Class *class)
{
    HowMany owners = are_user(class, rights->uid);

    if (owners == ALL)
        return owner_bits(rights);
    return others_least(rights, class) & (owners == SOME ? owner_bits(rights) : 7);
}

/* The bits that are left to class of 7. */
static guint left_to(const SfsDemands *demands, const Class *class)
{
    /* What this process is let in to, who mounted is: what he owns alone asks anything of him. */
    gboolean mounted = class->class == OWNER && (class->uid == geteuid() || class->uid == 0);
    guint left = 7;

    for (guint i = 0; i < demands->steps->len; i++) {
        const Step *step = &g_array_index(demands->steps, Step, i);

        if (step->what == SFS_READ && !(mounted && step->rights.uid != class->uid))
            left &= least(&step->rights, class);
        else if (step->what == SFS_SEARCH && !mounted && !(least(&step->rights, class) & SFS_SEARCH))
            return 0;
    }
    return left;
}

mode_t sfs_access_mode(const SfsDemands *demands, uid_t uid, gid_t gid)
{
    mode_t mode = 0;

    for (int class = OWNER; class <= OTHER; class ++) {
        const Class of = {class, uid, gid};

        mode = mode << 3 | left_to(demands, &of);
    }
    return mode;
}
