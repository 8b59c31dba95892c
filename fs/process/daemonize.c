/* SPDX-License-Identifier: Apache-2.0 */
/* daemonize: the process that waits for the mount; see daemonize.h. */
#include "process/daemonize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "open.h"

/* Until the kernel and the server have shaken hands, the first request waits; after that it is answered. */
gboolean sfs_daemonize_answers(const char *mountpoint)
{
    g_autofree char *path = g_build_filename(mountpoint, ".shieldfs", "version", NULL);
    g_auto(ShieldFd) fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        int failed = errno;
        g_autofree char *escaped = shield_error_subject(NULL, mountpoint);

        g_message("%s: mounted, but it does not answer: %s: the log says why", escaped, g_strerror(failed));
    }
    return fd >= 0;
}

static void G_GNUC_NORETURN wait_for_child(int pipe_end, const char *mountpoint)
{
    char byte;
    ssize_t got;

    do {
        got = read(pipe_end, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1)
        exit(EXIT_FAILURE); /* the child has said why */
    exit(sfs_daemonize_answers(mountpoint) ? EXIT_SUCCESS : EXIT_FAILURE);
}

int sfs_daemonize(const char *mountpoint, GError **error)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) {
        shield_error_set_errno(error, errno, NULL, "pipe");
        return -1;
    }

    pid_t child = fork();
    if (child < 0) {
        shield_error_set_errno(error, errno, NULL, "fork");
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (child > 0) {
        close(ends[1]);
        wait_for_child(ends[0], mountpoint);
    }
    close(ends[0]);
    return ends[1];
}

gboolean sfs_daemonize_ready(int ready)
{
    gboolean waiting = write(ready, "", 1) == 1;

    close(ready);
    return waiting;
}

int sfs_daemonize_open(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

void sfs_daemonize_detach(pid_t supervisor, int null)
{
    if (chdir("/") < 0)
        g_message("/: %s", g_strerror(errno));
    sfs_log_to_system(supervisor);
    setsid();
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null >= 0; fd++)
        dup2(null, fd);
    shield_fd_close(null);
}
