/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout: the one table of a bundle's files: what the contract calls them and where they lie. It must not
 * touch a file.
 */
#pragma once

#include <glib.h>

typedef enum {
    /* The lists first: of each a bundle keeps what was read. */
    SHIELD_PROFILE_ALLOWED,
    SHIELD_PROFILE_DOMAINS,
    SHIELD_LIVE_ALLOWED,
    SHIELD_LIVE_DOMAINS,
    SHIELD_DENY,
    SHIELD_DENIED_DOMAINS,
    SHIELD_N_LISTS,
    SHIELD_HOOKS_DIR = SHIELD_N_LISTS,
    SHIELD_HOOK_ENTRYPOINT,
    SHIELD_HOOK_JSON, /* the only one that takes a stage */
    SHIELD_RULESET,
    SHIELD_GATEWAY,
    SHIELD_GATEWAY_V6,
    SHIELD_UPSTREAM_DNS,
    SHIELD_DNS_TIER,
    SHIELD_DNSMASQ_CONF,
    SHIELD_DNSMASQ_PID,
    SHIELD_DNSMASQ_LOG,
    SHIELD_RESOLV_CONF,
    SHIELD_INTERACTIVE,
    SHIELD_CONTAINER_ID,
    SHIELD_AUDIT,
    SHIELD_N_FILES
} ShieldFile;

typedef enum {
    SHIELD_TEXT_ENTRIES, /* one entry a line */
    SHIELD_TEXT_DOMAINS, /* entries that are domain names, folded */
} ShieldTextKind;

/* The file's name relative to its bundle. Not for SHIELD_HOOK_JSON, whose name depends on the stage. */
const char *shield_layout_name(ShieldFile file);

/* How the file is to be parsed, if it is a list. */
ShieldTextKind shield_layout_kind(ShieldFile file);

/* Finds the row that the contract's function "WHAT_path" (or WHAT) stands for. */
gboolean shield_layout_find(const char *what, ShieldFile *file);

/* Finds the row of the file that is called name in a bundle. */
gboolean shield_layout_find_name(const char *name, ShieldFile *file);

/* The path that the contract gives for file in state_dir, normalised as its pathlib does: "a//b/./c/" becomes
 * "a/b/c", ".." stays, "//a" stays, "///a" becomes "/a". stage is used for SHIELD_HOOK_JSON only. The caller
 * frees it. */
char *shield_layout_path(const char *state_dir, ShieldFile file, const char *stage);
