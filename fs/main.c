/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: the order in which shieldfs starts, and in which it ends: options, checks, background, session,
 * mount, signals, loop, and back. It must not know what the view shows.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "error.h"
#include "launch.h"
#include "log.h"
#include "mountpoint.h"
#include "ops.h"
#include "options.h"
#include "view.h"

/* How often the loop is woken until it notices that the session is to end. */
#define WAKE_USEC 10000

/* What the signal thread works on. */
typedef struct {
    struct fuse_session *session;
    SfsView *view;
    pthread_t loop_thread;
    int loop_ended; /* atomic */
} Signals;

static void wake_up(int signum)
{
    (void)signum; /* its only effect is that a system call of the loop returns */
}

/* TERM, INT and HUP are blocked everywhere and taken here, so that nothing is done in a signal handler.
 * fuse_session_exit does not wake the loop of libfuse 3.14, so its thread is sent a signal, and again until
 * it has come back: the first may arrive just before it starts to wait. */
static void *take_signals(void *data)
{
    Signals *signals = data;
    sigset_t set;
    int signum;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR2);
    while (sigwait(&set, &signum) == 0 && !g_atomic_int_get(&signals->loop_ended)) {
        if (signum == SIGHUP)
            sfs_view_forget(signals->view);
        if (signum != SIGTERM && signum != SIGINT)
            continue;
        fuse_session_exit(signals->session);
        while (!g_atomic_int_get(&signals->loop_ended)) {
            pthread_kill(signals->loop_thread, SIGUSR1);
            g_usleep(WAKE_USEC);
        }
    }
    return NULL;
}

/* Before there are threads: they inherit the mask. */
static void prepare_signals(void)
{
    struct sigaction wake = {.sa_handler = wake_up}; /* without SA_RESTART */
    sigset_t set;

    sigaction(SIGUSR1, &wake, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Each open raw file is a descriptor of ours. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        g_message("the limit of open files stays at its default: %s", g_strerror(errno));
}

static int run_loop(struct fuse_session *session, const SfsOptions *options)
{
    if (options->single_threaded)
        return fuse_session_loop(session);

    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int result = fuse_session_loop_mt(session, config);

    fuse_loop_cfg_destroy(config);
    return result;
}

/* Serves until a signal or an unmount; TRUE if the loop ended as it should. */
static gboolean serve(struct fuse_session *session, SfsView *view)
{
    Signals signals = {.session = session, .view = view, .loop_thread = pthread_self()};
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, take_signals, &signals);

    if (failed) {
        g_message("no thread for the signals: %s", g_strerror(failed));
        return FALSE;
    }

    int result = run_loop(session, view->options);
    g_atomic_int_set(&signals.loop_ended, TRUE);
    pthread_kill(thread, SIGUSR2);
    pthread_join(thread, NULL);
    if (result != 0)
        g_message("the connection to the kernel failed: %s", g_strerror(ABS(result)));
    return result == 0;
}

/* libfuse's own words: what it has to say is an error line of ours. */
static void log_libfuse(enum fuse_log_level level, const char *format, va_list args) G_GNUC_PRINTF(2, 0);
static void log_libfuse(enum fuse_log_level level, const char *format, va_list args)
{
    g_autofree char *text = g_strdup_vprintf(format, args);

    if (level < FUSE_LOG_DEBUG)
        g_message("%s", g_strchomp(text));
}

static gboolean mount_and_serve(SfsView *view, const char *mountpoint, int ready)
{
    g_auto(GStrv) words = sfs_options_mount_args(view->options);
    char *argv[] = {(char *)"shieldfs", words[0], words[1], NULL};
    struct fuse_args args = FUSE_ARGS_INIT(G_N_ELEMENTS(argv) - 1, argv);
    struct fuse_session *session = fuse_session_new(&args, &sfs_ops, sizeof sfs_ops, view);
    gboolean served = FALSE;

    fuse_opt_free_args(&args);
    if (!session)
        return FALSE;
    if (fuse_session_mount(session, mountpoint) == 0) {
        if (ready >= 0)
            sfs_launch_ready(ready);
        served = serve(session, view);
        fuse_session_unmount(session);
        if (view->options->debug)
            g_debug("end: %u inodes still looked up", sfs_tree_count_looked_up(view->tree));
    } else {
        g_autofree char *escaped = shield_error_subject(NULL, mountpoint);

        g_message("%s: could not be mounted", escaped);
    }
    fuse_session_destroy(session);
    return served;
}

static gboolean start(const SfsOptions *options, GError **error)
{
    g_autofree char *mountpoint = NULL;
    int ready = -1;

    if (!sfs_mountpoint_check_system(options, error))
        return FALSE;
    mountpoint = sfs_mountpoint_prepare(options, error);
    if (!mountpoint || !sfs_mountpoint_check_sources(options, mountpoint, error))
        return FALSE;
    if (!options->foreground) {
        ready = sfs_launch(mountpoint, error);
        if (ready < 0)
            return FALSE;
    }
    prepare_signals();
    raise_descriptor_limit();

    SfsView *view = sfs_view_new(options, mountpoint);
    gboolean served = mount_and_serve(view, mountpoint, ready);
    sfs_view_free(view);
    return served;
}

int main(int argc, char **argv)
{
    SfsOptions options;
    g_autoptr(GError) error = NULL;
    int status = EXIT_FAILURE;

    sfs_log_start();
    fuse_set_log_func(log_libfuse);
    switch (sfs_options_parse(&options, argc, argv)) {
    case SFS_OPTIONS_DONE:
        status = EXIT_SUCCESS;
        break;
    case SFS_OPTIONS_RUN:
        if (start(&options, &error))
            status = EXIT_SUCCESS;
        else if (error)
            g_message("%s", error->message);
        break;
    case SFS_OPTIONS_WRONG:
    default:
        break;
    }
    sfs_options_clear(&options);
    return status;
}
