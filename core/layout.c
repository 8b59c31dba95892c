/* SPDX-License-Identifier: Apache-2.0 */
/* layout: the table of a bundle's files; see layout.h. */
#include "layout.h"

#include <string.h>

#include "paths.h"

static const struct {
    const char *what; /* the contract's function, without "_path" */
    const char *name;
    ShieldTextKind kind; /* of a list */
} layout[SHIELD_N_FILES] = {
    [SHIELD_HOOKS_DIR] = {"hooks_dir", "hooks"},
    [SHIELD_HOOK_ENTRYPOINT] = {"hook_entrypoint", "terok-shield-hook"},
    [SHIELD_HOOK_JSON] = {"hook_json", NULL},
    [SHIELD_RULESET] = {"ruleset", "ruleset.nft"},
    [SHIELD_GATEWAY] = {"gateway", "gateway"},
    [SHIELD_GATEWAY_V6] = {"gateway_v6", "gateway_v6"},
    [SHIELD_UPSTREAM_DNS] = {"upstream_dns", "upstream.dns"},
    [SHIELD_DNS_TIER] = {"dns_tier", "dns.tier"},
    [SHIELD_PROFILE_ALLOWED] = {"profile_allowed", "profile.allowed"},
    [SHIELD_PROFILE_DOMAINS] = {"profile_domains", "profile.domains", SHIELD_TEXT_DOMAINS},
    [SHIELD_LIVE_ALLOWED] = {"live_allowed", "live.allowed"},
    [SHIELD_LIVE_DOMAINS] = {"live_domains", "live.domains", SHIELD_TEXT_DOMAINS},
    [SHIELD_DENY] = {"deny", "deny.list"},
    [SHIELD_DENIED_DOMAINS] = {"denied_domains", "denied.domains", SHIELD_TEXT_DOMAINS},
    [SHIELD_DNSMASQ_CONF] = {"dnsmasq_conf", "dnsmasq.conf"},
    [SHIELD_DNSMASQ_PID] = {"dnsmasq_pid", "dnsmasq.pid"},
    [SHIELD_DNSMASQ_LOG] = {"dnsmasq_log", "dnsmasq.log"},
    [SHIELD_RESOLV_CONF] = {"resolv_conf", "resolv.conf"},
    [SHIELD_INTERACTIVE] = {"interactive", "interactive"},
    [SHIELD_CONTAINER_ID] = {"container_id", "container.id"},
    [SHIELD_AUDIT] = {"audit", "audit.jsonl"},
};

const char *shield_layout_name(ShieldFile file)
{
    return layout[file].name;
}

ShieldTextKind shield_layout_kind(ShieldFile file)
{
    return layout[file].kind;
}

gboolean shield_layout_find(const char *what, ShieldFile *file)
{
    for (int i = 0; i < SHIELD_N_FILES; i++) {
        if (strcmp(layout[i].what, what) == 0) {
            *file = (ShieldFile)i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean shield_layout_find_name(const char *name, ShieldFile *file)
{
    for (int i = 0; i < SHIELD_N_FILES; i++) {
        if (layout[i].name && strcmp(layout[i].name, name) == 0) {
            *file = (ShieldFile)i;
            return TRUE;
        }
    }
    return FALSE;
}

char *shield_layout_path(const char *state_dir, ShieldFile file, const char *stage)
{
    g_autofree char *root = shield_path_normalise(state_dir);
    g_autofree char *below =
        file == SHIELD_HOOK_JSON
            ? g_strdup_printf("%s/terok-shield-%s.json", layout[SHIELD_HOOKS_DIR].name, stage ? stage : "")
            : g_strdup(layout[file].name);
    /* "//" and "/" end in the separator already; one more would change what the leading slashes mean. */
    g_autofree char *joined = g_strconcat(root, g_str_has_suffix(root, "/") ? "" : "/", below, NULL);

    return shield_path_normalise(joined);
}
