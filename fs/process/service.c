/* SPDX-License-Identifier: Apache-2.0 */
/* service: states, and the socket of the service manager; see service.h. */
#include "process/service.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "error.h"
#include "open.h"

#define SOCKET "NOTIFY_SOCKET"
/* Between two summaries, and before another try when the manager is behind with reading. */
#define PAUSE_USEC (250 * 1000)

struct SfsService {
    char *socket;         /* NULL: nobody is to be told */
    char *state, *status; /* lines to tell; NULL: there is none */
    gboolean summary;     /* status is what the status file says */
    gint64 rest;          /* no summary before that */
    gint64 again;         /* nothing before that: the manager's queue is full */
};

SfsService *sfs_service_new(gboolean foreground)
{
    SfsService *service = g_new0(SfsService, 1);

#ifdef SFS_SERVICE
    service->socket = foreground ? g_strdup(g_getenv(SOCKET)) : NULL;
#else
    (void)foreground;
#endif
    g_unsetenv(SOCKET);
    return service;
}

void sfs_service_free(SfsService *service)
{
    g_free(service->socket);
    g_free(service->state);
    g_free(service->status);
    g_free(service);
}

gboolean sfs_service_is_told(const SfsService *service)
{
    return service->socket != NULL;
}

/* An absolute path, or '@' and a name that is in no filesystem. 0 with errno. */
static socklen_t address_of(const char *socket, struct sockaddr_un *address)
{
    gsize len = strlen(socket);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((*socket != '/' && *socket != '@') || len < 2) {
        errno = EAFNOSUPPORT;
        return 0;
    }
    if (len >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return 0;
    }
    memcpy(address->sun_path, socket, len);
    if (*socket == '/')
        len++;
    else
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* Not libsystemd's sd_notify: that waits while the manager's queue is full, and a manager that hangs must not
 * hold up who is to replace announcers and to unmount. */
static gboolean send_text(const char *to, const char *text)
{
    g_auto(ShieldFd) fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    socklen_t len = address_of(to, &address);

    if (fd < 0 || len == 0)
        return FALSE;
    return sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, len) >= 0;
}

static void give_up(SfsService *service, int errnum)
{
    g_autofree char *escaped = shield_error_subject(NULL, service->socket);

    g_message("%s: the service manager can't be told how the service is: %s", escaped, g_strerror(errnum));
    g_clear_pointer(&service->socket, g_free);
    g_clear_pointer(&service->state, g_free);
    g_clear_pointer(&service->status, g_free);
}

/* Is the status not to be told yet? */
static gboolean rests(const SfsService *service, gint64 now)
{
    return service->summary && now < service->rest;
}

gint64 sfs_service_due(const SfsService *service)
{
    gint64 due = 0;

    if (service->state || (service->status && !service->summary))
        due = 1;
    else if (service->status)
        due = MAX(service->rest, 1);
    return due ? MAX(due, service->again) : 0;
}

gboolean sfs_service_tell(SfsService *service)
{
    gint64 now = g_get_monotonic_time();
    gboolean status = service->status && !rests(service, now);

    if (now < service->again || (!service->state && !status))
        return FALSE;

    g_autofree char *text =
        g_strconcat(service->state ? service->state : "", status ? service->status : "", NULL);
    if (!send_text(service->socket, text)) {
        int failed = errno;

        if (failed == EAGAIN || failed == ENOBUFS)
            service->again = now + PAUSE_USEC;
        else
            give_up(service, failed);
        return FALSE;
    }
    g_clear_pointer(&service->state, g_free);
    if (!status)
        return FALSE;
    g_clear_pointer(&service->status, g_free);
    service->rest = now + PAUSE_USEC;
    return service->summary;
}

static void set_state(SfsService *service, char *state)
{
    g_free(service->state);
    service->state = state;
}

static void set_status(SfsService *service, const char *status, gboolean summary)
{
    g_free(service->status);
    service->status = g_strdup_printf("STATUS=%s\n", status);
    service->summary = summary;
}

void sfs_service_ready(SfsService *service)
{
    if (service->socket)
        set_state(service, g_strdup("READY=1\n"));
}

void sfs_service_reloading(SfsService *service)
{
    if (service->socket)
        set_state(service, g_strdup_printf("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT "\n",
                                           g_get_monotonic_time()));
}

void sfs_service_stopping(SfsService *service)
{
    if (service->socket)
        set_state(service, g_strdup("STOPPING=1\n"));
}

void sfs_service_failed(SfsService *service, const char *why)
{
    if (service->socket)
        set_status(service, why, FALSE);
}

static void add_count(GString *text, guint count, const char *one, const char *more)
{
    g_string_append_printf(text, ", %u %s", count, count == 1 ? one : more);
}

void sfs_service_summary(SfsService *service, const SfsSummary *summary)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (!service->socket)
        return;
    if (!summary->complete)
        g_string_append(text, "incomplete");
    else
        g_string_append(text, summary->waiting ? "waiting for a source" : "complete");
    add_count(text, summary->containers, "container", "containers");
    add_count(text, summary->problems, "problem", "problems");
    if (summary->degraded > 0)
        add_count(text, summary->degraded, "thing degraded", "things degraded");
    set_status(service, text->str, TRUE);
}
