/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attributes: what stat says of a node of the view; see attributes.h. Size, owner and times are
 * the source's, the number and the link count are the view's own, the mode is what access.h leaves of 0444 or
 * 0555.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "inspect.h"
#include "lock.h"
#include "view/access.h"
#include "view/attributes.h"
#include "view/contents.h"
#include "view/index.h"
#include "view/status.h"
#include "view/view_private.h"

#define FILE_MODE (S_IFREG | 0444)
#define DIRECTORY_MODE (S_IFDIR | 0555)
/* What is left of a mode in .shieldfs with allow_other, for it tells of all containers. */
#define META_LEFT (S_IFMT | 0500)

/* What has size 0 only because it can't be read must not look like an empty file: GNU tar, for one, stores
 * what is empty and readable for everyone without opening it, and would not notice. */
static mode_t deny_others(mode_t mode)
{
    return mode & ~(mode_t)0004;
}

static void set_times(struct stat *st, struct timespec mtime)
{
    st->st_mtim = st->st_atim = st->st_ctim = mtime;
}

static void set_size(struct stat *st, off_t size)
{
    st->st_size = size;
    st->st_blocks = (size + 511) / 512; /* with 0, tools would take the file for a hole */
}

/* With allow_other the kernel checks modes, the announcer's too: it may act on what belongs to who mounted.
 * Whoever else tries is answered EROFS by the server. */
static mode_t let_announcer(SfsView *view, mode_t mode, uid_t uid)
{
    return view->allow_other && uid == geteuid() ? mode | S_IWUSR : mode;
}

/* What the owner of the backing file is denied, nobody is shown as having. */
static mode_t deny_with_owner(mode_t mode, mode_t backing)
{
    if (!(backing & S_IRUSR))
        mode &= ~(mode_t)0444;
    if (S_ISDIR(backing) && !(backing & S_IXUSR))
        mode &= ~(mode_t)0111;
    return mode;
}

/* Takes what the directory that the container's bundle lies in (with inside: the bundle itself) denies, and
 * all above it. */
static void walk_to_bundle(SfsView *view, SfsAccess *access, const SfsContainer *container, gboolean inside)
{
    g_autofree char *source =
        shield_sources_resolved(shield_catalog_sources(view->catalog), container->place->source);
    g_autofree char *below =
        inside ? g_strdup(container->place->path) : g_path_get_dirname(container->place->path);
    g_autofree char *path = source ? g_build_filename(source, below, NULL) : NULL;

    if (path)
        sfs_access_walk(access, path);
    else
        access->left = 0;
}

/* Does to access what name in parent says, at the end or on the way. */
static void judge_child(SfsAccess *access, int parent, const char *name,
                        void (*judge)(SfsAccess *, int, const struct stat *))
{
    g_auto(ShieldFd) fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0)
        judge(access, fd, &st);
    else
        access->left = 0;
}

/* What is left for the root of being searched and of being listed. */
typedef struct {
    SfsAccess search, list;
} RootAccess;

static void judge_holder(int fd, const char *path, guint source, const char *below, void *data)
{
    RootAccess *root = data;
    struct stat st;

    (void)source, (void)below;
    sfs_access_walk(&root->search, path);
    if (fstat(fd, &st) == 0)
        sfs_access_at_the_end(&root->list, fd, &st);
}

/* The root belongs to who mounted. It lists what the directories that hold bundles list, so whoever may not
 * enter or list one of these may not do so here. */
static int root_attributes(SfsView *view, struct stat *st)
{
    RootAccess access = {sfs_access_start(getuid(), getgid()), sfs_access_start(getuid(), getgid())};
    ShieldScan scan = {.visit = view->allow_other ? judge_holder : NULL, .data = &access};
    guint count;
    int errnum = sfs_view_count_containers(view, &count);

    if (errnum)
        return errnum;
    shield_catalog_visit(view->catalog, &scan);
    st->st_uid = getuid();
    st->st_gid = getgid();
    st->st_mode = DIRECTORY_MODE & (S_IFMT | (access.search.left & (0111 | access.list.left)));
    st->st_mode = let_announcer(view, st->st_mode, st->st_uid);
    st->st_nlink = 3 + count; /* ".", ".." of .shieldfs, and of each container */
    set_times(st, scan.latest.tv_sec == 0 ? view->started : scan.latest);
    return 0;
}

