/* SPDX-License-Identifier: Apache-2.0 */
/* signals: masks and dispositions; see signals.h. */
#include "process/signals.h"

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What ends no process by default: it goes on, or is stopped, or nothing happens. */
static gboolean is_harmless(int signum)
{
    switch (signum) {
    case SIGCONT:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
    case SIGURG: /* tells of a writer who waits for a lease */
    case SIGWINCH:
        return TRUE;
    default:
        return FALSE;
    }
}

/* What a process also does to itself; whoever ignores it is killed all the same, and some debugging tools
 * live on it. */
static gboolean is_fault(int signum)
{
    switch (signum) {
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
    case SIGSYS:
    case SIGTRAP:
        return TRUE;
    default:
        return FALSE;
    }
}

void sfs_signals_start(void)
{
    sigset_t none;

    signal(SIGCHLD, SIG_DFL); /* ignored, it would take the children's status away */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGTTOU, SIG_IGN); /* in the background of a terminal with "tostop" */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Not sigfillset and sigprocmask: they leave out the two that glibc keeps for itself (for threads, which the
 * supervisor has not), and these would end us like any other. */
int sfs_signals_take(void)
{
    sigset_t set;

    memset(&set, 0xff, sizeof set);
    for (int signum = 1; signum < _NSIG; signum++) {
        if (is_harmless(signum))
            sigdelset(&set, signum);
    }
    if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, NULL, _NSIG / 8) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC);
}

int sfs_signals_next(int signals)
{
    struct signalfd_siginfo info;

    if (read(signals, &info, sizeof info) != sizeof info)
        return 0;
    return info.ssi_pid == (guint32)getpid() ? 0 : (int)info.ssi_signo;
}

void sfs_signals_leave(void)
{
    sigset_t none;

    for (int signum = 1; signum < _NSIG; signum++) {
        if (!is_harmless(signum) && !is_fault(signum) && signum != SIGCHLD)
            (void)signal(signum, SIG_IGN); /* SIGKILL can't be, nor can glibc's own */
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
