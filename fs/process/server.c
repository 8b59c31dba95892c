/* SPDX-License-Identifier: Apache-2.0 */
/* server: session, mount, loop, and back; see server.h. */
#include "process/server.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "fault.h"
#include "log.h"
#include "open.h"
#include "process/confine.h"
#include "process/control.h"
#include "process/daemonize.h"
#include "process/report.h"
#include "request/deferred.h"
#include "request/libfuse.h"
#include "request/ops.h"
#include "request/pollers.h"
#include "request/session.h"
#include "text.h"
#include "view/jobs.h"
#include "view/metrics.h"
#include "view/status.h"

/* Bytes; see prepare_process and spare_address_space. */
#define OWN_MAPPING (128 * 1024)
#define SPARING_STACK (1024 * 1024)
/* How often the loop is woken until it notices that the session is to end. */
#define WAKE_USEC 10000
/* So many descriptors, or half of all if there are few, are kept from open files: for directories, lists that
 * are read, the announcer and what else is to be done meanwhile. */
#define RESERVED_DESCRIPTORS 512
/* So much all listings may have in memory, in bytes. */
#define MAX_LISTINGS (128 * 1024 * 1024)
/* So many files may be polled, each of which any change wakes. */
#define MAX_POLLED 8192
/* What is repeated of what was said about a mount. */
#define MAX_SAID 4096

/* What the control thread works on. */
typedef struct {
    const SfsOptions *options;
    struct fuse_session *fuse;
    SfsSession session;
    const char *place; /* the mount point, as the log shows it */
    SfsReport report;
    int control;
    int refused;                           /* as in confine.h */
    guint32 confined, supervisor_confined; /* likewise: what both have given up */
    pthread_t loop_thread, control_thread;
    int loop_ended; /* atomic */
} Server;

static void wake_up(int signum)
{
    (void)signum; /* its only effect is that a system call of the loop returns */
}

/* Where fuse_session_exit does not wake the loop, the thread in it is sent a signal, and again until it has
 * come back: the first may arrive just before it starts to wait. */
static void end_session(Server *server)
{
    struct sigaction wake = {.sa_handler = wake_up}; /* without SA_RESTART */

    if (sfs_libfuse_exit_wakes()) {
        fuse_session_exit(server->fuse);
        return;
    }
    sigaction(SIGUSR1, &wake, NULL); /* not before: until now it is ignored, whoever sends it */
    fuse_session_exit(server->fuse);
    while (!g_atomic_int_get(&server->loop_ended)) {
        pthread_kill(server->loop_thread, SIGUSR1);
        g_usleep(WAKE_USEC);
    }
}

static void obey(Server *server, SfsControlMessage message, int fd)
{
    switch (message.word) {
    case SFS_CONTROL_ANNOUNCER:
        sfs_announcer_client_connect(server->session.announcer, fd, message.pid);
        sfs_watcher_wake(server->session.watcher);
        break;
    case SFS_CONTROL_FORGET:
        sfs_announcer_client_connect(server->session.announcer, -1, 0);
        sfs_control_send(server->control, (SfsControlMessage){SFS_CONTROL_FORGOTTEN, 0, 0}, -1);
        break;
    case SFS_CONTROL_REFRESH:
        sfs_view_forget(server->session.view);
        sfs_watcher_refresh(server->session.watcher);
        sfs_control_send(server->control, (SfsControlMessage){SFS_CONTROL_REFRESHED, 0, 0}, -1);
        break;
    case SFS_CONTROL_TELL:
        sfs_report_want(&server->report);
        break;
    case SFS_CONTROL_END:
        end_session(server);
        break;
    case SFS_CONTROL_CONFINED:
    case SFS_CONTROL_MOUNTED:
    case SFS_CONTROL_FORGOTTEN:
    case SFS_CONTROL_REFRESHED:
    case SFS_CONTROL_SUMMARY:
    case SFS_CONTROL_OVERDUE:
    default:
        break;
    }
}