static int meta_attributes(SfsView *view, SfsNode *node, gboolean at_once, struct stat *st)
{
    gboolean directory = node->kind == SFS_META;

    st->st_uid = getuid();
    st->st_gid = getgid();
    st->st_mode = (directory ? DIRECTORY_MODE : FILE_MODE) & (view->allow_other ? META_LEFT : (mode_t)~0);
    st->st_nlink = directory ? 2 : 1;
    st->st_mode = let_announcer(view, st->st_mode, st->st_uid);
    set_times(st, view->started);
    if (directory)
        return 0;

    if (node->kind == SFS_STATUS) {
        gsize size;
        guint64 serial;

        set_times(st, at_once ? sfs_status_last(view->status, &size, &serial)
                              : sfs_status_time(view->status, &size));
        set_size(st, (off_t)size);
    } else {
        g_autoptr(GBytes) version = sfs_status_version();

        set_size(st, (off_t)g_bytes_get_size(version));
    }
    return 0;
}

/* The directory of a container as it is known to be still: no event has told of a change since it was asked.
 */
static gboolean recall(SfsView *view, SfsContainer *container, struct stat *backing)
{
    if (!shield_bundle_is_watched(container->bundle) || !sfs_index_is_certain(view->index, container))
        return FALSE;

    SHIELD_AUTO_LOCK(&container->lock);
    *backing = sfs_unpack(&container->st);
    return container->known == g_atomic_int_get(&container->touched);
}

/* touched: the container's, from before it was asked. */
static void remember(SfsContainer *container, int touched, const struct stat *backing)
{
    SHIELD_AUTO_LOCK(&container->lock);

    container->st = sfs_pack(backing);
    container->known = touched;
}

/* What a container's directory is, with the number of links that the view shows; an errno. */
static int stat_container(SfsView *view, SfsContainer *container, struct stat *backing)
{
    int touched = g_atomic_int_get(&container->touched);
    struct stat hooks;

    if (recall(view, container, backing))
        return 0;

    g_autoptr(SfsDirectory) directory = sfs_view_open_container(view, container);
    if (!directory || fstat(directory->fd, backing) < 0)
        return errno;
    backing->st_nlink = 2;
    if (shield_stat(directory->fd, shield_layout_name(SHIELD_HOOKS_DIR), &hooks) == 0 &&
        S_ISDIR(hooks.st_mode))
        backing->st_nlink++;
    remember(container, touched, backing);
    return 0;
}

static void judge_container(SfsView *view, SfsNode *node, const struct stat *backing, struct stat *st)
{
    SfsAccess access = sfs_access_start(backing->st_uid, backing->st_gid);
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(view, node->container);

    walk_to_bundle(view, &access, node->container, FALSE);
    if (directory)
        sfs_access_at_the_end(&access, directory->fd, backing);
    else
        access.left = 0;
    st->st_mode = let_announcer(view, DIRECTORY_MODE & (S_IFMT | access.left), st->st_uid);
}

static int container_attributes(SfsView *view, SfsNode *node, struct stat *st)
{
    struct stat backing = {0};
    int errnum = stat_container(view, node->container, &backing);

    if (errnum)
        return errnum;
    st->st_uid = backing.st_uid;
    st->st_gid = backing.st_gid;
    st->st_nlink = backing.st_nlink;
    set_times(st, backing.st_mtim);
    st->st_mode = deny_with_owner(DIRECTORY_MODE, backing.st_mode);
    if (view->allow_other)
        judge_container(view, node, &backing, st);
    return 0;
}

/* Which file is behind a node, if its number says so: on an overlayfs it says nothing; another file in its
 * place makes an event. */
static void set_file(SfsState *state, SfsDirectory *parent, const struct stat *backing)
{
    if (sfs_directory_is_on_overlay(parent))
        return;
    state->dev = backing->st_dev;
    state->ino = backing->st_ino;
}

