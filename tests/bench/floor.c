/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor: a filesystem with the tree of a view, whose answers are constants: nothing in user space is quicker.
 * The benchmark compares shieldfs with it. It must not read a state.
 *
 * With --strict it makes the system calls that a fresh answer needs at least, for each OPEN and GETATTR: it
 * looks twice whether there are events, and once at each of the three lists.
 */
#define FUSE_USE_VERSION 314

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <getopt.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define ATTR_TIMEOUT 0.0
#define STATUS_DIR ".shieldfs"

static const char *const lists[] = {"profile.allowed", "live.allowed", "deny.list"};
static const char *const files[] = {
    "allowed", "denied", "deny.list", "effective", "effective.domains", "live.allowed", "profile.allowed",
};
static const char *const status_files[] = {"status"};

/* Node ids: the root, then each container and its files, then .shieldfs and its own. */
#define STRIDE (G_N_ELEMENTS(files) + 1)
#define FIRST (FUSE_ROOT_ID + 1)

static guint64 containers = 10;
static gsize size = 2600;
static double entry_timeout = 1.0;
static char *content;
static uid_t owner;
static int events = -1, bundle = -1; /* for --strict */

/* A node id, taken apart. */
typedef struct {
    gboolean root, directory;
    guint64 container; /* .shieldfs is the one after the last */
    guint file;
} Node;

static Node node_of(fuse_ino_t ino)
{
    Node node = {.root = ino == FUSE_ROOT_ID};

    node.directory = node.root || (ino - FIRST) % STRIDE == 0;
    if (!node.root) {
        node.container = (ino - FIRST) / STRIDE;
        node.file = node.directory ? 0 : (guint)((ino - FIRST) % STRIDE - 1);
    }
    return node;
}

static fuse_ino_t directory_ino(guint64 container)
{
    return FIRST + container * STRIDE;
}

/* The names in a directory below the root. */
static const char *const *names_in(guint64 container, guint *count)
{
    *count = container == containers ? G_N_ELEMENTS(status_files) : G_N_ELEMENTS(files);
    return container == containers ? status_files : files;
}

static void container_name(guint64 container, char *name, gsize len)
{
    if (container == containers)
        g_strlcpy(name, STATUS_DIR, len);
    else
        g_snprintf(name, (gulong)len, "c%05" G_GUINT64_FORMAT, container);
}

static struct stat attributes(fuse_ino_t ino)
{
    gboolean directory = node_of(ino).directory;

    return (struct stat){
        .st_ino = ino,
        .st_mode = directory ? S_IFDIR | 0500 : S_IFREG | 0400,
        .st_nlink = directory ? 2 : 1,
        .st_uid = owner,
        .st_size = directory ? 0 : (off_t)size,
        .st_mtime = 1700000000,
    };
}

