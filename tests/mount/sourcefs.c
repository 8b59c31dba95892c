/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sourcefs DIRECTORY MOUNTPOINT: for tests, a filesystem to be a source: DIRECTORY once more, read-only. As
 * long as there is a file `stall` in DIRECTORY, no READ is answered; stopped by a signal, it answers nothing
 * at all.
 */
#define FUSE_USE_VERSION 314
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_USEC 5000

static int root; /* O_PATH */

static const char *below(const char *path)
{
    return path[1] ? path + 1 : ".";
}

static int op_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    (void)fi;
    return fstatat(root, below(path), st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int op_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
    int fd = openat(root, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    (void)offset, (void)fi, (void)flags;
    if (!dir)
        return -errno;
    while ((entry = readdir(dir)))
        fill(buffer, entry->d_name, NULL, 0, 0);
    closedir(dir);
    return 0;
}

static int op_open(const char *path, struct fuse_file_info *fi)
{
    int fd = openat(root, below(path), O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    fi->fh = (uint64_t)fd;
    return 0;
}

static int op_read(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *fi)
{
    (void)path;
    while (faccessat(root, "stall", F_OK, 0) == 0)
        usleep(LOOK_USEC);

    ssize_t got = pread((int)fi->fh, buffer, size, offset);
    return got < 0 ? -errno : (int)got;
}

static int op_release(const char *path, struct fuse_file_info *fi)
{
    (void)path;
    close((int)fi->fh);
    return 0;
}

/* A file keeps its inode number, whatever the kernel forgets of it. */
static void *op_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
    (void)conn;
    config->use_ino = 1;
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct fuse_operations ops = {.init = op_init,
                                               .getattr = op_getattr,
                                               .readdir = op_readdir,
                                               .open = op_open,
                                               .read = op_read,
                                               .release = op_release};
    char *args[] = {argv[0], (char *)"-f", argc == 3 ? argv[2] : NULL, NULL};

    root = argc == 3 ? open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    return root < 0 ? EXIT_FAILURE : fuse_main(3, args, &ops, NULL);
}
