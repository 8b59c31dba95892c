/* SPDX-License-Identifier: Apache-2.0 */
/* confine: THE table of capabilities, and the order in which all is given up; see confine.h. */
#include "process/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "open.h"
#include "process/filter.h"
#include "process/landlock.h"

/* What sfs_confine returns: these, and the version of Landlock. */
#define TOLD 1U
#define NO_NEW_PRIVS 2U
#define CAPABILITIES 4U
#define FILTER 8U
#define LANDLOCK_SHIFT 8

#define SUPERVISOR (1U << SFS_SUPERVISOR)
#define SERVER (1U << SFS_SERVER)
#define ANNOUNCER (1U << SFS_ANNOUNCER)

/* Which capabilities stay, in whose hands, and what for. A process keeps of these what it has: root all, a
 * plain user none. The supervisor also keeps what each new announcer begins with, which is forked from it. */
static const struct {
    int capability;
    guint processes;
    gboolean for_others; /* only with allow_other */
} kept[] = {
    /* unmount */
    {CAP_SYS_ADMIN, SUPERVISOR, FALSE},
    /* read the bundles of other users; reach a mount point in the directory of one */
    {CAP_DAC_READ_SEARCH, SUPERVISOR | SERVER | ANNOUNCER, FALSE},
    /* take a lease on what belongs to others */
    {CAP_LEASE, SERVER, FALSE},
    /* O_NOATIME on what belongs to others; the kernel goes by the modes of the view if others are let in, so
     * set the time and the mode of what is another's there */
    {CAP_FOWNER, SERVER, FALSE},
    {CAP_FOWNER, SUPERVISOR | ANNOUNCER, TRUE},
    /* by the same modes, open for writing what is read-only, and make something in a read-only directory */
    {CAP_DAC_OVERRIDE, SUPERVISOR | ANNOUNCER, TRUE},
    /* an announcer, before it gives up the rest: lift the limit of a file's size, which ftruncate obeys, and
     * empty its bounding set */
    {CAP_SYS_RESOURCE, SUPERVISOR, FALSE},
    {CAP_SETPCAP, SUPERVISOR, FALSE},
};

static guint64 capabilities_of(SfsProcess process, gboolean allow_other)
{
    guint64 set = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++) {
        if ((kept[i].processes & (1U << process)) && (allow_other || !kept[i].for_others))
            set |= G_GUINT64_CONSTANT(1) << kept[i].capability;
    }
    return set;
}

/* The bounding set first, which takes CAP_SETPCAP: a plain user's stays as it was, and means nothing where
 * no_new_privs is set. */
static guint32 keep_capabilities(guint64 set)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        if (!(set & (G_GUINT64_CONSTANT(1) << i)))
            (void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capget, &header, data) < 0)
        return 0;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].permitted &= (guint32)(set >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) == 0 ? CAPABILITIES : 0;
}

static void *exit_thread(void *data)
{
    pthread_exit(data);
}

/* What libraries load or open when it is first needed, they had better have by now: the time zone, the names
 * of errors in this locale, and what ends a thread (libfuse does that, and without it all would end). */
static void load_all(SfsProcess process)
{
    pthread_t thread;

    tzset();
    (void)g_strerror(EPERM);
    if (process == SFS_SERVER && pthread_create(&thread, NULL, exit_thread, NULL) == 0)
        (void)pthread_join(thread, NULL);
}

/* A rule is bound to a directory, not to its path, and what a process may do can't be widened later. But a
 * source may come to lie anywhere: its links lead elsewhere, it or any directory on the way is replaced by
 * another or has something mounted over it, and it need not exist yet. Only the root directory stays. So the
 * server may read wherever its user may, and what it loses is everything else: to write, make or execute
 * anything anywhere. The announcer may do what it is there for beneath the root of the view, wherever that is
 * mounted, and read nothing. */
static guint32 keep_files(SfsProcess process, const SfsConfinement *confinement)
{
    g_auto(ShieldFd) root = -1;

    if (process == SFS_SERVER) {
        root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return sfs_landlock(root, SFS_LANDLOCK_READ) << LANDLOCK_SHIFT;
    }
    if (confinement->mount < 0 ||
        shield_fault(SHIELD_FAULT_DEVICE)) /* a second safeguard, where one is tried */
        return 0;
    return sfs_landlock(confinement->mount, SFS_LANDLOCK_WRITE) << LANDLOCK_SHIFT;
}

/* A call that is in nobody's table; writing to a file, where that must not be, by two calls; sending signals
 * to others. */
static void try_forbidden(void)
{
    struct open_how how = {.flags = O_WRONLY | O_CLOEXEC};
    const char *priority = syscall(SYS_getpriority, 0, 0) < 0 ? strerrorname_np(errno) : "done";
    const char *opened = open("/dev/null", O_WRONLY | O_CLOEXEC) < 0 ? strerrorname_np(errno) : "done";
    const char *by_how =
        syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof how) < 0 ? strerrorname_np(errno) : "done";
    const char *owner = fcntl(STDERR_FILENO, F_SETOWN, 1) < 0 ? strerrorname_np(errno) : "done";

    g_debug("forbidden: getpriority %s, openat %s, openat2 %s, F_SETOWN %s", priority, opened, by_how, owner);
}

void sfs_confine_cores(void)
{
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

guint32 sfs_confine(SfsProcess process, const SfsConfinement *confinement)
{
    guint32 confined = TOLD;

    if (shield_fault(SHIELD_FAULT_UNCONFINED))
        return confined;
    if (process != SFS_SUPERVISOR)
        load_all(process);
    confined |= keep_capabilities(capabilities_of(process, confinement->allow_other));
    /* A plain user's supervisor unmounts by fusermount3, a set-uid program. */
    if ((process != SFS_SUPERVISOR || geteuid() == 0) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        confined |= NO_NEW_PRIVS;
    if (process ==
        SFS_SUPERVISOR) /* Landlock forbids unmounting, and a filter would be the announcer's too */
        return confined;
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    confined |= keep_files(process, confinement);
    if (sfs_filter(process, confinement->refused))
        confined |= FILTER;
    if (shield_fault(SHIELD_FAULT_FORBIDDEN))
        try_forbidden();
    return confined;
}

char *sfs_confine_text(SfsProcess process, guint32 confined)
{
    static const char *const names[] = {"supervisor", "server", "announcer"};
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%s:", names[process]);
    if (confined & NO_NEW_PRIVS)
        g_string_append(text, " no-new-privs");
    if (confined & CAPABILITIES)
        g_string_append(text, " capabilities");
    if (confined >> LANDLOCK_SHIFT)
        g_string_append_printf(text, " landlock-%u:%s", confined >> LANDLOCK_SHIFT,
                               process == SFS_SERVER ? "read-only" : "view-only");
    if (confined & FILTER)
        g_string_append(text, " seccomp");
    if (confined == TOLD)
        g_string_append(text, " no");
    return g_string_free(text, FALSE);
}
