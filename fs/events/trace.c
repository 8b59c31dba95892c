/* SPDX-License-Identifier: Apache-2.0 */
/* trace: lines for -d; see trace.h. */
#include "events/trace.h"

#include <sys/inotify.h>

#include "error.h"
#include "events/announcer_client.h"
#include "text.h"

void sfs_trace_node(const SfsNode *node, const char *format, ...)
{
    if (!g_log_get_debug_enabled())
        return;

    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *path = sfs_announcer_client_path(node);
    g_autofree char *subject = shield_text_escape(path, -1);
    g_debug("event %s: %s", subject, text);
}

static char *mask_words(guint32 mask)
{
    static const struct {
        guint32 bit;
        const char *word;
    } words[] = {
        {IN_MODIFY, "MODIFY"},         {IN_ATTRIB, "ATTRIB"},           {IN_CLOSE_WRITE, "CLOSE_WRITE"},
        {IN_MOVED_FROM, "MOVED_FROM"}, {IN_MOVED_TO, "MOVED_TO"},       {IN_CREATE, "CREATE"},
        {IN_DELETE, "DELETE"},         {IN_DELETE_SELF, "DELETE_SELF"}, {IN_MOVE_SELF, "MOVE_SELF"},
        {IN_UNMOUNT, "UNMOUNT"},       {IN_IGNORED, "IGNORED"},
    };
    GString *text = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        if (mask & words[i].bit)
            g_string_append_printf(text, "%s%s", text->len ? "," : "", words[i].word);
    }
    return g_string_free(text, FALSE);
}

static void trace_mask(const char *label, const char *name, guint32 mask, const char *what)
{
    g_autofree char *subject = shield_error_subject(label, name);
    g_autofree char *words = mask_words(mask);

    g_debug("event %s: inotify says %s: %s", subject, words, what);
}

void sfs_trace_inotify(const SfsContainer *container, gboolean in_hooks, const char *name, guint32 mask,
                       const char *what)
{
    if (!g_log_get_debug_enabled())
        return;

    g_autofree char *below = g_build_filename(container->place->name, in_hooks ? "hooks" : NULL, NULL);
    trace_mask(below, name, mask, what);
}

void sfs_trace_directory(const char *path, const char *name, guint32 mask, const char *what)
{
    if (g_log_get_debug_enabled())
        trace_mask(path, name, mask, what);
}

const char *sfs_trace_op(SfsAnnouncerOp op)
{
    switch (op) {
    case SFS_ANNOUNCER_MODIFY:
        return "MODIFY and CLOSE_WRITE";
    case SFS_ANNOUNCER_CLOSE:
        return "CLOSE_WRITE";
    case SFS_ANNOUNCER_TIME:
        return "MODIFY alone (somebody has a lease on the file)";
    case SFS_ANNOUNCER_ATTRIB:
        return "ATTRIB";
    case SFS_ANNOUNCER_CREATE:
        return "CREATE";
    case SFS_ANNOUNCER_MKDIR:
        return "CREATE of a directory";
    case SFS_ANNOUNCER_UNLINK:
        return "DELETE";
    case SFS_ANNOUNCER_RMDIR:
        return "DELETE of a directory";
    default:
        return "?";
    }
}
