/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of fs/access: nobody may read through the view what he could not read behind it, and who may is let
 * in. A table says what the rules are; then random owners, groups, modes and ACLs are put on real files and
 * directories, and the kernel is asked, as one user after the other, what is allowed behind the view. The
 * judgement of a caller must be the kernel's own; the mode that a node shows must never allow more.
 *
 * Files of several owners need root: without it only the tables are tested.
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
#include "request/caller.h"
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

/* What the rules are, in a table: whose a file is, who asks, and whether he may read it. */
enum { ALICE = 4001, BOB = 4002, CAROL = 4003, STAFF = 5001, GUESTS = 5002 };

typedef struct {
    guint16 tag, perm;
    guint32 id;
} Entry;

static GBytes *acl_of(const Entry *entries, gsize n)
{
    const guint32 version = GUINT32_TO_LE(2);
    GByteArray *acl = g_byte_array_new();

    g_byte_array_append(acl, (const guint8 *)&version, sizeof version);
    for (gsize i = 0; i < n && entries[i].tag; i++) {
        const AclEntry entry = {GUINT16_TO_LE(entries[i].tag), GUINT16_TO_LE(entries[i].perm),
                                GUINT32_TO_LE(entries[i].id)};

        g_byte_array_append(acl, (const guint8 *)&entry, sizeof entry);
    }
    return g_byte_array_free_to_bytes(acl);
}

static void test_rules(void)
{
    static const Entry none[6] = {{0}},
                       bob_reads[6] = {{1, 6, 0}, {2, 4, BOB}, {4, 0, 0}, {16, 4, 0}, {32, 0, 0}},
                       bob_masked[6] = {{1, 6, 0}, {2, 4, BOB}, {4, 4, 0}, {16, 1, 0}, {32, 4, 0}},
                       guests_read[6] = {{1, 6, 0}, {4, 0, 0}, {8, 4, GUESTS}, {16, 4, 0}, {32, 0, 0}},
                       guests_not[6] = {{1, 6, 0}, {4, 0, 0}, {8, 0, GUESTS}, {16, 4, 0}, {32, 4, 0}},
                       mask_of_nothing[6] = {{1, 6, 0}, {2, 0, BOB}, {4, 4, 0}, {16, 0, 0}, {32, 4, 0}};
    static const struct {
        const Entry *acl;
        mode_t mode;
        uid_t uid;
        gid_t group;
        gboolean may;
    } cases[] = {
        /* the file is alice's and staff's */
        {none, 0600, ALICE, 0, TRUE},
        {none, 0600, BOB, STAFF, FALSE},
        {none, 0644, BOB, 0, TRUE},
        {none, 0640, BOB, STAFF, TRUE},
        {none, 0640, BOB, GUESTS, FALSE},
        {none, 0604, BOB, GUESTS, TRUE},
        {none, 0604, BOB, STAFF, FALSE},   /* one class is his, and no other */
        {none, 0044, ALICE, STAFF, FALSE}, /* likewise */
        {bob_reads, 0640, BOB, 0, TRUE},
        {bob_reads, 0640, CAROL, STAFF, FALSE},
        {bob_masked, 0614, BOB, 0, FALSE},
        {bob_masked, 0614, CAROL, STAFF, FALSE},
        {bob_masked, 0614, CAROL, 0, TRUE},
        {guests_read, 0640, BOB, GUESTS, TRUE},
        {guests_read, 0640, BOB, STAFF, FALSE},
        {guests_not, 0644, BOB, GUESTS, FALSE},
        {guests_not, 0644, BOB, 0, TRUE},
        {mask_of_nothing, 0604, BOB, 0, TRUE}, /* the kernel doesn't look at it then */
        {none, 0000, 0, 0, FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GBytes) acl = cases[i].acl == none ? NULL : acl_of(cases[i].acl, 6);
        const ShieldRights rights = {S_IFREG | cases[i].mode, ALICE, STAFF, acl};
        g_autoptr(SfsDemands) demands = sfs_demands_new(NULL);
        g_auto(SfsCaller) caller = {.uid = cases[i].uid, .gid = cases[i].group};

        sfs_demands_add(demands, &rights, SFS_READ);
        g_test_message("case %" G_GSIZE_FORMAT, i);
        g_assert_cmpint(sfs_access_allows(demands, &caller), ==, cases[i].may);
        g_assert_true(sfs_access_reaches(demands, &caller)); /* nothing is to be searched */
    }
}

/* What is asked for once, and only when it matters. */
static guint asked;

static void ask(SfsCaller *caller)
{
    const gid_t gid = STAFF;

    asked++;
    caller->privileged = caller->uid == 0;
    caller->groups = g_array_new(FALSE, FALSE, sizeof gid);
    g_array_append_val(caller->groups, gid);
}

static void test_asking(void)
{
    const ShieldRights open = {S_IFREG | 0644, ALICE, STAFF, NULL},
                       staffs = {S_IFREG | 0640, ALICE, STAFF, NULL};
    g_autoptr(SfsDemands) demands = sfs_demands_new(NULL);
    g_auto(SfsCaller) bob = {.uid = BOB, .ask = ask}, root = {.uid = 0, .ask = ask};

    sfs_demands_add(demands, &open, SFS_READ);
    g_assert_true(sfs_access_allows(demands, &bob) && sfs_access_allows(demands, &root));
    g_assert_cmpuint(asked, ==, 0);
    sfs_demands_add(demands, &staffs, SFS_READ);
    g_assert_true(sfs_access_allows(demands, &bob) && sfs_access_allows(demands, &bob));
    g_assert_cmpuint(asked, ==, 1);
    g_assert_true(sfs_access_allows(demands, &root));
}