static void *obey_supervisor(void *data)
{
    Server *server = data;
    SfsControlMessage message;
    int fd;

    pthread_setname_np(pthread_self(), "control");
    while (sfs_control_receive(server->control, &message, &fd) && !g_atomic_int_get(&server->loop_ended)) {
        obey(server, message, fd);
        if (message.word != SFS_CONTROL_ANNOUNCER)
            shield_fd_close(fd);
    }
    return NULL;
}

static void tell_no_thread(const Server *server, const char *why)
{
    g_message("%s: no thread to serve with: %s: raise ulimit -u, ulimit -v or the cgroup's pids.max",
              server->place, why);
}

/* Tells the supervisor that the view is there, and serves until it says so or the mount goes away; TRUE if
 * the loop ended as it should. */
static gboolean serve(Server *server)
{
    sfs_control_send(server->control, (SfsControlMessage){SFS_CONTROL_MOUNTED, 0, 0}, -1);

    int result = sfs_libfuse_loop(server->fuse, server->options->single_threaded);
    if (result == -EAGAIN)
        tell_no_thread(server, g_strerror(EAGAIN));
    else if (result != 0)
        g_warning("%s: the connection to the kernel failed: %s", server->place, g_strerror(ABS(result)));
    return result == 0;
}

/* The thread comes back, and the supervisor knows. */
static void stop_obeying(Server *server)
{
    g_atomic_int_set(&server->loop_ended, TRUE);
    shutdown(server->control, SHUT_RDWR);
    pthread_join(server->control_thread, NULL);
}

/* Each thread has a stack and an arena of its own, of which it uses little. Where address space is limited,
 * these alone would take more than there mostly is. */
