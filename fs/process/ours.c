/* SPDX-License-Identifier: Apache-2.0 */
/* ours: see ours.h. */
#include "process/ours.h"

#include <errno.h>
#include <string.h>

#include "process/mounts.h"
#include "text.h"

static int mount_id_at(const char *path)
{
    g_autoptr(SfsMount) mount = sfs_mountinfo_at(path);

    return mount ? mount->id : -1;
}

SfsOurs sfs_ours_begin(const char *mountpoint)
{
    return (SfsOurs){.mountpoint = mountpoint, .before = mount_id_at(mountpoint)};
}

/* Numbers are given to other mounts when ours is gone; they are of other sources, mostly. */
static gboolean is_anothers(const SfsOurs *ours, const SfsMount *mount)
{
    return !mount->ours || mount->id == ours->before ||
           (ours->device && strcmp(mount->device, ours->device) != 0);
}

SfsMount *sfs_ours_find(const SfsOurs *ours)
{
    SfsMount *mount = sfs_mountinfo_at(ours->mountpoint);

    if (ours->dev && (!mount || !mount->ours || mount->dev != ours->dev)) {
        g_clear_pointer(&mount, sfs_mount_free);
        mount = sfs_mountinfo_of(ours->dev);
    }
    if (mount && is_anothers(ours, mount))
        g_clear_pointer(&mount, sfs_mount_free);
    return mount;
}

void sfs_ours_note(SfsOurs *ours)
{
    g_autoptr(SfsMount) mount = sfs_ours_find(ours);

    if (!mount)
        return;
    ours->dev = mount->dev;
    g_free(ours->device);
    ours->device = g_steal_pointer(&mount->device);
}

static void say_still_mounted(const char *path)
{
    int failed = errno;
    g_autofree char *escaped = shield_text_escape(path, -1);

    g_message("%s: could not be unmounted: %s", escaped, g_strerror(failed));
}

void sfs_ours_unmount(const SfsOurs *ours, gboolean last)
{
    g_autoptr(SfsMount) mount = sfs_ours_find(ours);
    g_autoptr(SfsMount) top = mount ? sfs_mountinfo_at(mount->path) : NULL;
    g_autofree char *path = mount ? shield_text_escape(mount->path, -1) : NULL;

    if (!mount || !top)
        return;
    if (top->id != mount->id) {
        if (last)
            g_message("%s: something else is mounted over the view: unmount both", path);
    } else if (!sfs_mounts_detach(mount) && last) {
        say_still_mounted(mount->path);
    }
}

static void take_away_dead(const SfsOurs *ours)
{
    g_autoptr(SfsMount) mount = sfs_ours_find(ours);
    g_autoptr(SfsMount) top = mount ? sfs_mountinfo_at(mount->path) : NULL;

    if (!mount || !top)
        return;
    if (top->id != mount->id)
        sfs_ours_unmount(ours, TRUE); /* says so */
    else if (!sfs_mounts_detach_dead(mount->path))
        say_still_mounted(mount->path);
}

void sfs_ours_clear(SfsOurs *ours)
{
    take_away_dead(ours);
    g_clear_pointer(&ours->device, g_free);
}
