/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of fs/access, by tables: what the rules are for one caller and for a mode, and what is asked of him.
 */
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "request/caller.h"
#include "view/access.h"

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
        const Entry entry = {GUINT16_TO_LE(entries[i].tag), GUINT16_TO_LE(entries[i].perm),
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

/* A group that he may be in or not gives him nothing, and takes from him what it has not. */
static void test_maybe(void)
{
    static const Entry none[6] = {{0}}, plain[6] = {{1, 6, 0}, {4, 4, 0}, {16, 4, 0}, {32, 4, 0}},
                       not_staff[6] = {{1, 6, 0}, {4, 0, 0}, {8, 4, GUESTS}, {16, 4, 0}, {32, 4, 0}},
                       not_guests[6] = {{1, 6, 0}, {4, 4, 0}, {8, 0, GUESTS}, {16, 4, 0}, {32, 4, 0}},
                       bob_reads[6] = {{1, 6, 0}, {2, 4, BOB}, {4, 0, 0}, {16, 4, 0}, {32, 0, 0}};
    static const struct {
        const Entry *acl;
        mode_t mode;
        guint32 owner, group; /* of the file */
        gid_t gid;            /* bob's; his others nobody knows if he is vague */
        gboolean vague, may;
    } cases[] = {
        {none, 0644, ALICE, STAFF, 0, TRUE, TRUE},
        {none, 0640, ALICE, STAFF, 0, TRUE, FALSE},
        {none, 0604, ALICE, STAFF, 0, TRUE, FALSE},
        {none, 0640, ALICE, STAFF, STAFF, TRUE, TRUE},
        {none, 0604, ALICE, STAFF, 0, FALSE, TRUE},
        {none, 0640, ALICE, SHIELD_NO_ID, 0, FALSE, FALSE},
        {none, 0604, ALICE, SHIELD_NO_ID, 0, FALSE, FALSE},
        {none, 0644, SHIELD_NO_ID, SHIELD_NO_ID, 0, FALSE, TRUE},
        {none, 0600, SHIELD_NO_ID, STAFF, 0, FALSE, FALSE},
        {plain, 0644, ALICE, STAFF, 0, TRUE, TRUE},
        {not_staff, 0644, ALICE, STAFF, 0, TRUE, FALSE},
        {not_staff, 0644, ALICE, STAFF, GUESTS, TRUE, TRUE},
        {not_staff, 0644, ALICE, STAFF, 0, FALSE, TRUE},
        {not_staff, 0644, ALICE, SHIELD_NO_ID, 0, FALSE, FALSE},
        {not_guests, 0644, ALICE, STAFF, 0, TRUE, FALSE},
        {not_guests, 0644, ALICE, STAFF, STAFF, TRUE, TRUE},
        {bob_reads, 0640, ALICE, STAFF, 0, TRUE, TRUE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GBytes) acl = cases[i].acl == none ? NULL : acl_of(cases[i].acl, 6);
        const ShieldRights rights = {S_IFREG | cases[i].mode, cases[i].owner, cases[i].group, acl};
        g_autoptr(SfsDemands) demands = sfs_demands_new(NULL);
        g_auto(SfsCaller) caller = {.uid = BOB, .gid = cases[i].gid, .vague = cases[i].vague};

        sfs_demands_add(demands, &rights, SFS_READ);
        g_test_message("case %" G_GSIZE_FORMAT, i);
        g_assert_cmpint(sfs_access_allows(demands, &caller), ==, cases[i].may);
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
    g_test_add_func("/rules/rules", test_rules);
    g_test_add_func("/rules/asking", test_asking);
    g_test_add_func("/rules/remembered", test_remembered);
    g_test_add_func("/rules/maybe", test_maybe);
    g_test_add_func("/rules/status", test_status);
    g_test_add_func("/rules/listing", test_listing);
    g_test_add_func("/rules/bits", test_bits);
    return g_test_run();
}
