/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/layout: all rows against the contract's functions, spelled out here once more, and paths
 * normalised as pathlib does.
 */
#include <glib.h>
#include <string.h>

#include "layout.h"
#include "paths.h"
#include "shieldstate.h"

static const struct {
    const char *what;
    ShieldFile file;
    const char *below; /* of the state directory; for stage "poststop" */
    char *(*function)(const char *state_dir);
} rows[] = {
    {"hooks_dir", SHIELD_HOOKS_DIR, "hooks", shield_hooks_dir},
    {"hook_entrypoint", SHIELD_HOOK_ENTRYPOINT, "terok-shield-hook", shield_hook_entrypoint},
    {"hook_json", SHIELD_HOOK_JSON, "hooks/terok-shield-poststop.json", NULL},
    {"ruleset", SHIELD_RULESET, "ruleset.nft", shield_ruleset_path},
    {"gateway", SHIELD_GATEWAY, "gateway", shield_gateway_path},
    {"gateway_v6", SHIELD_GATEWAY_V6, "gateway_v6", shield_gateway_v6_path},
    {"upstream_dns", SHIELD_UPSTREAM_DNS, "upstream.dns", shield_upstream_dns_path},
    {"dns_tier", SHIELD_DNS_TIER, "dns.tier", shield_dns_tier_path},
    {"profile_allowed", SHIELD_PROFILE_ALLOWED, "profile.allowed", shield_profile_allowed_path},
    {"profile_domains", SHIELD_PROFILE_DOMAINS, "profile.domains", shield_profile_domains_path},
    {"live_allowed", SHIELD_LIVE_ALLOWED, "live.allowed", shield_live_allowed_path},
    {"live_domains", SHIELD_LIVE_DOMAINS, "live.domains", shield_live_domains_path},
    {"deny", SHIELD_DENY, "deny.list", shield_deny_path},
    {"denied_domains", SHIELD_DENIED_DOMAINS, "denied.domains", shield_denied_domains_path},
    {"dnsmasq_conf", SHIELD_DNSMASQ_CONF, "dnsmasq.conf", shield_dnsmasq_conf_path},
    {"dnsmasq_pid", SHIELD_DNSMASQ_PID, "dnsmasq.pid", shield_dnsmasq_pid_path},
    {"dnsmasq_log", SHIELD_DNSMASQ_LOG, "dnsmasq.log", shield_dnsmasq_log_path},
    {"resolv_conf", SHIELD_RESOLV_CONF, "resolv.conf", shield_resolv_conf_path},
    {"interactive", SHIELD_INTERACTIVE, "interactive", shield_interactive_path},
    {"container_id", SHIELD_CONTAINER_ID, "container.id", shield_container_id_path},
    {"audit", SHIELD_AUDIT, "audit.jsonl", shield_audit_path},
};

static void test_rows(void)
{
    g_assert_cmpuint(G_N_ELEMENTS(rows), ==, 21);
    g_assert_cmpuint(G_N_ELEMENTS(rows), ==, SHIELD_N_FILES);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *expected = g_strconcat("/s/web-1/", rows[i].below, NULL);
        g_autofree char *got = shield_layout_path("/s/web-1", rows[i].file, "poststop");
        ShieldFile found = SHIELD_N_FILES;

        g_assert_cmpstr(got, ==, expected);
        g_assert_true(shield_layout_find(rows[i].what, &found));
        g_assert_cmpint((int)found, ==, (int)rows[i].file);
        if (rows[i].file != SHIELD_HOOK_JSON)
            g_assert_cmpstr(shield_layout_name(rows[i].file), ==, rows[i].below);
    }
}

static void test_functions(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *expected = g_strconcat("a/b/", rows[i].below, NULL);
        g_autofree char *got =
            rows[i].function ? rows[i].function("a//b/./") : shield_hook_json_path("a//b/./", "poststop");

        g_assert_cmpstr(got, ==, expected);
    }
}

