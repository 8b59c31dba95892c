/* SPDX-License-Identifier: Apache-2.0 */
/* filter: the table, made into a filter by libseccomp, and what happens to other calls; see filter.h. */
#include "process/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#define SERVER (1U << SFS_SERVER)
#define ANNOUNCER (1U << SFS_ANNOUNCER)
#define BOTH (SERVER | ANNOUNCER)

/* siginfo's code, not in every C library. */
#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif

/* The argument that has the flags of clone. */
#ifdef __s390__
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif

/* Calls that are allowed whatever is asked. Some have several names, by machine and by the age of the C
 * library. */
static const struct {
    const char *name;
    guint processes;
} calls[] = {
    /* reading, and answering the kernel */
    {"read", BOTH},
    {"readv", BOTH},
    {"pread64", SERVER},
    {"write", BOTH},
    {"writev", BOTH},
    {"pwritev2", BOTH}, /* the log */
    {"close", BOTH},
    /* looking */
    {"openat2", BOTH},
    {"stat", BOTH},
    {"stat64", BOTH},
    {"lstat", BOTH},
    {"lstat64", BOTH},
    {"fstat", BOTH},
    {"fstat64", BOTH},
    {"newfstatat", BOTH},
    {"fstatat64", BOTH},
    {"statx", BOTH},
    {"fstatfs", SERVER},
    {"fstatfs64", SERVER},
    {"access", SERVER},
    {"faccessat", SERVER},
    {"faccessat2", SERVER},
    {"readlink", SERVER},
    {"readlinkat", SERVER},
    {"getdents64", SERVER},
    {"getxattr", SERVER},
    {"inotify_add_watch", SERVER},
    {"inotify_rm_watch", SERVER},
    /* the announcements */
    {"ftruncate", ANNOUNCER},
    {"ftruncate64", ANNOUNCER},
    {"utimensat", ANNOUNCER},
    {"utimensat_time64", ANNOUNCER},
    {"fchmodat", ANNOUNCER},
    {"mkdirat", ANNOUNCER},
    {"unlinkat", ANNOUNCER},
    /* between the processes, and to the log */
    {"sendmsg", BOTH},
    {"sendto", BOTH},
    {"send", BOTH},
    {"recvmsg", BOTH},
    {"recvfrom", BOTH},
    {"recv", BOTH},
    {"connect", BOTH},
    {"shutdown", SERVER},
    /* into the background */
    {"getppid", SERVER},
    {"chdir", SERVER},
    {"setsid", SERVER},
    {"dup", SERVER}, /* perror(3), which the FUSE library calls */
    {"dup2", SERVER},
    {"dup3", SERVER},
    /* waiting */
    {"futex", BOTH},
    {"futex_time64", BOTH},
    {"poll", BOTH},
    {"ppoll", BOTH},
    {"ppoll_time64", BOTH},
    {"nanosleep", BOTH},
    {"clock_nanosleep", BOTH},
    {"clock_nanosleep_time64", BOTH},
    {"sched_yield", BOTH},
    {"restart_syscall", BOTH},
    /* threads and signals. The C library makes some of these while every signal is blocked, ours too: then
     * one that is not allowed kills, so here are also those that other versions of it make there */
    {"set_robust_list", BOTH},
    {"rseq", BOTH},
    {"set_tid_address", BOTH},
    {"membarrier", BOTH},
    {"map_shadow_stack", BOTH},
    {"futex_wait", BOTH},
    {"futex_wake", BOTH},
    {"rt_sigaction", BOTH},
    {"rt_sigprocmask", BOTH},
    {"rt_sigreturn", BOTH},
    {"sigreturn", BOTH},
    {"gettid", BOTH},
    {"getpid", BOTH},
    {"exit", BOTH},
    {"exit_group", BOTH},
    /* memory */
    {"brk", BOTH},
    {"munmap", BOTH},
    {"mremap", BOTH},
    {"madvise", BOTH},
    /* the rest */
    {"clock_gettime", BOTH},
    {"clock_gettime64", BOTH},
    {"clock_getres", BOTH},
    {"gettimeofday", BOTH},
    {"time", BOTH},
    {"getrandom", BOTH},
    {"getuid", BOTH},
    {"geteuid", BOTH},
    {"getgid", BOTH},
    {"getegid", BOTH},
};

/* The same command has two calls on machines of 32 bits. */
#define FCNTL(processes, command)                                                                            \
    {"fcntl", processes, 1, G_MAXUINT32, command},                                                           \
    {                                                                                                        \
        "fcntl64", processes, 1, G_MAXUINT32, command                                                        \
    }

