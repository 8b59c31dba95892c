/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor: keeps the server and the announcer, and the mount point free; see supervisor.h. */
#include "process/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "events/announcer.h"
#include "log.h"
#include "open.h"
#include "process/confine.h"
#include "process/control.h"
#include "process/daemonize.h"
#include "process/filter.h"
#include "process/mounts.h"
#include "process/ours.h"
#include "process/server.h"
#include "process/signals.h"
#include "text.h"

/* How long the server may take to end before it is killed: longer than any answer it may still owe somebody.
 */
#define END_USEC (3 * G_USEC_PER_SEC)
/* How long to wait before a dead announcer is replaced: longer each time, short again once one has lived. */
#define BACKOFF_MIN_USEC (10 * 1000)
#define BACKOFF_MAX_USEC (5 * G_USEC_PER_SEC)

typedef struct {
    const SfsOptions *options;
    const char *mountpoint;
    const char *place; /* the mount point, as the log shows it */
    int lock;          /* the mount point's, until the mount is there; -1: not had */
    int ready;         /* the launcher's pipe; -1: nobody waits */
    int signals;       /* a signalfd */
    int control;       /* to the server; -1: it has closed it */
    int refused[2];    /* a pipe: what the children are refused */
    SfsService *service;
    pid_t server;
    pid_t probe;             /* who finds out whether the mount answers; 0: nobody does */
    gboolean answers;        /* it has answered */
    gboolean silent;         /* it could not be asked: that is no good end */
    pid_t announcer;         /* 0: none */
    gboolean announcer_dead; /* and the server has been told; it is reaped when it has answered */
    gint64 announcer_start;  /* monotonic times; 0: never */
    gint64 announce_at;
    gint64 backoff;
    gint64 kill_at;
    SfsOurs ours;
    gboolean refreshing, refresh_again; /* HUP: the server is told once at a time, so that this never waits */
    gboolean ending;                    /* TERM or INT came */
} Supervisor;

/* What every child does first: it ends with us, and leaves the signals to us. */
static void become_child(Supervisor *s, pid_t supervisor)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(EXIT_FAILURE); /* the supervisor died before the line above */
    shield_fd_close(s->signals);
    shield_fd_close(s->control);
    shield_fd_close(s->lock);
    shield_fd_close(s->ready);
    shield_fd_close(s->refused[0]);
    sfs_signals_leave();
}

