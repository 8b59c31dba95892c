/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of fs/access: nobody may read through the view what he could not read behind it, and who may is let
 * in. Random owners, groups, modes and ACLs are put on real files and directories, and the kernel is asked,
 * as one user after the other, what is allowed behind the view. The judgement of a caller must be the
 * kernel's own; the mode that a node shows must never allow more. (test-rules has the rules as a table.)
 *
 * Files of several owners need root: without it there is nothing to be tested.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "open.h"
#include "unit.h"
#include "view/access.h"

/* Who looks: users and groups that need not exist. Small sets, so that they often meet. */
static const uid_t users[] = {4001, 4002, 4003};
static const gid_t groups[] = {5001, 5002};
#define N_GROUP_SETS (1U << G_N_ELEMENTS(groups))

typedef struct {
    uid_t uid;
    gid_t groups[G_N_ELEMENTS(groups)];
    gsize n_groups;
} Viewer;

static Viewer viewer_of(uid_t uid, guint set)
{
    Viewer viewer = {.uid = uid};

    for (guint i = 0; i < G_N_ELEMENTS(groups); i++) {
        if (set & (1U << i))
            viewer.groups[viewer.n_groups++] = groups[i];
    }
    return viewer;
}

static gboolean is_member(const Viewer *viewer, gid_t gid)
{
    for (gsize i = 0; i < viewer->n_groups; i++) {
        if (viewer->groups[i] == gid)
            return TRUE;
    }
    return FALSE;
}

#define OWN_GROUP 5999

/* The same, as the view knows him. */
static SfsCaller caller_of(const Viewer *viewer)
{
    SfsCaller caller = {.uid = viewer->uid, .gid = OWN_GROUP};

    caller.groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
    g_array_append_vals(caller.groups, viewer->groups, (guint)viewer->n_groups);
    return caller;
}

/* What the kernel does with a node of the view under default_permissions. */
typedef struct {
    uid_t uid;
    gid_t gid;
    mode_t mode;
} Shown;

static gboolean view_allows(const Shown *shown, const Viewer *viewer, mode_t wanted)
{
    guint shift = viewer->uid == shown->uid ? 6 : is_member(viewer, shown->gid) ? 3 : 0;

    return (shown->mode >> shift & wanted) == wanted;
}

/* Makes this thread the viewer, without any privilege, and back. (Other threads stay what they are.) */
static void become(const Viewer *viewer)
{
    g_assert_no_errno((int)syscall(SYS_setgroups, viewer->n_groups, viewer->groups));
    setfsgid(OWN_GROUP);
    setfsuid(viewer->uid);
    g_assert_cmpint(setfsuid((uid_t)-1), ==, (int)viewer->uid);
}

static void become_root(void)
{
    setfsuid(0);
    setfsgid(0);
    g_assert_no_errno((int)syscall(SYS_setgroups, 0, NULL));
}

static gboolean can_open(const char *path, int flags)
{
    g_auto(ShieldFd) fd = open(path, flags | O_CLOEXEC);

    return fd >= 0;
}

/* Random attributes. Full modes are as likely as poor ones. */
static mode_t random_mode(GRand *random)
{
    static const mode_t usual[] = {0777, 0755, 0750, 0711, 0700, 0644, 0640, 0600, 0444, 0705, 0607, 0};

    return g_rand_boolean(random) ? usual[g_rand_int_range(random, 0, G_N_ELEMENTS(usual))]
                                  : (mode_t)g_rand_int_range(random, 0, 01000);
}

#pragma pack(push, 1)
typedef struct {
    guint16 tag, perm;
    guint32 id;
} AclEntry;
typedef struct {
    guint32 version;
    AclEntry entries[6];
} Acl;
#pragma pack(pop)

static void random_acl(GRand *random, const char *path)
{
    Acl acl = {.version = GUINT32_TO_LE(2)};
    const guint16 tags[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20}; /* the order that the kernel wants */

    for (gsize i = 0; i < G_N_ELEMENTS(tags); i++) {
        guint32 id = tags[i] == 0x02   ? users[g_rand_int_range(random, 0, G_N_ELEMENTS(users))]
                     : tags[i] == 0x08 ? groups[g_rand_int_range(random, 0, G_N_ELEMENTS(groups))]
                                       : G_MAXUINT32;

        acl.entries[i] = (AclEntry){GUINT16_TO_LE(tags[i]), GUINT16_TO_LE(g_rand_int_range(random, 0, 8)),
                                    GUINT32_TO_LE(id)};
    }
    g_assert_no_errno(setxattr(path, "system.posix_acl_access", &acl, sizeof acl, 0));
}

static gboolean has_acls(const char *path)
{
    return getxattr(path, "system.posix_acl_access", NULL, 0) >= 0 || errno != EOPNOTSUPP;
}

