/* SPDX-License-Identifier: Apache-2.0 */
/* caller: reads /proc/PID/status; see caller.h. */
#include "request/caller.h"

#include <linux/capability.h>
#include <string.h>

#define READS_ALL ((1ULL << CAP_DAC_OVERRIDE) | (1ULL << CAP_DAC_READ_SEARCH))

/* The rest of the line that begins with word; NULL: there is none. */
static const char *line_of(const char *status, const char *word)
{
    const char *at = strstr(status, word);

    return at ? at + strlen(word) : NULL;
}

gboolean sfs_caller_parse(SfsCaller *caller, const char *status)
{
    const char *groups = line_of(status, "\nGroups:"), *capabilities = line_of(status, "\nCapEff:");
    char *end;

    if (!groups || !capabilities)
        return FALSE;
    caller->privileged = caller->uid == 0 && (g_ascii_strtoull(capabilities, NULL, 16) & READS_ALL);
    caller->groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
    for (;; groups = end) {
        while (*groups == ' ' || *groups == '\t')
            groups++;

        gid_t gid = (gid_t)g_ascii_strtoull(groups, &end, 10);
        if (end == groups)
            return TRUE;
        g_array_append_val(caller->groups, gid);
    }
}

/* Does the process's map say the same as ours? */
static gboolean shares(gint64 pid, const char *map)
{
    g_autofree char *path = g_strdup_printf("/proc/%" G_GINT64_FORMAT "/%s", pid, map);
    g_autofree char *own_path = g_strconcat("/proc/self/", map, NULL);
    g_autofree char *its = NULL, *own = NULL;

    return g_file_get_contents(path, &its, NULL, NULL) && g_file_get_contents(own_path, &own, NULL, NULL) &&
           strcmp(its, own) == 0;
}

/* In a user namespace of its own, a process has privileges over those users alone that are mapped there. */
static gboolean has_our_users(gint64 pid)
{
    return shares(pid, "uid_map") && shares(pid, "gid_map");
}

static void ask(SfsCaller *caller)
{
    g_autofree char *path = g_strdup_printf("/proc/%" G_GINT64_FORMAT "/status", caller->pid);
    g_autofree char *status = NULL;

    /* Without an answer he has no privilege, and may be in any group. */
    caller->vague = !g_file_get_contents(path, &status, NULL, NULL) || !sfs_caller_parse(caller, status);
    caller->privileged = caller->privileged && has_our_users(caller->pid);
}

SfsCaller sfs_caller_of(const SfsRequest *r)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(r->req);

    return (SfsCaller){.uid = ctx->uid, .gid = ctx->gid, .ask = ask, .pid = ctx->pid};
}
