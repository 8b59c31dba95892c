/* SPDX-License-Identifier: Apache-2.0 */
/* log: GLib's log writer for this program; see log.h. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "lock.h"
#include "system_log.h"

/* Where lines go, and how that is done without waiting. */
typedef enum {
    TO_FILE,   /* standard error is a file, or a device that always takes what it is given */
    TO_SOCKET, /* it is a socket: send can be told not to wait */
    TO_OWN,    /* it is a pipe or a terminal; ours is another description of the same that doesn't wait */
    TO_SHARED, /* the same where we may not have our own: the one that others have must not be changed */
    TO_NOBODY, /* it is closed */
} Target;

typedef struct {
    Target target;
    int fd;
    int system;          /* what system_log sends by, which is tried first; -1: standard error it is */
    gboolean background; /* syslog is tried, too */
    pid_t pid;           /* for these: whose lines these are */
    const char *place;   /* NULL: not known yet */
    int least;           /* atomic; the least severe level that is shown, but for debug */
    int lost;            /* atomic; lines that were not taken since the last that was */
    int dropped;         /* atomic; all that were not taken */
    int torn;            /* atomic; the last line was taken in part only */
    GMutex lock;         /* of TO_SHARED: a look whether there is room, and the writing */
    GRWLock where; /* protects the first six: there are threads by the time when it turns to the system's */
} Log;

/* THE table of levels, the most severe first: what stands between "shieldfs: " and the text, and what syslog
 * and the journal call it. */
static const struct {
    const char *sign;
    GLogLevelFlags levels;
    int priority;
} severities[] = {
    {"CRITICAL: ", G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL, LOG_CRIT},
    {"error: ", G_LOG_LEVEL_WARNING, LOG_ERR},
    {"", G_LOG_LEVEL_MESSAGE, LOG_WARNING},
    {"", G_LOG_LEVEL_INFO, LOG_INFO},
    {"debug: ", G_LOG_LEVEL_DEBUG, LOG_DEBUG},
};

static gsize severity(GLogLevelFlags level)
{
    gsize i = 0;

    while (i < G_N_ELEMENTS(severities) - 1 && !(severities[i].levels & level))
        i++;
    return i;
}

static const char *sign(GLogLevelFlags level)
{
    return severities[severity(level)].sign;
}

static int priority(GLogLevelFlags level)
{
    return severities[severity(level)].priority;
}

/* -o loglevel= left it out. */
static gboolean is_left_out(const Log *log, GLogLevelFlags level)
{
    if (level & G_LOG_LEVEL_DEBUG)
        return !g_log_get_debug_enabled();
    return severity(level) > severity((GLogLevelFlags)g_atomic_int_get(&log->least));
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
    case TO_NOBODY:
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
        len = sfs_system_log_fit(line, PIPE_BUF - 1);
        line[len++] = '\n';
    }

    ssize_t wrote = write_some(log, line, len);
    if (wrote > 0)
        g_atomic_int_set(&log->torn, (gsize)wrote < len);
    return wrote == (ssize_t)len;
}

/* To who takes the lines of the system's log, in the background or under the journal; TRUE: that was taken,
 * or lost. */
static gboolean put_to_system(Log *log, const SfsLogLine *line, gboolean *taken)
{
    SfsLogResult result = sfs_system_log_journal(log->system, log->pid, line);

    if (result == SFS_LOG_NOBODY && log->background)
        result = sfs_system_log_syslog(log->system, log->pid, line);
    *taken = result == SFS_LOG_TAKEN;
    return result != SFS_LOG_NOBODY;
}

static gboolean put(Log *log, const SfsLogLine *line)
{
    gboolean taken;

    if (log->system >= 0 && put_to_system(log, line, &taken))
        return taken;
    if (log->target == TO_NOBODY)
        return FALSE;

    g_autofree char *whole = g_strconcat(line->sign, line->text, NULL);
    return write_line(log, whole);
}

/* How many were lost stands before the first that is taken again. */
static gboolean put_lost(Log *log, int lost)
{
    g_autofree char *told = g_strdup_printf("%d lines were lost: the log did not take them", lost);

    return put(log, &(SfsLogLine){LOG_WARNING, "", told, NULL, 0, log->place});
}

/* One call a line, so that lines of several threads and processes don't mix. */
static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields, void *data)
{
    Log *log = data;
    SfsLogLine line = {.priority = priority(level),
                       .sign = sign(level),
                       .text = message_of(fields, n_fields),
                       .fields = fields,
                       .n_fields = n_fields};

    if (is_left_out(log, level))
        return G_LOG_WRITER_HANDLED;

    g_autoptr(GRWLockReaderLocker) locker G_GNUC_UNUSED = g_rw_lock_reader_locker_new(&log->where);
    int lost = g_atomic_int_exchange(&log->lost, 0);

    line.place = log->place;
    if (lost && !put_lost(log, lost))
        g_atomic_int_add(&log->lost, lost + 1);
    else if (!put(log, &line))
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

    *log = (Log){.target = TO_FILE, .fd = STDERR_FILENO, .system = -1, .least = G_LOG_LEVEL_INFO};
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

/* Is standard error what systemd has connected with the journal? Then that can have fields. */
static gboolean is_journals(void)
{
    const char *said = g_getenv("JOURNAL_STREAM");
    struct stat st;

    if (!said || fstat(STDERR_FILENO, &st) < 0)
        return FALSE;
    g_autofree char *stream = g_strdup_printf("%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(said, stream) == 0;
}

void sfs_log_libfuse(enum fuse_log_level level, const char *format, va_list args)
{
    g_autofree char *text = g_strdup_vprintf(format, args);

    if (level < FUSE_LOG_DEBUG)
        g_message("%s", g_strchomp(text));
}

void sfs_log_start(void)
{
    Log *log = the_log();

    find_target(log);
    if (is_journals()) {
        log->system = sfs_system_log_open();
        log->pid = getpid();
    }
    g_log_set_writer_func(write_log, log, NULL);
}

void sfs_log_set_place(const char *mountpoint)
{
    the_log()->place = mountpoint;
}

void sfs_log_set_least(GLogLevelFlags level)
{
    g_atomic_int_set(&the_log()->least, (int)level);
}

/* Nobody can wait for the end of a file, as for a pipe's or a terminal's. It is kept where nobody else takes
 * lines. */
static gboolean keep_file(Log *log)
{
    struct stat st;

    if (log->target != TO_FILE || fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode) ||
        sfs_system_log_is_there(log->system))
        return FALSE;
    log->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return log->fd >= 0;
}

void sfs_log_to_system(pid_t pid)
{
    Log *log = the_log();
    g_autoptr(GRWLockWriterLocker) locker G_GNUC_UNUSED = g_rw_lock_writer_locker_new(&log->where);

    if (log->target == TO_OWN)
        close(log->fd);
    if (log->system < 0)
        log->system = sfs_system_log_open();
    log->background = TRUE;
    log->pid = pid;
    if (!keep_file(log))
        log->target = TO_NOBODY;
}