/* alike: owner and group of all are the same, as they mostly are. */
static void randomise(GRand *random, const char *path, gboolean alike, gboolean acls)
{
    uid_t uid = users[alike ? 0 : g_rand_int_range(random, 0, G_N_ELEMENTS(users))];
    gid_t gid = groups[alike ? 0 : g_rand_int_range(random, 0, G_N_ELEMENTS(groups))];

    (void)removexattr(path, "system.posix_acl_access");
    g_assert_no_errno(chown(path, uid, gid));
    g_assert_no_errno(chmod(path, random_mode(random)));
    if (acls && has_acls(path) && g_rand_int_range(random, 0, 4) == 0)
        random_acl(random, path);
}

static void demand(SfsDemands *demands, const char *path, SfsDemand what)
{
    g_assert_true(path != NULL);
    g_auto(ShieldFd) fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    ShieldRights rights;

    g_assert_true(shield_rights_of(fd, &rights));
    sfs_demands_add(demands, &rights, what);
    shield_rights_clear(&rights);
}

/* Every directory from "/" to path, that one included. */
static void demand_way(SfsDemands *demands, const char *path)
{
    g_autofree char *above = g_path_get_dirname(path);

    if (strcmp(path, "/") != 0)
        demand_way(demands, above);
    demand(demands, path, SFS_SEARCH);
}

static Shown show(const SfsDemands *demands, uid_t uid, gid_t gid)
{
    return (Shown){uid, gid, sfs_access_mode(demands, uid, gid)};
}

/* With the owner and group of what is at path. */
static Shown show_as(const SfsDemands *demands, const char *path)
{
    struct stat st;

    g_assert_no_errno(lstat(path, &st));
    return show(demands, st.st_uid, st.st_gid);
}

typedef struct {
    guint allowed, denied, too_little;
} Counts;

/* paths: NULL ends them; who may open all may do what is demanded. The mode lets in nobody else. */
static void compare(const SfsDemands *demands, const Shown *shown, const char *const *paths, int flags,
                    Counts *counts)
{
    for (gsize u = 0; u < G_N_ELEMENTS(users); u++) {
        for (guint set = 0; set < N_GROUP_SETS; set++) {
            Viewer viewer = viewer_of(users[u], set);
            g_auto(SfsCaller) caller = caller_of(&viewer);
            gboolean view = view_allows(shown, &viewer, 4), judged = sfs_access_allows(demands, &caller);
            gboolean behind = TRUE;

            become(&viewer);
            for (const char *const *path = paths; *path; path++)
                behind &= can_open(*path, flags);
            become_root();
            if (judged != behind || (view && !behind))
                g_test_message("uid %u with groups %u: %s may%s be read behind, %s by judgement, %s by mode "
                               "(%u:%u %03o)",
                               (guint)viewer.uid, set, paths[0], behind ? "" : " not", judged ? "yes" : "no",
                               view ? "yes" : "no", (guint)shown->uid, (guint)shown->gid, (guint)shown->mode);
            g_assert_cmpint(judged, ==, behind);
            g_assert_true(!view || behind);
            counts->allowed += view;
            counts->denied += !behind;
            counts->too_little += behind && !view;
        }
    }
}

static UnitDir *tree_new(void)
{
    UnitDir *dir = unit_dir_new();

    g_assert_no_errno(chmod(dir->path, 0755));
    unit_mkdir(dir, "a/b/sub");
    unit_write(dir, "a/b/file", "x");
    unit_write(dir, "a/b/sub/inner", "x");
    return dir;
}

/* dir/a/b/file, all of it at random. */
static Counts check_random(gboolean alike, gboolean acls)
{
    g_autoptr(UnitDir) dir = tree_new();
    g_autoptr(GRand) random = g_rand_new_with_seed(42);
    g_autofree char *a = unit_path(dir, "a"), *b = unit_path(dir, "a/b"), *file = unit_path(dir, "a/b/file");
    const char *const paths[] = {file, NULL};
    Counts counts = {0};
    const guint rounds = unit_rounds(3000);

    for (guint i = 0; i < rounds; i++) {
        g_autoptr(SfsDemands) demands = sfs_demands_new(NULL);

        randomise(random, a, alike, acls);
        randomise(random, b, alike, acls);
        randomise(random, file, alike, acls);
        demand_way(demands, b);
        demand(demands, file, SFS_READ);

        Shown shown = show_as(demands, file);
        compare(demands, &shown, paths, O_RDONLY, &counts);
    }
    g_test_message("allowed %u, denied behind %u, denied by the mode only %u", counts.allowed, counts.denied,
                   counts.too_little);
    g_assert_cmpuint(counts.allowed, >, 0);
    g_assert_cmpuint(counts.denied, >, 0);
    return counts;
}

