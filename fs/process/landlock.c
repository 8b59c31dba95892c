/* SPDX-License-Identifier: Apache-2.0 */
/* landlock: THE table of its versions, and its three system calls; see landlock.h. */
#include "process/landlock.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "open.h"

/* Of linux/landlock.h, which is older than the kernel on many systems, or missing. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH 1

#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_DIR (1ULL << 4)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_DIR (1ULL << 7)
#define FS_MAKE_REG (1ULL << 8)
#define FS_TRUNCATE (1ULL << 14)

typedef struct {
    guint64 fs, net, scoped;
} Ruleset;

struct beneath {
    guint64 allowed;
    gint32 fd;
} __attribute__((packed));

/* What each version can take away: all of it is. size: what its kernels know of a Ruleset, in bytes. */
static const struct {
    Ruleset all;
    gsize size;
} versions[] = {
    [1] = {{.fs = 0x1fff}, 8},                         /* from execute to make_sym */
    [2] = {{.fs = 0x3fff}, 8},                         /* refer: link and rename elsewhere */
    [3] = {{.fs = 0x7fff}, 8},                         /* truncate */
    [4] = {{.fs = 0x7fff, .net = 3}, 16},              /* bind and connect by TCP */
    [5] = {{.fs = 0xffff, .net = 3}, 16},              /* ioctl_dev */
    [6] = {{.fs = 0xffff, .net = 3, .scoped = 3}, 24}, /* abstract sockets, signals */
    [7] = {{.fs = 0xffff, .net = 3, .scoped = 3}, 24}, /* nothing but more of a log */
};

static const guint64 allowed[] = {
    [SFS_LANDLOCK_READ] = FS_READ_FILE | FS_READ_DIR,
    [SFS_LANDLOCK_WRITE] =
        FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE | FS_REMOVE_DIR,
};

guint sfs_landlock(int fd, SfsLandlockRights rights)
{
    long newest = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    guint version = (guint)CLAMP(newest, 0, (long)G_N_ELEMENTS(versions) - 1);

    if (version == 0)
        return 0;

    const Ruleset *all = &versions[version].all;
    struct beneath rule = {allowed[rights] & all->fs, fd};
    g_auto(ShieldFd) ruleset = (int)syscall(SYS_landlock_create_ruleset, all, versions[version].size, 0);

    if (ruleset < 0 || syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 ||
        syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return 0;
    return version;
}