/* A raw file or hooks. */
static int backing_attributes(SfsView *view, SfsNode *node, SfsState *state)
{
    struct stat *st = &state->st;
    gboolean directory = node->kind == SFS_HOOKS;
    mode_t base = directory ? DIRECTORY_MODE : FILE_MODE;
    g_autoptr(SfsDirectory) parent = sfs_view_open_parent(view, node);
    struct stat backing;

    if (!parent || shield_stat(parent->fd, node->name, &backing) < 0)
        return errno;
    if (S_ISDIR(backing.st_mode) != directory)
        return ENOENT; /* something else by now */
    set_file(state, parent, &backing);
    st->st_uid = backing.st_uid;
    st->st_gid = backing.st_gid;
    st->st_nlink = directory ? 2 : 1;
    set_size(st, S_ISREG(backing.st_mode) ? backing.st_size : 0);
    set_times(st, backing.st_mtim);
    st->st_ctim = backing.st_ctim;
    st->st_mode = deny_with_owner(base, backing.st_mode);
    if (view->allow_other) {
        SfsAccess access = sfs_access_start(backing.st_uid, backing.st_gid);
        g_autoptr(SfsDirectory) bundle = sfs_view_open_container(view, node->container);

        walk_to_bundle(view, &access, node->container, TRUE);
        if (node->parent->kind == SFS_HOOKS)
            judge_child(&access, bundle ? bundle->fd : -1, node->parent->name, sfs_access_on_the_way);
        judge_child(&access, parent->fd, node->name, sfs_access_at_the_end);
        st->st_mode = let_announcer(view, base & (S_IFMT | access.left), st->st_uid);
    }
    if (!directory && !S_ISREG(backing.st_mode))
        st->st_mode = deny_others(st->st_mode);
    return 0;
}

/* The mode of a list: 0 if there is none. snapshot: what it was made of, as it still is; NULL: it is not
 * known. */
static mode_t source_mode(const SfsNode *node, guint source, int dirfd, const ShieldSnapshot *snapshot)
{
    struct stat st = {0};

    if (snapshot && source < snapshot->n_readings)
        st.st_mode = snapshot->readings[source]->stamp.mode;
    else if (shield_stat(dirfd, shield_layout_name(node->computed->sources[source]), &st) < 0)
        return 0;
    return S_ISREG(st.st_mode) ? st.st_mode : 0;
}

/* Whoever may not read one of the sources may not read what is computed from it. */
static mode_t computed_mode(SfsView *view, SfsNode *node, int dirfd, const struct stat *st,
                            const ShieldSnapshot *snapshot)
{
    SfsAccess access = sfs_access_start(st->st_uid, st->st_gid);
    mode_t mode = FILE_MODE;

    if (view->allow_other)
        walk_to_bundle(view, &access, node->container, TRUE);
    for (guint i = 0; i < node->computed->n_sources; i++) {
        mode_t source = source_mode(node, i, dirfd, snapshot);

        if (!source)
            continue;
        mode = deny_with_owner(mode, source);
        if (view->allow_other)
            judge_child(&access, dirfd, shield_layout_name(node->computed->sources[i]),
                        sfs_access_at_the_end);
    }
    if (view->allow_other)
        mode = let_announcer(view, FILE_MODE & (S_IFMT | access.left), st->st_uid);
    return mode;
}

/* snapshot: what the size and the times are of, or NULL. current: and it was made of the lists as they are.
 */
static int fill_computed(SfsView *view, SfsNode *node, int dirfd, const ShieldSnapshot *snapshot,
                         gboolean current, struct stat *st)
{
    struct stat backing = {0};
    int errnum = stat_container(view, node->container, &backing);

    if (errnum)
        return errnum;
    st->st_uid = backing.st_uid;
    st->st_gid = backing.st_gid;
    st->st_nlink = 1;
    st->st_mode = computed_mode(view, node, dirfd, st, current ? snapshot : NULL);
    set_size(st, snapshot ? (off_t)snapshot->size : 0);
    if (!snapshot || snapshot->error)
        st->st_mode = deny_others(st->st_mode);
    set_times(st, snapshot ? snapshot->mtime : backing.st_mtim);
    return 0;
}

static void start(const SfsNode *node, struct stat *st)
{
    *st = (struct stat){.st_ino = node->ino, .st_blksize = 4096};
}

gboolean sfs_attributes_warm(SfsView *view, SfsNode *node, struct stat *st, int *errnum)
{
    g_autoptr(SfsDirectory) directory = NULL;
    g_autoptr(ShieldSnapshot) snapshot = NULL;

    if (node->kind != SFS_COMPUTED) {
        *errnum = sfs_attributes_get(view, node, st);
        return TRUE;
    }
    start(node, st);
    directory = sfs_view_open_container(view, node->container);
    *errnum = directory ? 0 : errno;
    if (!directory)
        return TRUE;
    snapshot = shield_bundle_known(node->container->bundle, directory->fd, node->computed);
    if (snapshot)
        *errnum = fill_computed(view, node, directory->fd, snapshot, TRUE, st);
    return snapshot != NULL;
}