static gboolean needs_root(void)
{
    if (geteuid() == 0)
        return FALSE;
    g_test_skip("only root can make files of several owners");
    return TRUE;
}

/* Of one owner and group the mode is exact: it takes nothing away either. */
static void test_alike(void)
{
    if (needs_root())
        return;
    Counts counts = check_random(TRUE, FALSE);
    g_assert_cmpuint(counts.too_little, ==, 0);
}

static void test_owners(void)
{
    if (!needs_root())
        (void)check_random(FALSE, FALSE);
}

static void test_acls(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    if (needs_root())
        return;
    if (!has_acls(dir->path)) {
        g_test_skip("no ACLs on the temporary directory");
        return;
    }
    (void)check_random(FALSE, TRUE);
}

/* A node shown with another's owner and group than the backing's, as computed files are: several sources, all
 * of which must be readable. */
static void test_several_sources(void)
{
    if (needs_root())
        return;

    g_autoptr(UnitDir) dir = tree_new();
    g_autoptr(GRand) random = g_rand_new_with_seed(7);
    g_autofree char *b = unit_path(dir, "a/b"), *sub = unit_path(dir, "a/b/sub");
    g_autofree char *file = unit_path(dir, "a/b/file"), *inner = unit_path(dir, "a/b/sub/inner");
    const char *const paths[] = {file, inner, NULL};
    const guint rounds = unit_rounds(1000);
    Counts counts = {0};

    for (guint i = 0; i < rounds; i++) {
        g_autoptr(SfsDemands) way = sfs_demands_new(NULL);

        randomise(random, b, FALSE, TRUE);
        randomise(random, sub, FALSE, TRUE);
        demand_way(way, sub);

        g_autoptr(SfsDemands) demands = sfs_demands_new(way);
        for (const char *const *path = paths; *path; path++) {
            randomise(random, *path, FALSE, TRUE);
            demand(demands, *path, SFS_READ);
        }
        Shown shown =
            show(demands, users[g_rand_int_range(random, 0, 3)], groups[g_rand_int_range(random, 0, 2)]);
        compare(demands, &shown, paths, O_RDONLY, &counts);
    }
    g_assert_cmpuint(counts.allowed, >, 0);
}

/* Lists of several owners, and of one group that is not their directory's: the mode takes nothing from that
 * group, nor from others. */
static void test_one_group(void)
{
    if (needs_root())
        return;

    g_autoptr(UnitDir) dir = tree_new();
    g_autofree char *b = unit_path(dir, "a/b"), *sub = unit_path(dir, "a/b/sub");
    g_autofree char *file = unit_path(dir, "a/b/file"), *inner = unit_path(dir, "a/b/sub/inner");
    const char *const paths[] = {file, inner, NULL};
    g_autoptr(SfsDemands) demands = sfs_demands_new(NULL);
    Counts counts = {0};

    g_assert_no_errno(chown(b, 0, groups[1]));
    g_assert_no_errno(chown(sub, users[0], groups[1]));
    for (const char *const *path = paths; *path; path++) {
        g_assert_no_errno(chown(*path, path == paths ? users[0] : users[1], groups[0]));
        g_assert_no_errno(chmod(*path, 0640));
    }
    demand_way(demands, sub);
    demand(demands, file, SFS_READ);
    demand(demands, inner, SFS_READ);
    Shown shown = show(demands, users[0], groups[0]);
    g_assert_cmpuint(shown.mode & 0077, ==, 0040);
    compare(demands, &shown, paths, O_RDONLY, &counts);
    g_assert_cmpuint(counts.allowed, >, 0);
}

/* The same for listing a directory. */
static void test_directories(void)
{
    if (needs_root())
        return;

    g_autoptr(UnitDir) dir = tree_new();
    g_autoptr(GRand) random = g_rand_new_with_seed(8);
    g_autofree char *b = unit_path(dir, "a/b"), *sub = unit_path(dir, "a/b/sub");
    const char *const paths[] = {sub, NULL};
    const guint rounds = unit_rounds(1000);
    Counts counts = {0};

    for (guint i = 0; i < rounds; i++) {
        g_autoptr(SfsDemands) demands = sfs_demands_new(NULL);

        randomise(random, b, FALSE, TRUE);
        randomise(random, sub, FALSE, TRUE);
        demand_way(demands, b);
        demand(demands, sub, SFS_READ);
        Shown shown = show_as(demands, sub);
        compare(demands, &shown, paths, O_RDONLY | O_DIRECTORY, &counts);
    }
    g_assert_cmpuint(counts.allowed, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/access/alike", test_alike);
    g_test_add_func("/access/owners", test_owners);
    g_test_add_func("/access/acls", test_acls);
    g_test_add_func("/access/several-sources", test_several_sources);
    g_test_add_func("/access/one-group", test_one_group);
    g_test_add_func("/access/directories", test_directories);
    return g_test_run();
}