static void spare_address_space(void)
{
    struct rlimit limit;
    pthread_attr_t attributes;

    if (getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    mallopt(M_ARENA_MAX, 1);
    if (pthread_attr_init(&attributes) != 0)
        return;
    if (pthread_attr_setstacksize(&attributes, SPARING_STACK) == 0)
        (void)pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

static void prepare_process(const Server *server)
{
    struct rlimit limit;

    prctl(PR_SET_NAME, "shieldfs-server");
    /* A block from this size on is a mapping of its own, which the system gets back when it is freed. Without
     * this the first one that is freed raises the size, and later texts are holes in a heap. */
    mallopt(M_MMAP_THRESHOLD, OWN_MAPPING);
    spare_address_space();
    /* Each open raw file is a descriptor of ours. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            g_message("%s: the limit of open files stays at its default: %s", server->place,
                      g_strerror(errno));
    }
}

static void tell_overdue(void *data, pid_t pid)
{
    sfs_control_send(((Server *)data)->control, (SfsControlMessage){SFS_CONTROL_OVERDUE, pid, 0}, -1);
}

/* What fusermount3 and libfuse wrote there, as one line. */
static char *read_said(int fd)
{
    g_autofree char *text = g_malloc0(MAX_SAID + 1);
    ssize_t len = pread(fd, text, MAX_SAID, 0);

    g_strchomp(text);
    g_strdelimit(text, "\n", ';');
    return shield_text_escape(len > 0 ? text : "", -1);
}

/* libfuse frees its copy of the mount point's name only when it unmounts, which the server never does: no
 * leak to be told of. */
static gboolean mount_session(struct fuse_session *session, const char *mountpoint)
{
#ifdef __SANITIZE_ADDRESS__
    __lsan_disable();
#endif
    gboolean mounted = fuse_session_mount(session, mountpoint) == 0;
#ifdef __SANITIZE_ADDRESS__
    __lsan_enable();
#endif
    return mounted;
}

/* Both write to standard error, in lines of their session; here one line says what is wrong with which place.
 */
static gboolean mount_view(struct fuse_session *session, const char *mountpoint)
{
    g_autofree char *path = shield_text_escape(mountpoint, -1);
    g_auto(ShieldFd) said = memfd_create("said", MFD_CLOEXEC);
    g_auto(ShieldFd) kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    fuse_set_log_func(NULL);
    dup2(said, STDERR_FILENO);
    gboolean mounted = mount_session(session, mountpoint);
    dup2(kept, STDERR_FILENO);
    fuse_set_log_func(sfs_log_libfuse);

    g_autofree char *text = read_said(said);
    if (!mounted)
        g_message("%s: could not be mounted: %s%s", path, text,
                  strstr(text, g_strerror(EPERM))
                      ? ": it takes CAP_SYS_ADMIN, or a set-uid fusermount3 without "
                        "no_new_privs"
                      : "");
    else if (*text)
        g_message("%s: %s", path, text);
    return mounted;
}

static void confined(void *data, GPtrArray *lines)
{
    const Server *server = data;
    const guint32 told[] = {
        [SFS_SUPERVISOR] = server->supervisor_confined,
        [SFS_SERVER] = server->confined,
        [SFS_ANNOUNCER] = sfs_announcer_client_confined(server->session.announcer),
    };

    for (guint process = 0; process < SFS_N_PROCESSES; process++) {
        if (told[process])
            g_ptr_array_add(lines, sfs_confine_text(process, told[process]));
    }
}

/* The last that is done with all rights is mounting. There is one thread yet. */
static void confine(Server *server)
{
    SfsControlMessage first;
    int fd;

    if (sfs_control_receive(server->control, &first, &fd) && first.word == SFS_CONTROL_CONFINED)
        server->supervisor_confined = first.confined;
    server->confined = sfs_confine(SFS_SERVER, &(SfsConfinement){.allow_other = server->options->allow_other,
                                                                 .refused = server->refused});
    sfs_status_set_confined(server->session.status, confined, server);
    sfs_status_set_summary_func(server->session.status, sfs_report_note, &server->report);
}

/* The last is the one that obeys: from then on nothing can go wrong before the loop. */
static gboolean start_threads(Server *server)
{
    SfsSession *session = &server->session;
    g_autoptr(GError) error = NULL;
    int failed = 0;

    if (sfs_deferred_start(session->deferred, &error) &&
        sfs_jobs_start(sfs_view_jobs(session->view), &error) && sfs_watcher_start(session->watcher, &error))
        failed = pthread_create(&server->control_thread, NULL, obey_supervisor, server);
    if (error || failed)
        tell_no_thread(server, error ? error->message : g_strerror(failed));
    return !error && !failed;
}

static gboolean mount_and_serve(Server *server, const char *mountpoint)
{
    gboolean served = FALSE;
    int null;

    if (!mount_view(server->fuse, mountpoint))
        return FALSE;
    sfs_log_set_least(server->options->log_level);
    shield_fault_stop(SHIELD_FAULT_STOP_MOUNTED);
    null = server->options->foreground ? -1 : sfs_daemonize_open();
    confine(server);
    sfs_outbox_set_overdue(server->session.outbox, tell_overdue, server);
    if (start_threads(server)) {
        if (!server->options->foreground)
            sfs_daemonize_detach(getppid(), null);
        served = serve(server);
        stop_obeying(server);
    }
    sfs_watcher_stop(server->session.watcher);
    sfs_jobs_stop(sfs_view_jobs(server->session.view));
    /* the last that the watch could tell of a writer */
    g_clear_pointer(&server->session.deferred, sfs_deferred_free);
    g_debug("end: %u inodes still looked up", sfs_tree_count_looked_up(sfs_view_tree(server->session.view)));
    return served;
}

static const char *announcer_state(void *data)
{
    return sfs_outbox_state(((SfsSession *)data)->outbox);
}

static void degraded(void *data, GPtrArray *lines)
{
    SfsSession *session = data;

    sfs_watcher_degraded(session->watcher, lines);
    (void)sfs_outbox_degraded(session->outbox, lines);
}

static void tell_metrics(void *data, SfsOpenMetrics *out)
{
    SfsSession *session = data;

    sfs_counts_tell(&session->counts, out);
    sfs_deferred_tell(session->deferred, out);
    sfs_watcher_tell(session->watcher, out);
    sfs_openmetrics_single(out, SFS_COUNTER, "shieldfs_log_lines_dropped", NULL,
                           "Lines that the log did not take from the server.", sfs_log_dropped());
}

static gboolean vouch(void *data, const SfsContainer *container)
{
    return sfs_watcher_vouch(data, container);
}

static void wake_pollers(void *data)
{
    sfs_pollers_wake(data);
}

static gsize max_raw_files(void)
{
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur - MIN(limit.rlim_cur / 2, RESERVED_DESCRIPTORS);
}

/* Here all is put together. */
static gboolean session_start(SfsSession *session, const SfsOptions *options, const char *mountpoint)
{
    ShieldPolicy policy = options->policy;

    policy.rights = options->allow_other;
    session->budget = policy.budget = shield_budget_new(options->cache);
    session->view = sfs_view_new(&(SfsViewOptions){.sources = (const char *const *)options->sources,
                                                   .policy = policy,
                                                   .allow_other = options->allow_other},
                                 mountpoint);
    session->status = sfs_status_new(session->view, getppid()); /* its death is ours */
    sfs_view_set_status(session->view, session->status);
    session->metrics = sfs_metrics_new(session->view, session->budget);
    sfs_view_set_metrics(session->view, session->metrics);
    sfs_metrics_set_provider(session->metrics, tell_metrics, session);
    session->announcer = sfs_announcer_client_new();
    session->outbox = sfs_outbox_new(session->view, session->announcer, mountpoint);
    session->watcher = sfs_watcher_new(session->view, session->outbox, options->poll_sec);
    if (!session->watcher)
        return FALSE;
    sfs_view_set_vouch(session->view, vouch, session->watcher);
    sfs_status_set_providers(session->status, announcer_state, degraded, session);
    session->deferred = sfs_deferred_new(session->view);
    sfs_watcher_set_written(session->watcher, sfs_deferred_written, session->deferred);
    session->handles = sfs_handles_new();
    session->raw_files = sfs_quota_new(max_raw_files(), getuid(), "open files of bundles");
    session->listings = sfs_quota_new(MAX_LISTINGS, getuid(), "bytes of listings");
    session->texts = sfs_quota_new(options->cache, getuid(), "bytes of open computed files");
    session->polled = sfs_quota_new(MAX_POLLED, getuid(), "polled files");
    session->pollers = sfs_pollers_new();
    sfs_watcher_set_wake(session->watcher, wake_pollers, session->pollers);
    sfs_watcher_set_told(session->watcher, sfs_deferred_told, session->deferred);
    return TRUE;
}

static void session_end(SfsSession *session)
{
    if (session->deferred) /* nothing was mounted */
        sfs_deferred_free(session->deferred);
    if (session->pollers)
        sfs_pollers_free(session->pollers);
    if (session->handles)
        sfs_handles_free(session->handles);
    if (session->polled)
        sfs_quota_free(session->polled);
    if (session->texts)
        sfs_quota_free(session->texts);
    if (session->listings)
        sfs_quota_free(session->listings);
    if (session->raw_files)
        sfs_quota_free(session->raw_files);
    if (session->watcher)
        sfs_watcher_free(session->watcher);
    sfs_outbox_free(session->outbox);
    sfs_announcer_client_free(session->announcer);
    sfs_status_free(session->status);
    sfs_metrics_free(session->metrics);
    sfs_view_free(session->view);
    shield_budget_free(session->budget);
}

gboolean sfs_serve(const SfsOptions *options, const char *mountpoint, int control, int refused)
{
    g_auto(GStrv) words = sfs_options_mount_args(options, mountpoint);
    char *argv[] = {(char *)"shieldfs", words[0], words[1], NULL};
    struct fuse_args args = FUSE_ARGS_INIT(G_N_ELEMENTS(argv) - 1, argv);
    g_autofree char *place = shield_text_escape(mountpoint, -1);
    Server server = {.options = options,
                     .place = place,
                     .control = control,
                     .refused = refused,
                     .loop_thread = pthread_self()};
    gboolean served = FALSE;

    prepare_process(&server);
    sfs_report_init(&server.report, control);
    if (session_start(&server.session, options, mountpoint))
        server.session.fuse = server.fuse =
            fuse_session_new(&args, &sfs_ops, sizeof sfs_ops, &server.session);
    fuse_opt_free_args(&args);
    if (server.fuse) {
        served = mount_and_serve(&server, mountpoint);
        fuse_session_destroy(server.fuse);
    }
    session_end(&server.session);
    sfs_report_clear(&server.report);
    close(control);
    return served;
}
