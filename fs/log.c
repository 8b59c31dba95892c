/* SPDX-License-Identifier: Apache-2.0 */
/* log: GLib's log writer for this program; see log.h. */
#include "log.h"

#include <stdio.h>
#include <syslog.h>

/* What stands between "shieldfs: " and the text. */
static const char *prefix(GLogLevelFlags level)
{
    switch ((int)(level & G_LOG_LEVEL_MASK)) {
    case G_LOG_LEVEL_ERROR:
    case G_LOG_LEVEL_CRITICAL:
        return "CRITICAL: ";
    case G_LOG_LEVEL_WARNING:
        return "WARNING: ";
    case G_LOG_LEVEL_DEBUG:
        return "debug: ";
    default:
        return "";
    }
}

static int priority(GLogLevelFlags level)
{
    switch ((int)(level & G_LOG_LEVEL_MASK)) {
    case G_LOG_LEVEL_ERROR:
    case G_LOG_LEVEL_CRITICAL:
        return LOG_CRIT;
    case G_LOG_LEVEL_WARNING:
        return LOG_WARNING;
    case G_LOG_LEVEL_DEBUG:
        return LOG_DEBUG;
    default:
        return LOG_NOTICE;
    }
}

static const char *message_of(const GLogField *fields, gsize n_fields)
{
    for (gsize i = 0; i < n_fields; i++) {
        if (g_strcmp0(fields[i].key, "MESSAGE") == 0)
            return fields[i].value;
    }
    return "";
}

/* g_log_set_writer_func may be called once only, so it is told by its data where to write. */
static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields, void *data)
{
    const gboolean *to_syslog = data;
    const char *text = message_of(fields, n_fields);

    if (*to_syslog)
        syslog(priority(level), "%s%s", prefix(level), text);
    else /* one call a line, so that lines of several threads don't mix */
        fprintf(stderr, "shieldfs: %s%s\n", prefix(level), text);
    return G_LOG_WRITER_HANDLED;
}

static gboolean *target(void)
{
    static gboolean to_syslog;

    return &to_syslog;
}

void sfs_log_libfuse(enum fuse_log_level level, const char *format, va_list args)
{
    g_autofree char *text = g_strdup_vprintf(format, args);

    if (level < FUSE_LOG_DEBUG)
        g_message("%s", g_strchomp(text));
}

void sfs_log_start(void)
{
    setvbuf(stderr, NULL, _IOLBF, 0);
    g_log_set_writer_func(write_log, target(), NULL);
}

void sfs_log_to_syslog(void)
{
    openlog("shieldfs", LOG_PID, LOG_DAEMON);
    *target() = TRUE;
}