/* Whoever asks may have to wait for long, so a process of its own does. */
static void start_probe(Supervisor *s)
{
    pid_t self = getpid();

    if (!sfs_service_is_told(s->service))
        return;
    s->probe = fork();
    if (s->probe == 0) {
        become_child(s, self);
        shield_fd_close(s->refused[1]);
        _exit(sfs_daemonize_answers(s->mountpoint) ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    if (s->probe < 0) {
        g_warning("%s: fork: %s", s->place, g_strerror(errno));
        s->probe = 0;
    }
}

static void ask_for_summary(const Supervisor *s)
{
    if (s->control >= 0)
        sfs_control_send(s->control, (SfsControlMessage){SFS_CONTROL_TELL, 0, 0}, -1);
}

static gboolean start_server(Supervisor *s)
{
    pid_t self = getpid();
    int ends[2];

    if (!sfs_control_pair(ends)) {
        g_warning("%s: socketpair: %s", s->place, g_strerror(errno));
        return FALSE;
    }
    s->control = ends[0];
    s->server = fork();
    if (s->server == 0) {
        become_child(s, self);
        exit(sfs_serve(s->options, s->mountpoint, ends[1], s->refused[1]) ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    close(ends[1]);
    if (s->server < 0)
        g_warning("%s: fork: %s", s->place, g_strerror(errno));
    return s->server > 0;
}

static void G_GNUC_NORETURN announce(const Supervisor *s, int socket)
{
    SfsConfinement confinement = {.allow_other = s->options->allow_other,
                                  .mount = sfs_announcer_prepare(s->mountpoint, s->ours.dev),
                                  .refused = s->refused[1]};
    guint32 confined = sfs_confine(SFS_ANNOUNCER, &confinement);

    shield_fd_close(confinement.mount);
    sfs_announcer_run(s->mountpoint, s->ours.dev, socket, confined);
    _exit(
        EXIT_SUCCESS); /* what exit does besides, a tool's look for leaks, takes files that it may not read */
}

/* A new announcer, and its end of the socket to the server. */
static void start_announcer(Supervisor *s)
{
    pid_t self = getpid();
    int ends[2];

    s->announce_at = 0;
    if (!sfs_control_pair(ends)) {
        g_warning("%s: socketpair: %s", s->place, g_strerror(errno));
        return;
    }
    s->announcer = fork();
    if (s->announcer == 0) {
        become_child(s, self);
        close(ends[0]);
        announce(s, ends[1]);
    }
    close(ends[1]);
    s->announcer_start = g_get_monotonic_time();
    if (s->announcer < 0) {
        g_message("%s: no process for an announcer: %s: it is tried again", s->place, g_strerror(errno));
        s->announcer = 0;
        s->announce_at = s->announcer_start + BACKOFF_MAX_USEC;
    } else {
        sfs_control_send(s->control, (SfsControlMessage){SFS_CONTROL_ANNOUNCER, s->announcer, 0}, ends[0]);
    }
    close(ends[0]);
}

/* Once it is reaped, its pid may be given to any process. So the server must have forgotten it before. */
static void reap_announcer(Supervisor *s)
{
    gint64 now = g_get_monotonic_time();

    waitpid(s->announcer, NULL, 0);
    s->announcer = 0;
    s->announcer_dead = FALSE;
    s->backoff = now - s->announcer_start > BACKOFF_MAX_USEC
                     ? BACKOFF_MIN_USEC
                     : CLAMP(s->backoff * 2, BACKOFF_MIN_USEC, BACKOFF_MAX_USEC);
    if (!s->ending)
        s->announce_at = now + s->backoff;
}

/* Announcing stops first. Then the mount goes, so that nobody finds it without a server; who has a file open
 * meanwhile can read on until the server is gone. */
static void begin_end(Supervisor *s)
{
    if (s->ending)
        return;
    s->ending = TRUE;
    s->announce_at = 0;
    sfs_service_stopping(s->service);
    (void)sfs_service_tell(s->service);
    s->kill_at = g_get_monotonic_time() + END_USEC;
    if (s->announcer > 0)
        kill(s->announcer, SIGKILL);
    if (s->control < 0)
        return; /* its loop has ended: our mount may be gone, and another's be there with the same numbers */
    sfs_ours_unmount(&s->ours, FALSE);
    sfs_control_send(s->control, (SfsControlMessage){SFS_CONTROL_END, 0, 0}, -1);
}

/* Into the background. A launcher that was killed meanwhile has told nobody that there is a mount, so there
 * is to be none. */
static gboolean leave_launcher(Supervisor *s)
{
    gboolean waiting = sfs_daemonize_ready(s->ready);

    s->ready = -1;
    sfs_daemonize_detach(getpid(), sfs_daemonize_open());
    if (waiting) {
        g_info("%s: mounted", s->place);
    } else {
        g_message("%s: unmounted again: who started it was killed", s->place);
        begin_end(s);
    }
    return waiting;
}

static void take_mounted(Supervisor *s)
{
    sfs_ours_note(&s->ours);
    sfs_log_set_least(s->options->log_level);
    sfs_mounts_unlock(&s->lock);
    if (s->ending) {
        sfs_ours_unmount(&s->ours, FALSE);
        return;
    }
    if (s->ready >= 0 && !leave_launcher(s))
        return;
    start_announcer(s);
    start_probe(s);
}

/* What the probe found. Nobody asks again: whoever started us takes this for a start that failed. */
static void take_answer(Supervisor *s, int status)
{
    s->probe = 0;
    s->answers = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    if (s->ending)
        return;
    if (s->answers) {
        sfs_service_ready(s->service);
        ask_for_summary(s);
    } else {
        s->silent = TRUE;
        begin_end(s);
    }
}

static void refresh(Supervisor *s)
{
    if (s->answers && !s->ending)
        sfs_service_reloading(s->service);
    s->refresh_again = s->refreshing;
    if (!s->refreshing && s->control >= 0)
        s->refreshing = sfs_control_send(s->control, (SfsControlMessage){SFS_CONTROL_REFRESH, 0, 0}, -1);
}

static void take_refreshed(Supervisor *s)
{
    s->refreshing = FALSE;
    if (s->refresh_again)
        refresh(s);
    else if (s->answers && !s->ending)
        sfs_service_ready(s->service);
}

/* It ends like one that has died, and so is replaced. */
static void kill_announcer(const Supervisor *s, pid_t pid)
{
    if (pid != s->announcer || s->announcer_dead)
        return; /* another has taken its place */
    g_message("%s: the announcer does not answer: it is killed", s->place);
    kill(pid, SIGKILL);
}

static void take_message(Supervisor *s)
{
    SfsControlMessage message;
    int fd;

    if (!sfs_control_receive(s->control, &message, &fd)) {
        shield_fd_close(s->control); /* the server is ending: SIGCHLD follows */
        s->control = -1;
        s->announce_at = 0;
        return;
    }
    shield_fd_close(fd); /* the server has none to send */
    if (message.word == SFS_CONTROL_FORGOTTEN && s->announcer_dead)
        reap_announcer(s);
    if (message.word == SFS_CONTROL_REFRESHED)
        take_refreshed(s);
    if (message.word == SFS_CONTROL_OVERDUE)
        kill_announcer(s, message.pid);
    if (message.word == SFS_CONTROL_SUMMARY && !s->ending)
        sfs_service_summary(s->service, &message.summary);
    if (message.word == SFS_CONTROL_MOUNTED && s->announcer_start == 0) /* once: there is one announcer */
        take_mounted(s);
}

/* The announcer ends when its server does, and when we kill it. Neither is news. */
static void tell_death(const Supervisor *s, const siginfo_t *info)
{
    if (s->ending || (info->si_code == CLD_EXITED && info->si_status == EXIT_SUCCESS))
        return;
    if (info->si_code == CLD_EXITED)
        g_message("%s: the announcer ended with status %d: there will be another", s->place, info->si_status);
    else
        g_message("%s: the announcer was killed by signal %d (%s): there will be another", s->place,
                  info->si_status, g_strsignal(info->si_status));
}

static void take_refused(const Supervisor *s)
{
    SfsRefused refused;

    if (read(s->refused[0], &refused, sizeof refused) != sizeof refused)
        return;
    g_autofree char *call = sfs_filter_call_name(refused.call);
    g_message("%s: the %s was refused the system call %s", s->place,
              refused.process == SFS_SERVER ? "server" : "announcer", call);
}

/* One signal may stand for several children. TRUE when the server has ended. */
static gboolean take_deaths(Supervisor *s, int *status)
{
    siginfo_t info = {0};

    if (s->announcer > 0 && !s->announcer_dead &&
        waitid(P_PID, (id_t)s->announcer, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == s->announcer) {
        s->announcer_dead = TRUE;
        tell_death(s, &info);
        if (s->control >= 0)
            sfs_control_send(s->control, (SfsControlMessage){SFS_CONTROL_FORGET, 0, 0}, -1);
    }
    if (s->probe > 0 && waitpid(s->probe, status, WNOHANG) == s->probe)
        take_answer(s, *status);
    return waitpid(s->server, status, WNOHANG) == s->server;
}

static gboolean take_signal(Supervisor *s, int *status)
{
    int signum = sfs_signals_next(s->signals);

    switch (signum) {
    case 0:
        return FALSE;
    case SIGCHLD:
        return take_deaths(s, status);
    case SIGHUP:
        refresh(s);
        return FALSE;
    default:
        if (signum != SIGTERM && signum != SIGINT && !s->ending)
            g_message("%s: ended by signal %d (%s)", s->place, signum, g_strsignal(signum));
        begin_end(s);
        return FALSE;
    }
}

static int wait_msec(const Supervisor *s)
{
    const gint64 times[] = {s->kill_at, s->announce_at, sfs_service_due(s->service)};
    gint64 first = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(times); i++) {
        if (times[i] && (!first || times[i] < first))
            first = times[i];
    }
    return first ? (int)(MAX(first - g_get_monotonic_time(), 0) / 1000) + 1 : -1;
}

static void take_time(Supervisor *s)
{
    gint64 now = g_get_monotonic_time();

    if (s->kill_at && now >= s->kill_at) {
        g_message("%s: the server does not end: it is killed", s->place);
        kill(s->server, SIGKILL);
        s->kill_at = 0;
    }
    if (s->announce_at && now >= s->announce_at)
        start_announcer(s);
    if (sfs_service_tell(s->service))
        ask_for_summary(s);
}

static int run(Supervisor *s)
{
    int status = 0;

    for (;;) {
        struct pollfd fds[] = {{.fd = s->signals, .events = POLLIN},
                               {.fd = s->control, .events = POLLIN},
                               {.fd = s->refused[0], .events = POLLIN}};

        if (poll(fds, G_N_ELEMENTS(fds), wait_msec(s)) < 0 && errno != EINTR)
            g_warning("%s: poll: %s", s->place, g_strerror(errno));
        if (fds[2].revents)
            take_refused(s);
        if (fds[1].revents)
            take_message(s);
        if (fds[0].revents && take_signal(s, &status))
            return status;
        take_time(s);
    }
}

static void end_child(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A server that ends by itself and without a fault has lost its connection: its mount was taken away. If that
 * is still there, somebody has ended the connection alone. */
static gboolean was_aborted(const Supervisor *s)
{
    g_autoptr(SfsMount) mount = s->ending ? NULL : sfs_ours_find(&s->ours);

    if (!mount || !sfs_mounts_is_dead(mount->path))
        return FALSE;
    g_message("%s: the connection to the kernel was aborted (by umount -f, or in "
              "/sys/fs/fuse/connections): the view has ended",
              s->place);
    return TRUE;
}

static gboolean ended_well(const Supervisor *s, int status)
{
    gboolean well = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS && !was_aborted(s);

    if (WIFSIGNALED(status) && !s->ending)
        g_warning("%s: the server was killed by signal %d (%s)", s->place, WTERMSIG(status),
                  g_strsignal(WTERMSIG(status)));
    if (!s->ending && s->answers)
        sfs_service_stopping(s->service);
    return !s->silent && (s->ending || well);
}

/* The rest of what only a start takes. The server, which has yet to mount, does it for itself. */
static void confine(const Supervisor *s)
{
    guint32 confined =
        sfs_confine(SFS_SUPERVISOR,
                    &(SfsConfinement){.allow_other = s->options->allow_other, .mount = -1, .refused = -1});

    sfs_control_send(s->control, (SfsControlMessage){.word = SFS_CONTROL_CONFINED, .confined = confined}, -1);
}

gboolean sfs_supervise(const SfsOptions *options, const char *mountpoint, int lock, int ready,
                       SfsService *service)
{
    g_autofree char *place = shield_text_escape(mountpoint, -1);
    Supervisor s = {.options = options,
                    .mountpoint = mountpoint,
                    .lock = lock,
                    .place = place,
                    .ready = ready,
                    .service = service,
                    .signals = sfs_signals_take(),
                    .control = -1,
                    .refused = {-1, -1},
                    .ours = sfs_ours_begin(mountpoint)};
    gboolean well = FALSE;

    prctl(PR_SET_NAME, "shieldfs"); /* whatever it was started as */
    sfs_confine_cores();
    if (pipe2(s.refused, O_CLOEXEC | O_NONBLOCK) < 0)
        g_warning("%s: pipe: %s", s.place, g_strerror(errno));
    if (s.signals < 0) {
        g_warning("%s: signalfd: %s", s.place, g_strerror(errno));
    } else if (start_server(&s)) {
        confine(&s);
        well = ended_well(&s, run(&s));
        if (well && !options->foreground)
            g_info("%s: unmounted", s.place);
    }
    end_child(s.announcer);
    end_child(s.probe);
    sfs_ours_clear(&s.ours);
    sfs_mounts_unlock(&s.lock);
    shield_fd_close(s.refused[0]);
    shield_fd_close(s.refused[1]);
    shield_fd_close(s.signals);
    shield_fd_close(s.control);
    shield_fd_close(s.ready); /* still open if nothing was mounted: tells the launcher so */
    return well;
}
