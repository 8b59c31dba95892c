/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: the order in which shieldfs starts: options, checks, background, supervisor. It must not know what
 * the view shows.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "options.h"
#include "process/daemonize.h"
#include "process/mountpoint.h"
#include "process/signals.h"
#include "process/supervisor.h"
#include "request/ops.h"
#include "standard.h"
#include "text.h"

/* What the shell left open is nobody's business here; a list among it, open for writing, would look as if it
 * were being written for as long as we run. */
static void close_inherited(void)
{
    closefrom(STDERR_FILENO + 1); /* not close_range(2), which old kernels and some seccomp filters refuse */
}

static gboolean start(const SfsOptions *options, SfsService *service, GError **error)
{
    g_autofree char *mountpoint = NULL, *place = NULL;
    int ready = -1, lock;

    if (!sfs_mountpoint_check_system(options, error))
        return FALSE;
    mountpoint = sfs_mountpoint_prepare(options, &lock, error);
    if (!mountpoint)
        return FALSE;
    place = shield_text_escape(mountpoint, -1);
    sfs_log_set_place(place);
    sfs_mountpoint_tell_of_sources(options);
    if (!options->foreground) {
        ready = sfs_daemonize(mountpoint, error);
        if (ready < 0)
            return FALSE;
    }
    gboolean well = sfs_supervise(options, mountpoint, lock, ready, service);
    sfs_log_set_place(NULL);
    return well;
}

static gboolean start_and_tell(const SfsOptions *options)
{
    g_autoptr(SfsService) service = sfs_service_new(options->foreground);
    g_autoptr(GError) error = NULL;
    gboolean well = start(options, service, &error);

    if (error)
        g_message("%s", error->message);
    if (!well)
        sfs_service_failed(service, error ? error->message : "failed: the log says why");
    (void)sfs_service_tell(service);
    return well;
}

int main(int argc, char **argv)
{
    SfsOptions options;
    int status = EXIT_FAILURE;

    shield_standard_open();
    sfs_signals_start();
    close_inherited();
    sfs_log_start();
    fuse_set_log_func(sfs_log_libfuse);
    switch (sfs_options_parse(&options, argc, argv)) {
    case SFS_OPTIONS_DONE:
        if (shield_standard_flush())
            status = EXIT_SUCCESS;
        else
            g_message("standard output: %s", g_strerror(errno));
        break;
    case SFS_OPTIONS_RUN:
        g_log_set_debug_enabled(options.log_level == G_LOG_LEVEL_DEBUG);
        if (start_and_tell(&options))
            status = EXIT_SUCCESS;
        break;
    case SFS_OPTIONS_WRONG:
    default:
        break;
    }
    sfs_options_clear(&options);
    return status;
}
