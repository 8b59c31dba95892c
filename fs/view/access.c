/* SPDX-License-Identifier: Apache-2.0 */
/* access: modes under allow_other; see access.h. */
#include "view/access.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "open.h"

/* A POSIX ACL as the kernel hands it out: a version, then entries; little-endian. */
typedef struct {
    guint16 tag, perm;
    guint32 id;
} AclEntry;

enum {
    ACL_VERSION_SIZE = 4,
    ACL_USER = 0x02,
    ACL_GROUP_OBJ = 0x04,
    ACL_GROUP = 0x08,
    ACL_MASK = 0x10,
    ACL_MAX_SIZE = 64 * 1024
};

SfsAccess sfs_access_start(uid_t uid, gid_t gid)
{
    return (SfsAccess){uid, gid, 0777};
}

/* What the owning group, and everyone whom the ACL of fd names by id, may do at least; 7 if there is no ACL.
 * *extended says whether there is one that tells more than the mode. One that can't be read allows nothing.
 */
static mode_t acl_minimum(int fd, gboolean *extended)
{
    char path[SHIELD_FD_PATH_SIZE];
    g_autofree char *acl = g_malloc(ACL_MAX_SIZE);
    mode_t named = 7, mask = 7;

    ssize_t size = getxattr(shield_fd_path(fd, path), "system.posix_acl_access", acl, ACL_MAX_SIZE);

    *extended = size < 0 && errno != ENODATA && errno != EOPNOTSUPP;
    if (*extended)
        return 0;
    for (ssize_t at = ACL_VERSION_SIZE; at + (ssize_t)sizeof(AclEntry) <= size;
         at += (ssize_t)sizeof(AclEntry)) {
        AclEntry entry;

        memcpy(&entry, acl + at, sizeof entry);
        mode_t perm = le16toh(entry.perm) & 7;
        guint16 tag = le16toh(entry.tag);
        *extended |= tag == ACL_USER || tag == ACL_GROUP || tag == ACL_MASK;
        if (tag == ACL_USER || tag == ACL_GROUP_OBJ || tag == ACL_GROUP)
            named &= perm;
        if (tag == ACL_MASK)
            mask = perm;
    }
    return named & mask;
}

/* The bits of st, seen from the classes of access. Where owner and group are the same and there is no ACL,
 * the classes are the same. Else somebody of the node's group or others may be of any class here, so they
 * have what all classes have; and so has the owner, unless he is the same. */
static mode_t seen_from(const SfsAccess *access, int fd, const struct stat *st)
{
    gboolean extended;
    mode_t named = acl_minimum(fd, &extended), mode = st->st_mode & 0777;
    mode_t all = (mode >> 6) & (mode >> 3) & mode & named & 7;

    if (!extended && st->st_uid == access->uid && st->st_gid == access->gid)
        return mode;
    return (st->st_uid == access->uid ? mode & 0700 : all << 6) | all << 3 | all;
}

void sfs_access_on_the_way(SfsAccess *access, int fd, const struct stat *st)
{
    mode_t seen = seen_from(access, fd, st);

    /* Whoever mounted got here, and so does root: only for other owners does the way matter. */
    if (!(seen & 0100) && access->uid != geteuid() && access->uid != 0)
        access->left &= 0077;
    if (!(seen & 0010))
        access->left &= 0707;
    if (!(seen & 0001))
        access->left &= 0770;
}

void sfs_access_at_the_end(SfsAccess *access, int fd, const struct stat *st)
{
    access->left &= seen_from(access, fd, st);
}

void sfs_access_walk(SfsAccess *access, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    g_auto(ShieldFd) at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    for (char **name = names;; name++) {
        if (at < 0 || fstat(at, &st) < 0) {
            access->left = 0; /* not to be judged */
            return;
        }
        sfs_access_on_the_way(access, at, &st);
        while (*name && **name == '\0')
            name++;
        if (!*name)
            return;

        int next = shield_open_beneath(at, *name);
        shield_fd_close(at);
        at = next;
    }
}
