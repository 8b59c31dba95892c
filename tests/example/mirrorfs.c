/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirrorfs DIRECTORY MOUNTPOINT: the regular files of DIRECTORY once more, read-only, and with inotify
 * events: who watches MOUNTPOINT hears of what is changed in DIRECTORY. It is an example: it has what
 * fs/doc/inotify-on-fuse.md tells of, and nothing else. It has no directories, and one announcer.
 */
#define FUSE_USE_VERSION 314
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAX_FILES 1000
enum { CREATE, MODIFY, UNLINK };

typedef struct {
    int op;
    dev_t dev; /* of the mount */
    off_t size;
    char name[NAME_MAX + 1];
} Request;

static const char *mountpoint;
static int directory;        /* DIRECTORY */
static int queue;            /* of inotify: what happens there */
static int announcer_socket; /* the server's end */
static pid_t announcer;      /* by its pid its requests are known */

/* The names that watchers were told of, which is all that the announcer sees. The lock is a leaf: nothing
 * waits while it is held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char told[MAX_FILES][NAME_MAX + 1];

/* The lock is held. The entry of name, or one that is free for it. */
static char *find(const char *name)
{
    char *free_one = told[MAX_FILES - 1];

    for (size_t i = 0; i < MAX_FILES; i++) {
        if (strcmp(told[i], name) == 0)
            return told[i];
        if (!*told[i])
            free_one = told[i];
    }
    return free_one;
}

static int is_told(const char *name)
{
    pthread_mutex_lock(&lock);
    int known = *find(name) != '\0';
    pthread_mutex_unlock(&lock);
    return known;
}

static void set_told(const char *name, int known)
{
    pthread_mutex_lock(&lock);
    strncpy(find(name), known ? name : "", NAME_MAX);
    pthread_mutex_unlock(&lock);
}

static int stat_file(const char *name, struct stat *st)
{
    if (fstatat(directory, name, st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st->st_mode))
        return -ENOENT;
    st->st_mode = S_IFREG | 0444;
    return 0;
}

/* ---- requests: to the announcer a name is there while watchers know it, to all others while it is */

static int is_announcers(void)
{
    return fuse_get_context()->pid == announcer;
}

static int op_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    (void)fi;
    if (strcmp(path, "/") == 0) {
        *st = (struct stat){.st_mode = S_IFDIR | 0555, .st_nlink = 2};
        return 0;
    }
    if (!is_announcers())
        return stat_file(path + 1, st);
    if (!is_told(path + 1))
        return -ENOENT;
    if (stat_file(path + 1, st) < 0) /* gone, and to be announced */
        *st = (struct stat){.st_mode = S_IFREG | 0444, .st_nlink = 1};
    return 0;
}

static int op_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
    DIR *dir = fdopendir(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const struct dirent *entry;
    struct stat st;

    (void)path, (void)offset, (void)fi, (void)flags;
    while (dir && (entry = readdir(dir))) {
        if (stat_file(entry->d_name, &st) == 0)
            fill(buffer, entry->d_name, &st, 0, 0);
    }
    return dir ? closedir(dir) : -errno;
}

/* noflush: there is nothing to flush, and it would take the inode's lock. */
static int op_open(const char *path, struct fuse_file_info *fi)
{
    int fd = -1;

    if (!is_announcers()) {
        if ((fi->flags & O_ACCMODE) != O_RDONLY)
            return -EROFS;
        fd = openat(directory, path + 1, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return -errno;
    }
    fi->noflush = 1;
    fi->fh = (uint64_t)fd;
    return 0;
}

static int op_read(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *fi)
{
    (void)path;
    return (int)pread((int)fi->fh, buffer, size, offset);
}

static int op_release(const char *path, struct fuse_file_info *fi)
{
    (void)path;
    return (int)fi->fh >= 0 ? close((int)fi->fh) : 0;
}

/* The announcer's: nothing is done, and the kernel makes the event. */
static int op_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
    (void)path, (void)size, (void)fi;
    return is_announcers() ? 0 : -EROFS;
}

static int op_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    (void)mode;
    if (!is_announcers())
        return -EROFS;
    set_told(path + 1, 1);
    return op_open(path, fi);
}

static int op_unlink(const char *path)
{
    if (!is_announcers())
        return -EROFS;
    set_told(path + 1, 0);
    return 0;
}

/* ---- the announcer: a process, without /dev/fuse; for the server may die while it waits for an answer */

