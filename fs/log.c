/* SPDX-License-Identifier: Apache-2.0 */
/* log: GLib's log writer for this program; see log.h. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lock.h"
#include "open.h"

/* Where lines go, and how that is done without waiting. */
typedef enum {
    TO_FILE,   /* standard error is a file, or a device that always takes what it is given */
    TO_SOCKET, /* it is a socket: send can be told not to wait */
    TO_OWN,    /* it is a pipe or a terminal; ours is another description of the same that doesn't wait */
    TO_SHARED, /* the same where we may not have our own: the one that others have must not be changed */
    TO_SYSLOG,
} Target;

typedef struct {
    Target target;
    int fd;
    pid_t pid;     /* for syslog: whose lines these are */
    int lost;      /* atomic; lines that were not taken since the last that was */
    int dropped;   /* atomic; all that were not taken */
    int torn;      /* atomic; the last line was taken in part only */
    GMutex lock;   /* of TO_SHARED: a look whether there is room, and the writing */
    GRWLock where; /* protects target, fd and pid: there are threads by the time when it turns to syslog */
} Log;

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

/* Kernels before 6.5 can't be told not to wait for a pipe, none for a FIFO or a terminal. Then a look shows
 * whether there is room for as much as PIPE_BUF, unless another process is quicker. */
static ssize_t write_shared(Log *log, struct iovec line)
{
    SHIELD_AUTO_LOCK(&log->lock);
    ssize_t wrote = pwritev2(log->fd, &line, 1, -1, RWF_NOWAIT);
    struct pollfd ready = {.fd = log->fd, .events = POLLOUT};

    if (wrote >= 0 || errno != EOPNOTSUPP)
        return wrote;
    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) ? write(log->fd, line.iov_base, line.iov_len)
                                                                : -1;
}

static ssize_t write_some(Log *log, char *line, gsize len)
{
    switch (log->target) {
    case TO_SOCKET:
        return send(log->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case TO_SHARED:
        return write_shared(log, (struct iovec){line, len});
    case TO_FILE:
    case TO_OWN:
    case TO_SYSLOG:
    default:
        return write(log->fd, line, len);
    }
}

/* FALSE if it was not taken as a whole. What has taken a part of it (never a pipe, of a line of usual length)
 * gets the next line on a line of its own. */
static gboolean write_line(Log *log, const char *text)
{
    const char *begin = g_atomic_int_get(&log->torn) ? "\n" : "";
    g_autofree char *line = g_strdup_printf("%sshieldfs: %s\n", begin, text);
    gsize len = strlen(line);

    if (log->target == TO_SHARED && len > PIPE_BUF) {
        for (len = PIPE_BUF - 1; len > 0 && ((guchar)line[len] & 0xc0) == 0x80; len--)
            ; /* no character is cut */
        line[len++] = '\n';
    }

    ssize_t wrote = write_some(log, line, len);
    if (wrote > 0)
        g_atomic_int_set(&log->torn, (gsize)wrote < len);
    return wrote == (ssize_t)len;
}

/* A few syslog daemons listen for streams; they take a NUL as the end of a line. */
static gboolean send_stream(const struct sockaddr_un *address, const char *line)
{
    g_auto(ShieldFd) fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
           send(fd, line, strlen(line) + 1, MSG_NOSIGNAL) == (ssize_t)strlen(line) + 1;
}

/* Not syslog(3), which waits for a daemon that is stuck. Nothing is kept connected, so that one that was
 * started again is found. */
static gboolean send_line(const Log *log, int level, const char *text)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    time_t now = time(NULL);
    struct tm tm;
    char when[sizeof "Nov 25 12:00:00"] = "";

    if (localtime_r(&now, &tm))
        (void)strftime(when, sizeof when, "%b %e %T", &tm);

    g_autofree char *line =
        g_strdup_printf("<%d>%s shieldfs[%d]: %s", LOG_DAEMON | level, when, log->pid, text);
    if (sendto(log->fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&address,
               sizeof address) >= 0)
        return TRUE;
    return errno == EPROTOTYPE && send_stream(&address, line);
}

static gboolean put(Log *log, GLogLevelFlags level, const char *text)
{
    g_autofree char *whole = g_strconcat(prefix(level), text, NULL);

    return log->target == TO_SYSLOG ? send_line(log, priority(level), whole) : write_line(log, whole);
}

/* One call a line, so that lines of several threads and processes don't mix. */
static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields, void *data)
{
    Log *log = data;

    if ((level & G_LOG_LEVEL_DEBUG) && !g_log_get_debug_enabled())
        return G_LOG_WRITER_HANDLED;

    g_autoptr(GRWLockReaderLocker) locker G_GNUC_UNUSED = g_rw_lock_reader_locker_new(&log->where);
    int lost = g_atomic_int_exchange(&log->lost, 0);
    g_autofree char *told = g_strdup_printf("%d lines were lost: the log did not take them", lost);

    if (lost && !put(log, G_LOG_LEVEL_MESSAGE, told))
        g_atomic_int_add(&log->lost, lost + 1);
    else if (!put(log, level, message_of(fields, n_fields)))
        g_atomic_int_inc(&log->lost);
    else
        return G_LOG_WRITER_HANDLED;
    g_atomic_int_inc(&log->dropped);
    return G_LOG_WRITER_HANDLED;
}

/* g_log_set_writer_func may be called once only, so it is told by its data where to write. */
static Log *the_log(void)
{
    static Log log;

    return &log;
}

guint sfs_log_dropped(void)
{
    return (guint)g_atomic_int_get(&the_log()->dropped);
}

/* A description of our own, for O_NONBLOCK on the one that was inherited would hold for all who have it. */
static void find_target(Log *log)
{
    struct stat st;

    *log = (Log){.target = TO_FILE, .fd = STDERR_FILENO};
    if (fstat(STDERR_FILENO, &st) < 0)
        return;
    if (S_ISSOCK(st.st_mode)) {
        log->target = TO_SOCKET;
    } else if (S_ISFIFO(st.st_mode) || isatty(STDERR_FILENO)) {
        int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        log->target = own < 0 ? TO_SHARED : TO_OWN;
        log->fd = own < 0 ? STDERR_FILENO : own;
    }
}

void sfs_log_libfuse(enum fuse_log_level level, const char *format, va_list args)
{
    g_autofree char *text = g_strdup_vprintf(format, args);

    if (level < FUSE_LOG_DEBUG)
        g_message("%s", g_strchomp(text));
}

void sfs_log_start(void)
{
    find_target(the_log());
    g_log_set_writer_func(write_log, the_log(), NULL);
}

void sfs_log_to_syslog(pid_t pid)
{
    Log *log = the_log();
    g_autoptr(GRWLockWriterLocker) locker G_GNUC_UNUSED = g_rw_lock_writer_locker_new(&log->where);

    if (log->target == TO_OWN)
        close(log->fd);
    log->target = TO_SYSLOG;
    log->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    log->pid = pid;
}