static void look_for_changes(void)
{
    char buffer[4096];
    struct stat st;

    if (bundle < 0)
        return;
    for (int i = 0; i < 2; i++) {
        if (read(events, buffer, sizeof buffer) >= 0 || errno != EAGAIN)
            abort(); /* nothing is watched */
    }
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++) {
        if (fstatat(bundle, lists[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
            abort();
    }
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    if (conn->capable & FUSE_CAP_PARALLEL_DIROPS)
        conn->want |= FUSE_CAP_PARALLEL_DIROPS;
}

/* 0: there is no such name. */
static fuse_ino_t find(fuse_ino_t parent, const char *name)
{
    Node node = node_of(parent);
    guint count;

    if (node.root) {
        if (strcmp(name, STATUS_DIR) == 0)
            return directory_ino(containers);
        guint64 container =
            g_ascii_isdigit(name[0] == 'c' ? name[1] : '\0') ? strtoull(name + 1, NULL, 10) : containers;
        return container < containers ? directory_ino(container) : 0;
    }

    const char *const *names = names_in(node.container, &count);
    for (guint i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0)
            return parent + 1 + i;
    }
    return 0;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    fuse_ino_t ino = find(parent, name);

    if (!ino) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    fuse_reply_entry(req, &(struct fuse_entry_param){.ino = ino,
                                                     .attr = attributes(ino),
                                                     .attr_timeout = ATTR_TIMEOUT,
                                                     .entry_timeout = entry_timeout});
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st = attributes(ino);

    (void)fi;
    if (!node_of(ino).directory)
        look_for_changes();
    fuse_reply_attr(req, &st, ATTR_TIMEOUT);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    look_for_changes();
    fi->direct_io = 1;
    fi->noflush = 1;
    fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t wanted, off_t offset, struct fuse_file_info *fi)
{
    gsize from = MIN((gsize)offset, size);

    (void)ino, (void)fi;
    fuse_reply_buf(req, content + from, MIN(wanted, size - from));
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    fuse_reply_err(req, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fuse_reply_open(req, fi);
}

/* ".", "..", and what is in it, as far as the size goes. */
static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t wanted, off_t offset, struct fuse_file_info *fi)
{
    Node node = node_of(ino);
    guint count = 0;
    const char *const *names = node.root ? NULL : names_in(node.container, &count);
    guint64 last = 2 + (node.root ? containers + 1 : count);
    g_autofree char *buffer = g_malloc(wanted);
    gsize used = 0;

    (void)fi;
    for (guint64 i = (guint64)offset; i < last; i++) {
        char name[32] = "..";
        struct stat st = {.st_ino = FUSE_ROOT_ID, .st_mode = S_IFDIR};

        if (i < 2) {
            name[i + 1] = '\0';
        } else if (node.root) {
            container_name(i - 2, name, sizeof name);
            st.st_ino = directory_ino(i - 2);
        } else {
            g_strlcpy(name, names[i - 2], sizeof name);
            st = (struct stat){.st_ino = ino + i - 1, .st_mode = S_IFREG};
        }
        gsize needed = fuse_add_direntry(req, buffer + used, wanted - used, name, &st, (off_t)i + 1);
        if (needed > wanted - used)
            break;
        used += needed;
    }
    fuse_reply_buf(req, buffer, used);
}

static const struct fuse_lowlevel_ops ops = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .open = op_open,
    .read = op_read,
    .release = op_release,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .releasedir = op_release,
};

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"containers", required_argument, NULL, 'n'},
        {"size", required_argument, NULL, 's'},
        {"entry-timeout", required_argument, NULL, 't'},
        {"strict", required_argument, NULL, 'd'},
        {0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (option) {
        case 'n':
            containers = strtoull(optarg, NULL, 10);
            break;
        case 's':
            size = strtoull(optarg, NULL, 10);
            break;
        case 't':
            entry_timeout = g_ascii_strtod(optarg, NULL);
            break;
        case 'd':
            bundle = open(optarg, O_PATH | O_DIRECTORY | O_CLOEXEC);
            events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
            if (bundle < 0 || events < 0)
                err(EXIT_FAILURE, "%s", optarg);
            break;
        default:
            exit(2);
        }
    }
    if (optind != argc - 1)
        errx(2,
             "usage: floor [--containers N] [--size BYTES] [--entry-timeout SEC] [--strict DIR] MOUNTPOINT");
}

int main(int argc, char **argv)
{
    char *words[] = {argv[0], (char *)"-ofsname=floor,subtype=floor,nosuid,nodev,noexec", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, words);

    parse(argc, argv);
    owner = geteuid();
    content = g_malloc(size + 1);
    for (gsize i = 0; i < size; i++)
        content[i] = i % 13 == 12 ? '\n' : '0';

    struct fuse_session *session = fuse_session_new(&args, &ops, sizeof ops, NULL);
    if (!session || fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, argv[optind]) != 0)
        return EXIT_FAILURE;

    struct fuse_loop_config *config = fuse_loop_cfg_create(); /* as in fs/process/server.c */
    int result = fuse_session_loop_mt(session, config);

    fuse_loop_cfg_destroy(config);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    g_free(content);
    return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
