/* SPDX-License-Identifier: Apache-2.0 */
/* mountpoint: checks before the mount; see mountpoint.h. */
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog.h"
#include "error.h"
#include "inspect.h"
#include "mounts.h"
#include "open.h"

#define DEV_FUSE "/dev/fuse"
#define FUSE_CONF "/etc/fuse.conf"

/* realpath, but for the last component, which may be a dead mount that answers nothing. */
static char *resolve_parent(const char *path)
{
    g_autofree char *whole = shield_path_absolute(path);
    g_autofree char *parent = g_path_get_dirname(whole);
    g_autofree char *name = g_path_get_basename(whole);
    char *resolved = realpath(parent, NULL);
    char *joined = resolved ? g_build_filename(resolved, strcmp(name, "/") ? name : "", NULL) : NULL;

    free(resolved);
    return joined;
}

/* A mount whose server died answers ENOTCONN to everything. */
static gboolean clear_dead_mount(const char *path, GError **error)
{
    if (!sfs_mounts_is_dead(path))
        return TRUE;

    g_autoptr(SfsMount) mount = sfs_mounts_at(path);
    if (!mount || !mount->ours) {
        shield_error_set(error, ENOTCONN, NULL, path,
                         "a dead mount of another program is there: unmount it first");
        return FALSE;
    }
    if (!sfs_mounts_detach(path)) {
        shield_error_set(error, ENOTCONN, NULL, path,
                         "a dead shieldfs mount is there: run fusermount3 -uz on it");
        return FALSE;
    }
    g_autofree char *escaped = shield_error_subject(NULL, path);
    g_message("%s: a dead mount of shieldfs was taken away", escaped);
    return TRUE;
}

static gboolean check_empty(const char *path, GError **error)
{
    g_auto(ShieldFd) fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g_autoptr(GPtrArray) entries = fd < 0 ? NULL : shield_list_directory(fd);

    if (!entries) {
        shield_error_set_errno(error, errno, NULL, path);
        return FALSE;
    }
    if (entries->len > 0) {
        shield_error_set(error, ENOTEMPTY, NULL, path,
                         "the mount point is not empty: choose another, or use -o nonempty");
        return FALSE;
    }
    return TRUE;
}

static gboolean check_directory(const SfsOptions *options, const char *path, GError **error)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        if (errno == ENOENT)
            shield_error_set(error, ENOENT, NULL, path, "no such mount point: make the directory first");
        else
            shield_error_set_errno(error, errno, NULL, path);
        return FALSE;
    }
    if (!S_ISDIR(st.st_mode)) {
        shield_error_set(error, ENOTDIR, NULL, path, "the mount point is not a directory");
        return FALSE;
    }
    if (geteuid() != 0 && access(path, W_OK) < 0) {
        shield_error_set(error, EACCES, NULL, path,
                         "the mount point must be writable for the user who mounts");
        return FALSE;
    }
    return options->nonempty || check_empty(path, error);
}

char *sfs_mountpoint_prepare(const SfsOptions *options, GError **error)
{
    g_autofree char *path = resolve_parent(options->mountpoint);

    if (!path) {
        shield_error_set(error, errno, NULL, options->mountpoint, "no such mount point: %s",
                         g_strerror(errno));
        return NULL;
    }
    if (!clear_dead_mount(path, error) || !check_directory(options, path, error))
        return NULL;

    char *resolved = realpath(path, NULL); /* the last component may be a link */
    char *result = g_strdup(resolved ? resolved : path);
    free(resolved);
    return result;
}

gboolean sfs_mountpoint_check_sources(const SfsOptions *options, const char *mountpoint, GError **error)
{
    for (char **source = options->sources; *source; source++) {
        g_autofree char *resolved = shield_path_resolve(*source);

        if (!resolved) /* can't be searched now; the view says so in its status */
            continue;
        if (shield_path_contains(mountpoint, resolved)) {
            shield_error_set(error, EINVAL, NULL, *source, "the source lies inside the mount point");
            return FALSE;
        }
        if (shield_path_contains(resolved, mountpoint)) {
            shield_error_set(error, EINVAL, NULL, *source, "the source contains the mount point");
            return FALSE;
        }

        g_autoptr(SfsMount) mount = sfs_mounts_holding(resolved);
        if (mount && mount->ours) {
            shield_error_set(error, EINVAL, NULL, *source, "the source lies on a shieldfs mount");
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean user_allow_other(void)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents(FUSE_CONF, &text, NULL, NULL))
        return FALSE;

    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (strcmp(g_strstrip(*line), "user_allow_other") == 0)
            return TRUE;
    }
    return FALSE;
}

gboolean sfs_mountpoint_check_system(const SfsOptions *options, GError **error)
{
    g_auto(ShieldFd) fd = open(DEV_FUSE, O_RDWR | O_CLOEXEC);

    if (fd < 0 && (errno == EACCES || errno == EPERM)) {
        shield_error_set(error, errno, NULL, DEV_FUSE,
                         "no permission: it should be readable and writable for everyone");
        return FALSE;
    }
    if (fd < 0) {
        shield_error_set(error, errno, NULL, DEV_FUSE,
                         "%s: load the kernel's fuse module, or pass the device into the container",
                         g_strerror(errno));
        return FALSE;
    }
    if (geteuid() == 0)
        return TRUE;

    g_autofree char *helper = g_find_program_in_path("fusermount3");
    if (!helper) {
        shield_error_set(error, ENOENT, NULL, "fusermount3", "not found: install the package fuse3");
        return FALSE;
    }
    if (options->allow_other && !user_allow_other()) {
        shield_error_set(error, EPERM, NULL, "-o allow_other",
                         "needs the line user_allow_other in " FUSE_CONF);
        return FALSE;
    }
    return TRUE;
}
