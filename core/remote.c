/* SPDX-License-Identifier: Apache-2.0 */
/* remote: THE table of filesystems that are changed from elsewhere; see remote.h. */
#include "remote.h"

#include <linux/magic.h>
#include <sys/vfs.h>

/* Not in every version of linux/magic.h, or in none. */
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif
#ifndef CEPH_SUPER_MAGIC
#define CEPH_SUPER_MAGIC 0x00c36400
#endif
#ifndef OCFS2_SUPER_MAGIC
#define OCFS2_SUPER_MAGIC 0x7461636f
#endif
#ifndef AFS_FS_MAGIC
#define AFS_FS_MAGIC 0x6B414653
#endif
#define GFS2_MAGIC 0x01161970
#define GPFS_SUPER_MAGIC 0x47504653
#define LUSTRE_SUPER_MAGIC 0x0BD00BD0
#define ORANGEFS_SUPER_MAGIC 0x20030528
#define VBOXSF_SUPER_MAGIC 0x786F4256
#define VMHGFS_SUPER_MAGIC 0xBACBACBC

static const guint32 remote[] = {
    NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,    CIFS_SUPER_MAGIC,   SMB2_SUPER_MAGIC,   V9FS_MAGIC,
    CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC,    AFS_FS_MAGIC,       CODA_SUPER_MAGIC,   FUSE_SUPER_MAGIC,
    GFS2_MAGIC,       GPFS_SUPER_MAGIC,   OCFS2_SUPER_MAGIC,  LUSTRE_SUPER_MAGIC, ORANGEFS_SUPER_MAGIC,
    NCP_SUPER_MAGIC,  HOSTFS_SUPER_MAGIC, VBOXSF_SUPER_MAGIC, VMHGFS_SUPER_MAGIC,
};

gboolean shield_is_remote(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return FALSE; /* what is asked of it next will tell */
    for (gsize i = 0; i < G_N_ELEMENTS(remote); i++) {
        if ((guint32)fs.f_type == remote[i])
            return TRUE;
    }
    return FALSE;
}