static void test_find_nothing(void)
{
    static const char *const words[] = {"", "deny_path", "deny.list", "hook_json_path", "DENY", "audit "};
    ShieldFile file;

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        g_assert_false(shield_layout_find(words[i], &file));
}

/* str(pathlib.PurePosixPath(given)) */
static const struct {
    const char *given, *expected;
} paths[] = {
    {"", "."},
    {".", "."},
    {"./", "."},
    {"././.", "."},
    {"..", ".."},
    {"../", ".."},
    {"./..", ".."},
    {"a", "a"},
    {"a/", "a"},
    {"a//", "a"},
    {"./a", "a"},
    {"a/.", "a"},
    {"a//b/./c/", "a/b/c"},
    {"a/../b", "a/../b"},
    {"a/b/..", "a/b/.."},
    {"/", "/"},
    {"//", "//"},
    {"///", "/"},
    {"////", "/"},
    {"/.", "/"},
    {"/./", "/"},
    {"//.", "//"},
    {"/..", "/.."},
    {"/../..", "/../.."},
    {"/a", "/a"},
    {"//a", "//a"},
    {"///a", "/a"},
    {"////a", "/a"},
    {"//a//b", "//a/b"},
    {"/./a", "/a"},
    {"//./a", "//a"},
    {"/a/./b/", "/a/b"},
    {"...", "..."},
    {".a", ".a"},
    {"a./.b", "a./.b"},
    {" ", " "},
    {"~", "~"},
    {"a b/\xff", "a b/\xff"},
    {"a\\b", "a\\b"},
    {"a\n/b", "a\n/b"},
};

static void test_normalise(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *got = shield_path_normalise(paths[i].given);
        g_autofree char *again = shield_path_normalise(got);

        g_assert_cmpstr(got, ==, paths[i].expected);
        g_assert_cmpstr(again, ==, got);
    }
}

/* str(PurePosixPath(given) / "deny.list") */
static void test_join(void)
{
    static const struct {
        const char *given, *expected;
    } cases[] = {
        {"", "deny.list"},        {".", "deny.list"},       {"a/", "a/deny.list"},
        {"/", "/deny.list"},      {"//", "//deny.list"},    {"///", "/deny.list"},
        {"..", "../deny.list"},   {"//a", "//a/deny.list"}, {"a/..", "a/../deny.list"},
        {"./..", "../deny.list"}, {"/..", "/../deny.list"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = shield_deny_path(cases[i].given);

        g_assert_cmpstr(got, ==, cases[i].expected);
    }
}

/* The stage goes into the name before it is taken as a path. */
static void test_stages(void)
{
    static const struct {
        const char *stage, *expected;
    } cases[] = {
        {"createRuntime", "/s/hooks/terok-shield-createRuntime.json"},
        {"", "/s/hooks/terok-shield-.json"},
        {".", "/s/hooks/terok-shield-..json"},
        {"a b", "/s/hooks/terok-shield-a b.json"},
        {"a/b", "/s/hooks/terok-shield-a/b.json"},
        {"a//./b", "/s/hooks/terok-shield-a/b.json"},
        {"/etc", "/s/hooks/terok-shield-/etc.json"},
        {"a/../b", "/s/hooks/terok-shield-a/../b.json"},
        {"a/", "/s/hooks/terok-shield-a/.json"},
        {"%s", "/s/hooks/terok-shield-%s.json"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = shield_hook_json_path("/s/", cases[i].stage);

        g_assert_cmpstr(got, ==, cases[i].expected);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/layout/rows", test_rows);
    g_test_add_func("/layout/functions", test_functions);
    g_test_add_func("/layout/find-nothing", test_find_nothing);
    g_test_add_func("/layout/normalise", test_normalise);
    g_test_add_func("/layout/join", test_join);
    g_test_add_func("/layout/stages", test_stages);
    return g_test_run();
}
