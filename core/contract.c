/* SPDX-License-Identifier: Apache-2.0 */
/* contract: the public functions of shieldstate.h, made from the layout table and from bundle's snapshots. */
#include "shieldstate.h"

#include <errno.h>
#include <fcntl.h>

#include "bundle.h"
#include "contract.h"
#include "error.h"
#include "layout.h"
#include "lists.h"
#include "open.h"
#include "paths.h"
#include "text.h"

#define PATH_FUNCTION(function, file)                                                                        \
    char *function(const char *state_dir)                                                                    \
    {                                                                                                        \
        return shield_layout_path(state_dir, file, NULL);                                                    \
    }

PATH_FUNCTION(shield_hooks_dir, SHIELD_HOOKS_DIR)
PATH_FUNCTION(shield_hook_entrypoint, SHIELD_HOOK_ENTRYPOINT)
PATH_FUNCTION(shield_ruleset_path, SHIELD_RULESET)
PATH_FUNCTION(shield_gateway_path, SHIELD_GATEWAY)
PATH_FUNCTION(shield_gateway_v6_path, SHIELD_GATEWAY_V6)
PATH_FUNCTION(shield_upstream_dns_path, SHIELD_UPSTREAM_DNS)
PATH_FUNCTION(shield_dns_tier_path, SHIELD_DNS_TIER)
PATH_FUNCTION(shield_profile_allowed_path, SHIELD_PROFILE_ALLOWED)
PATH_FUNCTION(shield_profile_domains_path, SHIELD_PROFILE_DOMAINS)
PATH_FUNCTION(shield_live_allowed_path, SHIELD_LIVE_ALLOWED)
PATH_FUNCTION(shield_live_domains_path, SHIELD_LIVE_DOMAINS)
PATH_FUNCTION(shield_deny_path, SHIELD_DENY)
PATH_FUNCTION(shield_denied_domains_path, SHIELD_DENIED_DOMAINS)
PATH_FUNCTION(shield_dnsmasq_conf_path, SHIELD_DNSMASQ_CONF)
PATH_FUNCTION(shield_dnsmasq_pid_path, SHIELD_DNSMASQ_PID)
PATH_FUNCTION(shield_dnsmasq_log_path, SHIELD_DNSMASQ_LOG)
PATH_FUNCTION(shield_resolv_conf_path, SHIELD_RESOLV_CONF)
PATH_FUNCTION(shield_interactive_path, SHIELD_INTERACTIVE)
PATH_FUNCTION(shield_container_id_path, SHIELD_CONTAINER_ID)
PATH_FUNCTION(shield_audit_path, SHIELD_AUDIT)

char *shield_hook_json_path(const char *state_dir, const char *stage)
{
    return shield_layout_path(state_dir, SHIELD_HOOK_JSON, stage);
}

static const ShieldPolicy policy = {SHIELD_DEFAULT_MAX_SIZE, SHIELD_DEFAULT_SETTLE_MS};

/* -1 without an error: there is no such directory, so every file in it is missing. */
static int open_state_dir(const char *state_dir, GError **error)
{
    g_autofree char *path = shield_path_normalise(state_dir);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        shield_error_set_errno(error, errno, path, NULL);
    return fd;
}

ShieldSnapshot *shield_read_snapshot(const char *state_dir, const ShieldComputed *row, GError **error)
{
    g_autoptr(GError) failed = NULL;
    g_auto(ShieldFd) dirfd = open_state_dir(state_dir, &failed);

    if (failed) {
        g_propagate_error(error, g_steal_pointer(&failed));
        return NULL;
    }

    g_autofree char *path = shield_path_normalise(state_dir);
    g_autoptr(ShieldBundle) bundle = shield_bundle_new(path, &policy);
    g_autoptr(ShieldSnapshot) snapshot = shield_bundle_open(bundle, dirfd, row);
    if (snapshot->error) {
        g_propagate_error(error, g_error_copy(snapshot->error));
        return NULL;
    }
    return g_steal_pointer(&snapshot);
}

static ShieldList *read_list(const char *state_dir, const char *name, GError **error)
{
    g_autoptr(ShieldSnapshot) snapshot = shield_read_snapshot(state_dir, shield_computed_find(name), error);

    ShieldList *list = snapshot ? shield_list_parse(snapshot->text) : NULL;

    if (snapshot && !list)
        shield_error_set_errno(error, ENOMEM, state_dir, name);
    return list;
}

ShieldList *shield_read_allowed_ips(const char *state_dir, GError **error)
{
    return read_list(state_dir, "allowed", error);
}

ShieldList *shield_read_denied_ips(const char *state_dir, GError **error)
{
    return read_list(state_dir, "denied", error);
}

ShieldList *shield_read_effective_ips(const char *state_dir, GError **error)
{
    return read_list(state_dir, "effective", error);
}

ShieldList *shield_read_effective_domains(const char *state_dir, GError **error)
{
    return read_list(state_dir, "effective.domains", error);
}

GBytes *shield_read_interactive_tier(const char *state_dir, GError **error)
{
    g_autofree char *path = shield_path_normalise(state_dir);
    g_autoptr(GError) failed = NULL;
    g_auto(ShieldFd) dirfd = open_state_dir(state_dir, &failed);

    if (failed) {
        g_propagate_error(error, g_steal_pointer(&failed));
        return NULL;
    }

    g_autoptr(ShieldReading) reading = shield_reading_settle(
        dirfd, path, shield_layout_name(SHIELD_INTERACTIVE), SHIELD_TEXT_ENTRIES, &policy);
    if (reading->error) {
        g_propagate_error(error, g_error_copy(reading->error));
        return NULL;
    }

    gsize len;
    const char *bytes = g_bytes_get_data(reading->text, &len);
    g_autoptr(GString) text = shield_text_universal_newlines((ShieldSlice){bytes, len});
    ShieldSlice value = shield_text_strip((ShieldSlice){text->str, text->len});
    return value.len > 0 ? g_bytes_new(value.data, value.len) : NULL;
}

gboolean shield_ensure_state_dirs(const char *state_dir, GError **error)
{
    g_autofree char *root = shield_path_normalise(state_dir);
    g_autofree char *hooks = shield_hooks_dir(state_dir);

    if (g_mkdir_with_parents(root, 0777) < 0) {
        shield_error_set_errno(error, errno, root, NULL);
        return FALSE;
    }
    if (g_mkdir_with_parents(hooks, 0777) < 0) {
        shield_error_set_errno(error, errno, hooks, NULL);
        return FALSE;
    }
    return TRUE;
}
