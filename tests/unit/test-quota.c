/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of request/quota: who gets how many. */
#include <glib.h>

#include "request/quota.h"
#include "unit.h"

#define OWNER 1000

/* How many shares of one uid gets until he is refused; they are appended to shares. */
static guint take_all(SfsQuota *quota, uid_t uid, GArray *shares)
{
    SfsShare share;
    guint n = 0;

    for (; sfs_share_take(&share, quota, uid, 1); n++)
        g_array_append_val(shares, share);
    return n;
}

static GArray *shares_new(void)
{
    GArray *shares = g_array_new(FALSE, FALSE, sizeof(SfsShare));

    g_array_set_clear_func(shares, (GDestroyNotify)sfs_share_clear);
    return shares;
}

static void test_others(void)
{
    SfsQuota *quota = sfs_quota_new(200, OWNER, "files");
    GArray *shares = shares_new(), *first = shares_new();

    g_assert_cmpuint(take_all(quota, 1, first), ==, 50);
    g_assert_cmpuint(take_all(quota, 2, shares), ==, 25);
    g_assert_cmpuint(take_all(quota, 3, shares), ==, 12);
    g_assert_cmpuint(take_all(quota, 4, shares), ==, 6);
    g_assert_cmpuint(take_all(quota, 1, shares), ==, 0);
    g_array_unref(first);
    g_assert_cmpuint(take_all(quota, 3, shares), >, 0); /* what has been given back can be had */
    g_assert_cmpuint(take_all(quota, 5, shares), >, 0);
    g_array_unref(shares);
    sfs_quota_free(quota);
}

/* The mounting user and root need not leave anything; what others have is theirs. */
static void test_owner(void)
{
    SfsQuota *quota = sfs_quota_new(200, OWNER, "files");
    GArray *shares = shares_new();

    g_assert_cmpuint(take_all(quota, 1, shares), ==, 50);
    g_assert_cmpuint(take_all(quota, OWNER, shares), ==, 150);
    g_assert_cmpuint(take_all(quota, 0, shares), ==, 0);
    g_assert_cmpuint(take_all(quota, 2, shares), ==, 0);
    g_array_set_size(shares, 0);
    g_assert_cmpuint(take_all(quota, 0, shares), ==, 200);
    g_array_unref(shares);
    sfs_quota_free(quota);
}

static void test_large_shares(void)
{
    SfsQuota *quota = sfs_quota_new(200, OWNER, "bytes");
    g_auto(SfsShare) all = {0}, large = {0}, small = {0};

    g_assert_false(sfs_share_take(&large, quota, 1, 51));
    g_assert_false(sfs_share_take(&large, quota, 1, G_MAXSIZE));
    g_assert_false(sfs_share_take(&all, quota, OWNER, 201));
    g_assert_true(sfs_share_take(&large, quota, 1, 50));
    g_assert_false(sfs_share_take(&small, quota, 1, 1));

    g_auto(SfsShare) moved = sfs_share_steal(&large);
    sfs_share_clear(&large); /* it has nothing any more */
    g_assert_false(sfs_share_take(&small, quota, 1, 1));
    sfs_share_clear(&moved);
    g_assert_true(sfs_share_take(&small, quota, 1, 50));
    sfs_share_clear(&small);
    g_assert_true(sfs_share_take(&all, quota, OWNER, 200));
    sfs_share_clear(&all);
    sfs_quota_free(quota);
}

/* What he has several times counts once, until he has it no more; what another has too counts for each. */
static void test_things(void)
{
    SfsQuota *quota = sfs_quota_new(200, OWNER, "bytes");
    const char *const things[] = {"a", "b"};
    g_auto(SfsShare) first = {0}, second = {0}, third = {0}, others = {0}, owners = {0}, roots = {0};

    g_assert_true(sfs_share_take_of(&first, quota, 1, things[0], 50));
    g_assert_true(sfs_share_take_of(&second, quota, 1, things[0], 50));
    g_assert_false(sfs_share_take_of(&third, quota, 1, things[1], 1));
    g_assert_false(sfs_share_take_of(&others, quota, 2, things[0], 26));
    g_assert_true(sfs_share_take_of(&others, quota, 2, things[0], 25));
    g_assert_true(sfs_share_take_of(&owners, quota, OWNER, things[1], 1000));
    g_assert_true(sfs_share_take_of(&roots, quota, 0, things[1], 1000));
    sfs_share_clear(&first);
    sfs_share_clear(&first); /* it is of nothing any more */
    g_assert_false(sfs_share_take_of(&third, quota, 1, things[1], 1));
    sfs_share_clear(&second);
    g_assert_true(sfs_share_take_of(&third, quota, 1, things[1], 37));
    sfs_share_clear(&third);
    sfs_share_clear(&others);
    g_assert_true(sfs_share_take_of(&first, quota, 1, things[0], 50));
    sfs_share_clear(&first);
    sfs_quota_free(quota);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/quota/others", test_others);
    g_test_add_func("/quota/owner", test_owner);
    g_test_add_func("/quota/large-shares", test_large_shares);
    g_test_add_func("/quota/things", test_things);
    return g_test_run();
}