/* Calls that are allowed if an argument, or these bits of it, has this value. */
static const struct {
    const char *name;
    guint processes;
    guint argument;
    guint64 mask, value;
} if_so[] = {
    /* the server opens nothing for writing */
    {"openat", SERVER, 2, O_ACCMODE | O_CREAT | O_TRUNC, 0},
    {"openat", ANNOUNCER, 2, 0, 0},
    /* no memory is made executable */
    {"mmap", BOTH, 2, PROT_EXEC, 0},
    {"mmap2", BOTH, 2, PROT_EXEC, 0},
    {"mprotect", BOTH, 2, PROT_EXEC, 0},
    /* threads, and no processes */
    {"clone", SERVER, CLONE_FLAGS, CLONE_THREAD, CLONE_THREAD},
    /* descriptors, leases, the library's pipes; nobody else gets a signal about any (F_SETOWN) */
    FCNTL(BOTH, F_DUPFD),
    FCNTL(BOTH, F_DUPFD_CLOEXEC),
    FCNTL(BOTH, F_GETFD),
    FCNTL(BOTH, F_SETFD),
    FCNTL(BOTH, F_GETFL),
    FCNTL(SERVER, F_SETFL),
    FCNTL(SERVER, F_SETLEASE),
    FCNTL(SERVER, F_SETSIG),
    FCNTL(SERVER, F_GETPIPE_SZ),
    FCNTL(SERVER, F_SETPIPE_SZ),
    /* the queue of inotify; is the log a terminal? */
    {"ioctl", SERVER, 1, G_MAXUINT32, FIONREAD},
    {"ioctl", BOTH, 1, G_MAXUINT32, TCGETS},
    {"prctl", BOTH, 0, G_MAXUINT32, PR_SET_NAME},
    {"prctl", SERVER, 0, G_MAXUINT32, PR_SET_TIMERSLACK},
    {"prctl", BOTH, 0, G_MAXUINT32, PR_SET_VMA},
    /* its own limits */
    {"prlimit64", SERVER, 0, G_MAXUINT32, 0},
    /* to the log in the background */
    {"socket", BOTH, 0, G_MAXUINT32, AF_UNIX},
};

/* For the handler alone. */
static SfsProcess me;
static int tell_to = -1;

#if defined(__x86_64__) || defined(__aarch64__)
#define OTHERS SCMP_ACT_TRAP /* a signal, whose handler makes it fail and tells of it */

static void set_result(void *context, long result)
{
    mcontext_t *registers = &((ucontext_t *)context)->uc_mcontext;

#ifdef __x86_64__
    registers->gregs[REG_RAX] = result;
#else
    registers->regs[0] = (guint64)result;
#endif
}

/* Nothing here takes a lock or memory. One that was sent by somebody means nothing. */
static void refuse(int signum, siginfo_t *info, void *context)
{
    static guint8 told[512]; /* atomic; by number */
    int failed = errno;
    SfsRefused refused = {me, info->si_syscall};
    guint slot = (guint)info->si_syscall % sizeof told;

    (void)signum;
    if (info->si_code != SYS_SECCOMP)
        return;
    if (tell_to >= 0 && !__atomic_exchange_n(&told[slot], 1, __ATOMIC_RELAXED))
        (void)!write(tell_to, &refused, sizeof refused);
    set_result(context, -EPERM);
    errno = failed;
}

static gboolean prepare(void)
{
    struct sigaction action = {.sa_sigaction = refuse, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER};

    return sigaction(SIGSYS, &action, NULL) == 0;
}
#else
#define OTHERS SCMP_ACT_ERRNO(EPERM) /* where the registers are not known here: without a line */

static gboolean prepare(void)
{
    return TRUE;
}
#endif

/* What this libseccomp, or this machine, does not know needs no rule. */
static void allow(scmp_filter_ctx filter, const char *name, const struct scmp_arg_cmp *condition)
{
    int call = seccomp_syscall_resolve_name(name);

    if (call != __NR_SCMP_ERROR)
        (void)seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, condition ? 1 : 0, condition);
}

static void allow_all(scmp_filter_ctx filter, SfsProcess process)
{
    for (gsize i = 0; i < G_N_ELEMENTS(calls); i++) {
        if (calls[i].processes & (1U << process))
            allow(filter, calls[i].name, NULL);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(if_so); i++) {
        struct scmp_arg_cmp condition = {.arg = if_so[i].argument,
                                         .op = SCMP_CMP_MASKED_EQ,
                                         .datum_a = if_so[i].mask,
                                         .datum_b = if_so[i].value};

        if (if_so[i].processes & (1U << process))
            allow(filter, if_so[i].name, &condition);
    }

    /* to oneself */
    struct scmp_arg_cmp own = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (guint64)getpid()};
    allow(filter, "tgkill", &own);
    /* Its flags are in memory, where no filter looks: the C library then takes clone. */
    (void)seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

gboolean sfs_filter(SfsProcess process, int refused)
{
    scmp_filter_ctx filter = seccomp_init(OTHERS);
    gboolean loaded;

    if (!filter)
        return FALSE;
    me = process;
    tell_to = refused;
    /* Other calling conventions have other numbers: none of theirs is allowed, and they kill nobody either.
     */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, OTHERS);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
    allow_all(filter, process);
    loaded = prepare() && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return loaded;
}

char *sfs_filter_call_name(int call)
{
    g_autofree char *number = g_strdup_printf("%d", call);
    char *known = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
    char *name = g_strdup(known ? known : number);

    free(known);
    return name;
}
