/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libshieldstate: the layout contract of terok-shield's state bundles, version 4, for C programs: where each
 * file of a bundle is, and what its lists mean together. Each function equals the contract's function of the
 * same name without "shield_", to the byte.
 *
 * A bundle is the directory state_dir. Every file in it is optional. It may be rewritten at any moment: a
 * reader never returns a list from the middle of a rewrite, it waits for the writer, one second at most.
 *
 * The library keeps no state and may be used from any number of threads. It takes read leases for the moment
 * of a reading, and has the kernel announce waiting writers by SIGURG, which is ignored unless the program
 * handles it.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The version of this library. All that stands here without a "since" has been there since 0.1. */
#define SHIELDSTATE_MAJOR_VERSION 0
#define SHIELDSTATE_MINOR_VERSION 1
#define SHIELDSTATE_MICRO_VERSION 0

/* For #if: is this header of that version, or a later one? */
#define SHIELDSTATE_CHECK_VERSION(major, minor, micro)                                                       \
    (SHIELDSTATE_MAJOR_VERSION > (major) ||                                                                  \
     (SHIELDSTATE_MAJOR_VERSION == (major) && SHIELDSTATE_MINOR_VERSION > (minor)) ||                        \
     (SHIELDSTATE_MAJOR_VERSION == (major) && SHIELDSTATE_MINOR_VERSION == (minor) &&                        \
      SHIELDSTATE_MICRO_VERSION >= (micro)))

/* BUNDLE_VERSION: the layout that this library speaks. */
#define SHIELD_BUNDLE_VERSION 4

/* Errors: the code is an errno, the message is "FILE: what is wrong", with every untrusted byte escaped. */
#define SHIELD_ERROR (shield_error_quark())
GQuark shield_error_quark(void);

/* A slice of a text. It holds no reference: the text must outlive it. NULs are ordinary bytes. */
typedef struct {
    const char *data;
    gsize len; /* bytes */
} ShieldSlice;

/* Entries in their order. A list is immutable and counted, so threads share it without a lock; the slices
 * that it gives live as long as it does. */
typedef struct ShieldList ShieldList;

gsize shield_list_length(const ShieldList *list);
ShieldSlice shield_list_get(const ShieldList *list, gsize i);

/* One entry a line, each with its newline; 0 bytes for an empty list. The caller owns the result. NULL: there
 * is no memory for it. */
GBytes *shield_list_render(const ShieldList *list);

ShieldList *shield_list_ref(ShieldList *list);
void shield_list_unref(ShieldList *list);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShieldList, shield_list_unref)

/* The path functions. They touch no file. state_dir is normalised as the contract's pathlib does: "a//b/./c/"
 * becomes "a/b/c"; ".." stays. The caller frees the result with g_free. */

/* hooks/: the OCI hooks directory. */
char *shield_hooks_dir(const char *state_dir);

/* terok-shield-hook: the hook's entry point, a script. */
char *shield_hook_entrypoint(const char *state_dir);

/* hooks/terok-shield-STAGE.json: the hook of an OCI stage, such as "createRuntime" or "poststop". */
char *shield_hook_json_path(const char *state_dir, const char *stage);

/* ruleset.nft: the ruleset generated for the container's next start. */
char *shield_ruleset_path(const char *state_dir);

/* gateway: the IPv4 gateway that the hook discovered. */
char *shield_gateway_path(const char *state_dir);

/* gateway_v6: the IPv6 gateway that the hook discovered. */
char *shield_gateway_v6_path(const char *state_dir);

/* upstream.dns: the upstream resolver's address. */
char *shield_upstream_dns_path(const char *state_dir);

/* dns.tier: how names are resolved: dnsmasq, dig or getent. */
char *shield_dns_tier_path(const char *state_dir);

/* profile.allowed: the addresses that the profile allows. */
char *shield_profile_allowed_path(const char *state_dir);

/* profile.domains: the domains that the profile allows. */
char *shield_profile_domains_path(const char *state_dir);

/* live.allowed: the addresses allowed while the container runs. */
char *shield_live_allowed_path(const char *state_dir);

/* live.domains: the domains allowed while the container runs. */
char *shield_live_domains_path(const char *state_dir);

/* deny.list: the addresses denied persistently. */
char *shield_deny_path(const char *state_dir);

/* denied.domains: the domains denied persistently. */
char *shield_denied_domains_path(const char *state_dir);

/* dnsmasq.conf: the generated configuration of dnsmasq. */
char *shield_dnsmasq_conf_path(const char *state_dir);

/* dnsmasq.pid: the process of dnsmasq, in the container's network namespace. */
char *shield_dnsmasq_pid_path(const char *state_dir);

/* dnsmasq.log: the queries that dnsmasq answered. */
char *shield_dnsmasq_log_path(const char *state_dir);

/* resolv.conf: what the container has mounted over /etc/resolv.conf. */
char *shield_resolv_conf_path(const char *state_dir);

/* interactive: names the interactive tier, if there is one. */
char *shield_interactive_path(const char *state_dir);

/* container.id: the container's short ID. */
char *shield_container_id_path(const char *state_dir);

/* audit.jsonl: what was done to the shield, one JSON object a line. */
char *shield_audit_path(const char *state_dir);

/* The readers. Each returns NULL with error set if a file is there but can't be used. The code of the
 * SHIELD_ERROR is one of
 *
 * - EILSEQ: not strict UTF-8; the message tells the line and the byte
 * - ELOOP: a symbolic link stands in the file's place
 * - EFBIG: longer than 16 MiB
 * - EBUSY: somebody was writing it for a whole second
 * - EACCES, EIO and others, as the system reported them.
 *
 * A missing file, and a directory, FIFO, socket or device in its place, is an empty list. */

/* The stripped text of "interactive". NULL without error: there is no interactive tier. It may hold NULs. */
GBytes *shield_read_interactive_tier(const char *state_dir, GError **error);

/* profile.allowed, then live.allowed, each entry once. */
ShieldList *shield_read_allowed_ips(const char *state_dir, GError **error);

/* deny.list, each entry once, in the order of the file (the contract's set has none). */
ShieldList *shield_read_denied_ips(const char *state_dir, GError **error);

/* The allowed ones that are not denied, by exact comparison. */
ShieldList *shield_read_effective_ips(const char *state_dir, GError **error);

/* profile.domains, then live.domains, less denied.domains: lower-cased, each once. Not in the contract's
 * module: the writer's own rule. */
ShieldList *shield_read_effective_domains(const char *state_dir, GError **error);

/* Makes state_dir, with the directories above it, and its hooks directory, if they are not there. */
gboolean shield_ensure_state_dirs(const char *state_dir, GError **error);

G_END_DECLS
