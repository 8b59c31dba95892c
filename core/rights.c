/* SPDX-License-Identifier: Apache-2.0 */
/* rights: owner, group, mode and ACL of a descriptor; see rights.h. */
#include "rights.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "open.h"

/* Bytes, more than any local filesystem has room for. Where there is a longer one nobody is let in. */
#define ACL_MAX 8192

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

gboolean shield_rights_of(int fd, ShieldRights *rights)
{
    GBytes *acl = NULL;
    struct stat st;

    *rights = (ShieldRights){0};
    if (shield_fstat(fd, &st) < 0 || !read_acl(fd, &acl))
        return FALSE;
    *rights = (ShieldRights){st.st_mode, st.st_uid, st.st_gid, acl};
    return TRUE;
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
