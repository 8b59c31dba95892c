/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of fs/access: nobody may read through the view what he could not read behind it. Random owners,
 * groups, modes and ACLs are put on real files and directories, the mode that the view would show is worked
 * out, and then the kernel is asked, as one user after the other, whether what the view allows is allowed
 * behind it.
 *
 * Files of several owners need root: without it only the part about one owner is tested.
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

/* What the kernel does with a node of the view under default_permissions. */
static gboolean view_allows(const SfsAccess *access, const Viewer *viewer, mode_t wanted)
{
    guint shift = viewer->uid == access->uid ? 6 : is_member(viewer, access->gid) ? 3 : 0;

    return (access->left >> shift & wanted) == wanted;
}

/* Makes this thread the viewer, without any privilege, and back. (Other threads stay what they are.) */
static void become(const Viewer *viewer)
{
    g_assert_no_errno((int)syscall(SYS_setgroups, viewer->n_groups, viewer->groups));
    setfsgid(5999);
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

/* alike: owner and group of all are the same, as they mostly are. */
static void randomise(GRand *random, const char *path, gboolean alike, gboolean acls)
{
    uid_t uid = users[alike ? 0 : g_rand_int_range(random, 0, G_N_ELEMENTS(users))];
    gid_t gid = groups[alike ? 0 : g_rand_int_range(random, 0, G_N_ELEMENTS(groups))];

    (void)removexattr(path, "system.posix_acl_access");
    g_assert_no_errno(chown(path, uid, gid));
    g_assert_no_errno(chmod(path, random_mode(random)));
    if (acls && g_rand_int_range(random, 0, 4) == 0)
        random_acl(random, path);
}

typedef void (*Judge)(SfsAccess *access, int fd, const struct stat *st);

static void judge(SfsAccess *access, const char *path, Judge how)
{
    g_auto(ShieldFd) fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    g_assert_no_errno(fstat(fd, &st));
    how(access, fd, &st);
}

/* Somewhere in here: dir/a/b/file. What is shown for file, whose own bits are read at the end. */
static SfsAccess judge_file(const char *b, const char *file)
{
    struct stat st;

    g_assert_no_errno(lstat(file, &st));
    SfsAccess access = sfs_access_start(st.st_uid, st.st_gid);
    sfs_access_walk(&access, b);
    judge(&access, file, sfs_access_at_the_end);
    return access;
}

typedef struct {
    guint allowed, denied, too_little;
} Counts;

/* Everyone whom the view lets read must be able to behind it. */
static void compare(const SfsAccess *access, const char *path, int flags, mode_t wanted, Counts *counts)
{
    for (gsize u = 0; u < G_N_ELEMENTS(users); u++) {
        for (guint set = 0; set < N_GROUP_SETS; set++) {
            Viewer viewer = viewer_of(users[u], set);
            gboolean view = view_allows(access, &viewer, wanted);

            become(&viewer);
            gboolean behind = can_open(path, flags);
            become_root();
            if (view && !behind)
                g_test_message("uid %u with groups %u may read %s (%u:%u %03o) through the view only",
                               (guint)viewer.uid, set, path, (guint)access->uid, (guint)access->gid,
                               (guint)access->left);
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

static Counts check_random(gboolean alike, gboolean acls)
{
    g_autoptr(UnitDir) dir = tree_new();
    g_autoptr(GRand) random = g_rand_new_with_seed(42);
    g_autofree char *a = unit_path(dir, "a"), *b = unit_path(dir, "a/b"), *file = unit_path(dir, "a/b/file");
    Counts counts = {0};
    const guint rounds = unit_rounds(3000);

    for (guint i = 0; i < rounds; i++) {
        randomise(random, a, alike, acls);
        randomise(random, b, alike, acls);
        randomise(random, file, alike, acls);
        SfsAccess access = judge_file(b, file);
        compare(&access, file, O_RDONLY, 4, &counts);
    }
    g_test_message("allowed %u, denied behind %u, denied by the view only %u", counts.allowed, counts.denied,
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

/* Of one owner and group the view is exact: it takes nothing away either, unless somebody who may not search
 * a directory would be let in by another of his classes, which the kernel doesn't do. */
static void test_alike(void)
{
    if (needs_root())
        return;
    Counts counts = check_random(TRUE, FALSE);
    g_assert_cmpuint(counts.too_little, ==, 0);
}

static void test_owners(void)
{
    if (needs_root())
        return;
    (void)check_random(FALSE, FALSE);
}

static void test_acls(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    ssize_t size = getxattr(dir->path, "system.posix_acl_access", NULL, 0);

    if (needs_root())
        return;
    if (size < 0 && errno == EOPNOTSUPP) {
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
    static const char *const names[] = {"a/b/file", "a/b/sub/inner"};
    g_autofree char *b = unit_path(dir, "a/b"), *sub = unit_path(dir, "a/b/sub");
    const guint rounds = unit_rounds(1000);
    Counts counts = {0};

    for (guint i = 0; i < rounds; i++) {
        SfsAccess access =
            sfs_access_start(users[g_rand_int_range(random, 0, 3)], groups[g_rand_int_range(random, 0, 2)]);

        randomise(random, b, FALSE, FALSE);
        randomise(random, sub, FALSE, FALSE);
        sfs_access_walk(&access, b);
        judge(&access, sub, sfs_access_on_the_way);
        for (gsize n = 0; n < G_N_ELEMENTS(names); n++) {
            g_autofree char *path = unit_path(dir, names[n]);

            randomise(random, path, FALSE, FALSE);
            judge(&access, path, sfs_access_at_the_end);
        }
        for (gsize n = 0; n < G_N_ELEMENTS(names); n++) {
            g_autofree char *path = unit_path(dir, names[n]);

            compare(&access, path, O_RDONLY, 4, &counts);
        }
    }
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
    const guint rounds = unit_rounds(1000);
    Counts counts = {0};

    for (guint i = 0; i < rounds; i++) {
        randomise(random, b, FALSE, FALSE);
        randomise(random, sub, FALSE, FALSE);
        SfsAccess access = judge_file(b, sub);
        compare(&access, sub, O_RDONLY | O_DIRECTORY, 4, &counts);
    }
    g_assert_cmpuint(counts.allowed, >, 0);
}

/* Needs nobody else: what the bits come to when all is of one owner. */
static void test_bits(void)
{
    static const struct {
        mode_t directory, file, left;
    } cases[] = {
        {0755, 0644, 0644}, {0700, 0644, 0600}, {0750, 0644, 0640}, {0705, 0644, 0604}, {0711, 0644, 0644},
        {0755, 0600, 0600}, {0755, 0000, 0000}, {0755, 0604, 0604}, {0766, 0666, 0600}, {0677, 0666, 0666},
    };
    g_autoptr(UnitDir) dir = tree_new();
    g_autofree char *b = unit_path(dir, "a/b"), *file = unit_path(dir, "a/b/file");

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct stat st;

        g_assert_no_errno(chmod(file, cases[i].file));
        g_assert_no_errno(lstat(file, &st));
        g_auto(ShieldFd) fd = open(file, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        g_assert_no_errno(chmod(b, cases[i].directory));
        SfsAccess access = sfs_access_start(st.st_uid, st.st_gid);
        judge(&access, b, sfs_access_on_the_way); /* we own it, and got in: so the owner keeps his bits */
        sfs_access_at_the_end(&access, fd, &st);
        g_assert_cmpuint(access.left, ==, cases[i].left);
        g_assert_no_errno(chmod(b, 0755));
    }
}

/* Where it can't be judged, nobody gets in. */
static void test_not_to_be_judged(void)
{
    g_autoptr(UnitDir) dir = tree_new();
    static const char *const places[] = {"nothing", "a/nothing/b", "a/b/file", "link"};

    unit_link(dir, "a", "link");
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = unit_path(dir, places[i]);
        SfsAccess access = sfs_access_start(geteuid(), getegid());

        sfs_access_walk(&access, path);
        g_assert_cmpuint(access.left, ==, 0);
    }

    SfsAccess root = sfs_access_start(0, 0);
    sfs_access_walk(&root, "/");
    g_assert_cmpuint(root.left & 0700, ==, 0700);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/access/alike", test_alike);
    g_test_add_func("/access/owners", test_owners);
    g_test_add_func("/access/acls", test_acls);
    g_test_add_func("/access/several-sources", test_several_sources);
    g_test_add_func("/access/directories", test_directories);
    g_test_add_func("/access/bits", test_bits);
    g_test_add_func("/access/not-to-be-judged", test_not_to_be_judged);
    return g_test_run();
}
