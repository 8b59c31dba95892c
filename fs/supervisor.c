/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor: keeps the server, and the mount point free; see supervisor.h. */
#include "supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"
#include "message.h"
#include "mounts.h"
#include "open.h"
#include "server.h"

/* How long the server may take to end before it is killed: longer than any answer it may still owe somebody.
 */
#define END_MSEC 3000

typedef struct {
    const SfsOptions *options;
    const char *mountpoint;
    int ready;   /* the launcher's pipe; -1: nobody waits */
    int signals; /* a signalfd */
    int control; /* to the server */
    pid_t server;
    int mount_before;  /* the id of what was mounted there before us; -1: nothing */
    int mount_id;      /* of our mount; -1: not seen yet */
    gboolean ending;   /* TERM or INT came */
    gint64 kill_after; /* monotonic time; 0: never */
} Supervisor;

static int mount_id_at(const char *path)
{
    g_autoptr(SfsMount) mount = sfs_mounts_at(path);

    return mount ? mount->id : -1;
}

/* Takes our mount away if it is there and on top. One that somebody has put over it is not ours to take. */
static void unmount(Supervisor *s)
{
    g_autoptr(SfsMount) top = sfs_mounts_at(s->mountpoint);
    g_autofree char *path = shield_text_escape(s->mountpoint, -1);

    if (!top || top->id == s->mount_before)
        return;
    if (!top->ours || (s->mount_id >= 0 && top->id != s->mount_id))
        g_message("%s: something else is mounted over the view: unmount both", path);
    else if (!sfs_mounts_detach(s->mountpoint))
        g_message("%s: could not be unmounted: %s", path, g_strerror(errno));
}

static void G_GNUC_NORETURN become_server(Supervisor *s, int control, pid_t supervisor)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(EXIT_FAILURE); /* it died before the line above */
    shield_fd_close(s->signals);
    shield_fd_close(s->control);
    shield_fd_close(s->ready);
    /* A terminal and a control group send these to all: only the supervisor acts on them. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    exit(sfs_serve(s->options, s->mountpoint, control) ? EXIT_SUCCESS : EXIT_FAILURE);
}

static gboolean start_server(Supervisor *s)
{
    pid_t self = getpid();
    int ends[2];

    if (!sfs_message_pair(ends)) {
        g_message("socketpair: %s", g_strerror(errno));
        return FALSE;
    }
    s->control = ends[0];
    s->server = fork();
    if (s->server == 0)
        become_server(s, ends[1], self);
    close(ends[1]);
    if (s->server < 0)
        g_message("fork: %s", g_strerror(errno));
    return s->server > 0;
}

static void take_message(Supervisor *s)
{
    SfsMessage message;

    if (!sfs_message_receive(s->control, &message)) {
        shield_fd_close(s->control); /* the server is ending: SIGCHLD follows */
        s->control = -1;
        return;
    }
    if (message != SFS_MOUNTED)
        return;
    s->mount_id = mount_id_at(s->mountpoint);
    if (s->ready >= 0) {
        sfs_launch_ready(s->ready);
        s->ready = -1;
        sfs_launch_detach();
    }
}

/* The mount goes first, so that nobody finds it without a server; who has a file open meanwhile can read on
 * until the server is gone. */
static void begin_end(Supervisor *s)
{
    if (s->ending)
        return;
    s->ending = TRUE;
    s->kill_after = g_get_monotonic_time() + END_MSEC * 1000;
    unmount(s);
    if (s->control >= 0)
        sfs_message_send(s->control, SFS_END);
}

/* TRUE when the server has ended; *status is what waitpid says. */
static gboolean take_signal(Supervisor *s, int *status)
{
    struct signalfd_siginfo info;

    if (read(s->signals, &info, sizeof info) != sizeof info)
        return FALSE;
    switch (info.ssi_signo) {
    case SIGTERM:
    case SIGINT:
        begin_end(s);
        return FALSE;
    case SIGHUP:
        if (s->control >= 0)
            sfs_message_send(s->control, SFS_REFRESH);
        return FALSE;
    default:
        return waitpid(s->server, status, WNOHANG) == s->server;
    }
}

static int wait_msec(const Supervisor *s)
{
    if (!s->kill_after)
        return -1;
    return (int)MAX((s->kill_after - g_get_monotonic_time()) / 1000, 0) + 1;
}

static int run(Supervisor *s)
{
    int status = 0;

    for (;;) {
        struct pollfd fds[] = {{.fd = s->signals, .events = POLLIN}, {.fd = s->control, .events = POLLIN}};

        if (poll(fds, G_N_ELEMENTS(fds), wait_msec(s)) < 0 && errno != EINTR)
            g_message("poll: %s", g_strerror(errno));
        if (fds[1].revents)
            take_message(s);
        if (fds[0].revents && take_signal(s, &status))
            return status;
        if (s->kill_after && g_get_monotonic_time() >= s->kill_after) {
            g_message("the server does not end: it is killed");
            kill(s->server, SIGKILL);
            s->kill_after = 0;
        }
    }
}

static gboolean ended_well(const Supervisor *s, int status)
{
    if (WIFSIGNALED(status) && !s->ending)
        g_message("the server was killed by signal %d (%s)", WTERMSIG(status), g_strsignal(WTERMSIG(status)));
    return s->ending || (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

gboolean sfs_supervise(const SfsOptions *options, const char *mountpoint, int ready)
{
    Supervisor s = {.options = options,
                    .mountpoint = mountpoint,
                    .ready = ready,
                    .signals = open_signals(),
                    .control = -1,
                    .mount_before = mount_id_at(mountpoint),
                    .mount_id = -1};
    gboolean well = FALSE;

    if (s.signals < 0)
        g_message("signalfd: %s", g_strerror(errno));
    else if (start_server(&s))
        well = ended_well(&s, run(&s));
    unmount(&s);
    shield_fd_close(s.signals);
    shield_fd_close(s.control);
    shield_fd_close(s.ready); /* still open if nothing was mounted: tells the launcher so */
    return well;
}
