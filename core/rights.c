/* SPDX-License-Identifier: Apache-2.0 */
/* rights: owner, group, mode and ACL of a descriptor; see rights.h. */
#include "rights.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "open.h"

/* Bytes, more than any local filesystem has room for. Where there is a longer one nobody is let in. */
#define ACL_MAX 8192

/* The kernel's, if it does not say. */
#define DEFAULT_OVERFLOW 65534
/* What the mode, the owner and the ACL may have changed between. */
#define TRIES 8

/* FALSE with errno: there is one that can't be read. */
static gboolean read_acl(int fd, GBytes **acl)
{
    char path[SHIELD_FD_PATH_SIZE], value[ACL_MAX];
    /* By path, as there is no fgetxattr of what is only O_PATH. */
    ssize_t size = getxattr(shield_fd_path(fd, path), "system.posix_acl_access", value, sizeof value);

    if (size >= 0)
        *acl = g_bytes_new(value, (gsize)size);
    return size >= 0 || errno == ENODATA || errno == EOPNOTSUPP;
}

/* Is it one of all mode, owner and group that there was before the ACL, and after it? */
static gboolean is_same(const struct stat *a, const struct stat *b)
{
    return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static gboolean take(int fd, ShieldRights *rights)
{
    g_autoptr(GBytes) acl = NULL;
    struct stat st, after;

    if (shield_fstat(fd, &st) < 0 || !read_acl(fd, &acl) || shield_fstat(fd, &after) < 0)
        return FALSE;
    errno = EAGAIN;
    if (!is_same(&st, &after))
        return FALSE;
    *rights = (ShieldRights){st.st_mode, shield_rights_user(st.st_uid), shield_rights_group(st.st_gid),
                             g_steal_pointer(&acl)};
    return TRUE;
}

gboolean shield_rights_of(int fd, ShieldRights *rights)
{
    *rights = (ShieldRights){0};
    for (int i = 0; i < TRIES; i++) {
        if (take(fd, rights))
            return TRUE;
        if (errno != EAGAIN)
            return FALSE;
    }
    return FALSE;
}

/* Does a map of user_namespaces(7) have each id, as itself? */
static gboolean maps_all(const char *map)
{
    g_autofree char *text = NULL;
    guint64 numbers[3]; /* the first inside, the first outside, how many */

    if (!g_file_get_contents(map, &text, NULL, NULL))
        return FALSE;
    char *at = text;
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++)
        numbers[i] = g_ascii_strtoull(at, &at, 10);
    return numbers[0] == 0 && numbers[1] == 0 && numbers[2] == G_MAXUINT32;
}

/* The id that stands for all that a user namespace has no number for; SHIELD_NO_ID: none does. */
static guint32 find_overflow(const char *map, const char *setting)
{
    g_autofree char *text = NULL;

    if (maps_all(map))
        return SHIELD_NO_ID;
    return g_file_get_contents(setting, &text, NULL, NULL) ? (guint32)g_ascii_strtoull(text, NULL, 10)
                                                           : DEFAULT_OVERFLOW;
}

/* Neither changes while a process runs. */
guint32 shield_rights_user(guint32 uid)
{
    static gsize found; /* and 2 more, so that it is not 0 */

    if (g_once_init_enter(&found))
        g_once_init_leave(&found,
                          (gsize)find_overflow("/proc/self/uid_map", "/proc/sys/kernel/overflowuid") + 2);
    return uid == (guint32)(found - 2) ? SHIELD_NO_ID : uid;
}

guint32 shield_rights_group(guint32 gid)
{
    static gsize found;

    if (g_once_init_enter(&found))
        g_once_init_leave(&found,
                          (gsize)find_overflow("/proc/self/gid_map", "/proc/sys/kernel/overflowgid") + 2);
    return gid == (guint32)(found - 2) ? SHIELD_NO_ID : gid;
}

ShieldRights shield_rights_copy(const ShieldRights *rights)
{
    ShieldRights copy = *rights;

    if (copy.acl)
        g_bytes_ref(copy.acl);
    return copy;
}

void shield_rights_clear(ShieldRights *rights)
{
    g_clear_pointer(&rights->acl, g_bytes_unref);
}

gboolean shield_rights_equal(const ShieldRights *a, const ShieldRights *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && !a->acl == !b->acl &&
           (!a->acl || g_bytes_equal(a->acl, b->acl));
}