static int computed_attributes(SfsView *view, SfsNode *node, gboolean at_once, struct stat *st)
{
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(view, node->container);
    ShieldBundle *bundle = node->container->bundle;

    if (!directory)
        return errno;

    g_autoptr(ShieldSnapshot) snapshot = at_once ? shield_bundle_last(bundle, node->computed)
                                                 : shield_bundle_peek(bundle, directory->fd, node->computed);
    return fill_computed(view, node, directory->fd, snapshot, FALSE, st);
}

static int attributes(SfsView *view, SfsNode *node, gboolean at_once, SfsState *state)
{
    struct stat *st = &state->st;

    start(node, st);
    switch (node->kind) {
    case SFS_ROOT:
        return root_attributes(view, st);
    case SFS_META:
    case SFS_VERSION:
    case SFS_STATUS:
        return meta_attributes(view, node, at_once, st);
    case SFS_CONTAINER:
        return container_attributes(view, node, st);
    case SFS_COMPUTED:
        return computed_attributes(view, node, at_once, st);
    case SFS_HOOKS:
    case SFS_RAW:
    default:
        return backing_attributes(view, node, state);
    }
}

int sfs_attributes_get(SfsView *view, SfsNode *node, struct stat *st)
{
    SfsState state = {0};
    int errnum = attributes(view, node, FALSE, &state);

    *st = state.st;
    return errnum;
}

int sfs_attributes_at_once(SfsView *view, SfsNode *node, struct stat *st)
{
    SfsState state = {0};
    int errnum = attributes(view, node, TRUE, &state);

    *st = state.st;
    return errnum;
}

static SfsFinding finding_of(int errnum)
{
    switch (errnum) {
    case 0:
        return SFS_CLEAR;
    case ENOENT:
    case ESTALE:
        return SFS_GONE;
    case EACCES:
    case EPERM:
        return SFS_UNCLEAR;
    default:
        return SFS_FAILED;
    }
}

static SfsFinding computed_state(SfsView *view, SfsNode *node, gboolean current, SfsState *now)
{
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(view, node->container);
    g_autoptr(ShieldSnapshot) last = shield_bundle_last(node->container->bundle, node->computed);
    SfsFinding finding =
        finding_of(directory ? fill_computed(view, node, directory->fd, last, current, &now->st) : errno);

    now->serial = last ? last->serial : 0;
    return finding == SFS_CLEAR && !last ? SFS_COLD : finding;
}

/* As it was put together last. */
static SfsFinding status_state(SfsView *view, SfsNode *node, SfsState *now)
{
    SfsFinding finding = finding_of(meta_attributes(view, node, TRUE, &now->st));
    gsize size;

    set_times(&now->st, sfs_status_last(view->status, &size, &now->serial));
    set_size(&now->st, (off_t)size);
    return finding == SFS_CLEAR && now->serial == 0 ? SFS_COLD : finding;
}

SfsFinding sfs_attributes_current_state(SfsView *view, SfsNode *node, SfsState *now)
{
    start(node, &now->st);
    if (node->kind == SFS_COMPUTED)
        return computed_state(view, node, FALSE, now);

    if (node->kind == SFS_STATUS)
        return status_state(view, node, now);
    return finding_of(attributes(view, node, FALSE, now));
}

SfsFinding sfs_attributes_just_computed(SfsView *view, SfsNode *node, SfsState *now)
{
    start(node, &now->st);
    return computed_state(view, node, TRUE, now);
}

static gboolean is_since_start(const SfsView *view, struct timespec changed)
{
    return shield_time_before(view->started, changed);
}

gboolean sfs_attributes_changed_since_start(SfsView *view, SfsNode *node, const SfsState *now)
{
    g_autoptr(ShieldSnapshot) last = NULL;

    if (node->kind == SFS_RAW)
        return is_since_start(view, now->st.st_ctim);
    if (node->kind == SFS_COMPUTED)
        last = shield_bundle_last(node->container->bundle, node->computed);
    for (guint i = 0; last && i < last->n_readings; i++) {
        if (is_since_start(view, shield_stamp_ctime(&last->readings[i]->stamp)))
            return TRUE;
    }
    return FALSE;
}