/* Who opened something is remembered without his groups: he may do what he may in the group and out of it. */
static void test_remembered(void)
{
    static const struct {
        mode_t mode;
        uid_t uid;
        gid_t gid;
        gboolean may;
    } cases[] = {
        {0644, BOB, 0, TRUE},     {0640, BOB, 0, FALSE},  {0604, BOB, 0, FALSE},
        {0640, BOB, STAFF, TRUE}, {0600, ALICE, 0, TRUE}, {0600, 0, 0, FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const ShieldRights rights = {S_IFREG | cases[i].mode, ALICE, STAFF, NULL};
        g_autoptr(SfsDemands) demands = sfs_demands_new(NULL);
        g_auto(SfsCaller) opener = sfs_caller_remember(cases[i].uid, cases[i].gid), now = opener;

        sfs_demands_add(demands, &rights, SFS_READ);
        g_assert_cmpint(sfs_access_allows(demands, &opener), ==, cases[i].may);
        g_assert_true(sfs_caller_is(&opener, &now));
        now.gid = GUESTS;
        g_assert_false(sfs_caller_is(&opener, &now));
    }
}

/* What proc(5) says of a process. */
static void test_status(void)
{
    static const struct {
        const char *status;
        uid_t uid;
        gboolean is_one, privileged;
        guint n;
    } cases[] = {
        {"Name:\tx\nGroups:\t5001 5002 \nCapEff:\t000001ffffffffff\n", BOB, TRUE, FALSE, 2},
        {"Name:\tx\nGroups:\t\nCapEff:\t000001ffffffffff\n", 0, TRUE, TRUE, 0},
        {"Name:\tx\nGroups:\t0 \nCapEff:\t0000000000000004\n", 0, TRUE, TRUE, 1},
        {"Name:\tx\nGroups:\t0 \nCapEff:\t0000000000000001\n", 0, TRUE, FALSE, 1},
        {"Name:\tx\nCapEff:\t000001ffffffffff\n", 0, FALSE, FALSE, 0},
        {"", 0, FALSE, FALSE, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(SfsCaller) caller = {.uid = cases[i].uid};

        g_assert_cmpint(sfs_caller_parse(&caller, cases[i].status), ==, cases[i].is_one);
        g_assert_cmpint(caller.privileged, ==, cases[i].privileged);
        g_assert_cmpuint(caller.groups ? caller.groups->len : 0, ==, cases[i].n);
        if (cases[i].n == 2)
            g_assert_cmpuint(g_array_index(caller.groups, gid_t, 1), ==, GUESTS);
    }
}

/* Who is told of what lies in a directory. */
static void test_listing(void)
{
    static const struct {
        mode_t above, holder, bundle;
        gboolean lists, reaches;
    } cases[] = {
        {0755, 0755, 0700, TRUE, FALSE},  {0755, 0711, 0755, FALSE, TRUE}, {0755, 0711, 0700, FALSE, FALSE},
        {0700, 0755, 0755, FALSE, FALSE}, {0711, 0755, 0755, TRUE, TRUE},  {0755, 0744, 0755, FALSE, FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const mode_t modes[] = {cases[i].above, cases[i].holder, cases[i].bundle};
        g_autoptr(SfsDemands) demands = sfs_demands_new(NULL);
        g_auto(SfsCaller) bob = {.uid = BOB, .gid = GUESTS};

        for (gsize m = 0; m < G_N_ELEMENTS(modes); m++) {
            const ShieldRights rights = {S_IFDIR | modes[m], ALICE, STAFF, NULL};

            sfs_demands_add(demands, &rights, SFS_SEARCH);
        }
        g_assert_cmpint(sfs_access_lists(demands, 1, &bob), ==, cases[i].lists);
        g_assert_cmpint(sfs_access_reaches(demands, &bob), ==, cases[i].reaches);
    }
}

/* What the bits come to when all is of one owner, who is the one who mounted. */
static void test_bits(void)
{
    static const struct {
        mode_t directory, file, mode;
    } cases[] = {
        {0755, 0644, 0644}, {0700, 0644, 0600}, {0750, 0644, 0640}, {0705, 0644, 0604}, {0711, 0644, 0644},
        {0755, 0600, 0600}, {0755, 0000, 0000}, {0755, 0604, 0604}, {0766, 0666, 0600}, {0677, 0666, 0666},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const ShieldRights directory = {S_IFDIR | cases[i].directory, geteuid(), STAFF, NULL};
        const ShieldRights file = {S_IFREG | cases[i].file, geteuid(), STAFF, NULL};
        g_autoptr(SfsDemands) demands = sfs_demands_new(NULL);

        sfs_demands_add(demands, &directory, SFS_SEARCH); /* he got in: so the owner keeps his bits */
        sfs_demands_add(demands, &file, SFS_READ);
        g_assert_cmpuint(sfs_access_mode(demands, geteuid(), STAFF), ==, cases[i].mode);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/access/rules", test_rules);
    g_test_add_func("/access/asking", test_asking);
    g_test_add_func("/access/remembered", test_remembered);
    g_test_add_func("/access/status", test_status);
    g_test_add_func("/access/listing", test_listing);
    g_test_add_func("/access/bits", test_bits);
    g_test_add_func("/access/alike", test_alike);
    g_test_add_func("/access/owners", test_owners);
    g_test_add_func("/access/acls", test_acls);
    g_test_add_func("/access/several-sources", test_several_sources);
    g_test_add_func("/access/one-group", test_one_group);
    g_test_add_func("/access/directories", test_directories);
    return g_test_run();
}
