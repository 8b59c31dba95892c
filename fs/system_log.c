/* SPDX-License-Identifier: Apache-2.0 */
/* system_log: datagrams; see system_log.h. */
#include "system_log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "open.h"

/* Nothing is kept connected, so that a daemon that was started again is found. */
static const struct sockaddr_un journal = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
static const struct sockaddr_un syslogd = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

/* So much of a field, in bytes: all together are well below what a datagram may have. */
#define MAX_VALUE (32 * 1024)

int sfs_system_log_open(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

gboolean sfs_system_log_is_there(int fd)
{
    return fd >= 0 && (access(journal.sun_path, F_OK) == 0 || access(syslogd.sun_path, F_OK) == 0);
}

gsize sfs_system_log_fit(const char *text, gsize max)
{
    gsize len = strlen(text);

    if (len <= max)
        return len;
    for (len = max; len > 0 && ((guchar)text[len] & 0xc0) == 0x80; len--)
        ; /* no character is cut */
    return len;
}

static SfsLogResult send_to(int fd, const struct sockaddr_un *address, const void *bytes, gsize len)
{
    if (sendto(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)address,
               sizeof *address) >= 0)
        return SFS_LOG_TAKEN;
    switch (errno) {
    case EAGAIN:
    case EINTR:
    case EMSGSIZE:
    case ENOBUFS:
    case ENOMEM:
        return SFS_LOG_LOST;
    default:
        return SFS_LOG_NOBODY;
    }
}

static void add_field(GString *out, const char *key, const char *value)
{
    gsize len = sfs_system_log_fit(value, MAX_VALUE);
    guint64 length = GUINT64_TO_LE((guint64)len);

    g_string_append(out, key);
    g_string_append_c(out, '\n');
    g_string_append_len(out, (const char *)&length, sizeof length);
    g_string_append_len(out, value, (gssize)len);
    g_string_append_c(out, '\n');
}

static void add_number(GString *out, const char *key, int number)
{
    g_autofree char *text = g_strdup_printf("%d", number);

    add_field(out, key, text);
}

SfsLogResult sfs_system_log_journal(int fd, pid_t pid, const SfsLogLine *line)
{
    g_autoptr(GString) out = g_string_new(NULL);

    add_field(out, "MESSAGE", line->text);
    add_number(out, "PRIORITY", line->priority);
    add_field(out, "SYSLOG_IDENTIFIER", "shieldfs");
    add_number(out, "SYSLOG_FACILITY", LOG_FAC(LOG_DAEMON));
    add_number(out, "SYSLOG_PID", pid);
    if (line->place)
        add_field(out, SFS_LOG_FIELD "MOUNTPOINT", line->place);
    for (gsize i = 0; i < line->n_fields; i++) {
        const GLogField *field = &line->fields[i];

        if (g_str_has_prefix(field->key, SFS_LOG_FIELD) && *(const char *)field->value)
            add_field(out, field->key, field->value);
    }
    return send_to(fd, &journal, out->str, out->len);
}

/* A few syslog daemons listen for streams; they take a NUL as the end of a line. */
static SfsLogResult send_stream(const char *line, gsize len)
{
    g_auto(ShieldFd) fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&syslogd, sizeof syslogd) < 0)
        return fd >= 0 && errno != EAGAIN ? SFS_LOG_NOBODY : SFS_LOG_LOST;
    return send(fd, line, len + 1, MSG_NOSIGNAL) == (ssize_t)len + 1 ? SFS_LOG_TAKEN : SFS_LOG_LOST;
}

/* Not syslog(3), which waits for a daemon that is stuck. */
SfsLogResult sfs_system_log_syslog(int fd, pid_t pid, const SfsLogLine *line)
{
    time_t now = time(NULL);
    struct tm tm;
    char when[sizeof "Nov 25 12:00:00"] = "";

    if (localtime_r(&now, &tm))
        (void)strftime(when, sizeof when, "%b %e %T", &tm);

    g_autofree char *text =
        g_strdup_printf("<%d>%s shieldfs[%d]: %s%.*s", LOG_DAEMON | line->priority, when, pid, line->sign,
                        (int)sfs_system_log_fit(line->text, MAX_VALUE), line->text);
    SfsLogResult result = send_to(fd, &syslogd, text, strlen(text));

    return result == SFS_LOG_NOBODY && errno == EPROTOTYPE ? send_stream(text, strlen(text)) : result;
}