/* By path, but only on the mount that is meant: it may be covered, or gone. This statx asks nobody. */
static int announce(const Request *request)
{
    int mount = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1, result = -1;
    int flags = O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC; /* a reader may hold a lease */
    struct statx sx;

    if (mount < 0 || statx(mount, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &sx) < 0 ||
        makedev(sx.stx_dev_major, sx.stx_dev_minor) != request->dev) {
        errno = ESTALE;
    } else if (request->op == UNLINK) {
        result = unlinkat(mount, request->name, 0); /* DELETE; DELETE_SELF */
    } else {
        /* To the true size: O_TRUNC would take the pages away from who has it mapped. */
        fd = openat(mount, request->name, flags | (request->op == CREATE ? O_CREAT | O_EXCL : 0), 0444);
        result = fd < 0 ? -1 : ftruncate(fd, request->size); /* CREATE; MODIFY */
    }
    int error = result < 0 ? errno : 0;
    close(fd);    /* CLOSE_WRITE */
    close(mount); /* what is open keeps it from being unmounted */
    return error;
}

static void run_announcer(int socket)
{
    Request request;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (recv(socket, &request, sizeof request, 0) == sizeof request) {
        int error = announce(&request);

        if (send(socket, &error, sizeof error, MSG_NOSIGNAL) != sizeof error)
            break;
    }
    _exit(0);
}

/* ---- the thread that finds out: it waits for the announcer, so no handler may wait for it */

static void ask(int op, dev_t dev, const char *name, off_t size)
{
    Request request = {.op = op, .dev = dev, .size = size};
    int error = ECONNRESET;

    strncpy(request.name, name, NAME_MAX);
    (void)send(announcer_socket, &request, sizeof request, MSG_NOSIGNAL);
    (void)recv(announcer_socket, &error, sizeof error, 0);
    if (error)
        fprintf(stderr, "mirrorfs: %s: could not be announced: %s\n", name, strerror(error));
}

/* Whatever the event was: there is to tell what differs from what was told. A name that went and came again
 * meanwhile has changed. */
static void tell(dev_t dev, const char *name)
{
    struct stat st = {0};
    int there = stat_file(name, &st) == 0, known = is_told(name);

    if (there || known)
        ask(!there ? UNLINK : known ? MODIFY : CREATE, dev, name, st.st_size);
}

static void *watch(void *data)
{
    _Alignas(struct inotify_event) char buffer[4096];
    struct statx sx = {0};
    ssize_t got;

    statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC, 0, &sx);
    while ((got = read(queue, buffer, sizeof buffer)) > 0) {
        for (char *at = buffer; at < buffer + got;) {
            const struct inotify_event *event = (const void *)at;

            if (event->len > 0)
                tell(makedev(sx.stx_dev_major, sx.stx_dev_minor), event->name);
            at += sizeof *event + event->len;
        }
    }
    return data;
}

/* Nothing is to be known without a question: the announcer and the others get different answers. */
static void *op_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    pthread_t thread;

    (void)connection;
    config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
    config->direct_io = config->hard_remove = 1;
    return pthread_create(&thread, NULL, watch, NULL) == 0 ? NULL : (perror("mirrorfs"), exit(1), NULL);
}

int main(int argc, char **argv)
{
    static const struct fuse_operations ops = {
        op_getattr,         .unlink = op_unlink,   .truncate = op_truncate, .open = op_open,
        .read = op_read,    .release = op_release, .readdir = op_readdir,   .init = op_init,
        .create = op_create};
    char foreground[] = "-f", threads[] = "-omax_threads=10";
    const struct dirent *entry;
    struct stat st;
    int ends[2];

    if (argc != 3)
        return fprintf(stderr, "usage: mirrorfs DIRECTORY MOUNTPOINT\n"), 2;
    mountpoint = realpath(argv[2], NULL);
    directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    queue = inotify_init1(IN_CLOEXEC);
    if (!mountpoint || directory < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
        inotify_add_watch(queue, argv[1], IN_CREATE | IN_DELETE | IN_MOVE | IN_MODIFY | IN_CLOSE_WRITE) < 0)
        return perror("mirrorfs"), 1;

    DIR *dir = fdopendir(dup(directory)); /* what is there now nobody need be told of */
    while (dir && (entry = readdir(dir))) {
        if (stat_file(entry->d_name, &st) == 0)
            set_told(entry->d_name, 1);
    }
    announcer = fork(); /* before there is a mount or a thread: so it has neither */
    if (announcer == 0)
        run_announcer(ends[1]);
    close(ends[1]);
    announcer_socket = ends[0];
    return fuse_main(4, ((char *[]){argv[0], foreground, threads, argv[2], NULL}), &ops, NULL);
}
