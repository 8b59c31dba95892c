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
#include "times.h"
#include "view/attributes.h"
#include "view/contents.h"
#include "view/index.h"
#include "view/status.h"
#include "view/view_private.h"

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

/* What the owner of the backing file is denied, nobody is shown as having. */
static mode_t deny_with_owner(mode_t mode, mode_t backing)
{
    if (!(backing & S_IRUSR))
        mode &= ~(mode_t)0444;
    if (S_ISDIR(backing) && !(backing & S_IXUSR))
        mode &= ~(mode_t)0111;
    return mode;
}

/* When the last bundle came or went. It is known as long as no event may have told of another. */
static struct timespec last_change(SfsView *view)
{
    guint64 now;
    gboolean settled = sfs_index_is_settled(view->index, &now); /* else what has come is not watched yet */
    ShieldScan scan = {0};

    g_mutex_lock(&view->lock);
    struct timespec known = view->changed;
    gboolean holds = settled && view->changed_mark == now + 1;
    g_mutex_unlock(&view->lock);
    if (holds)
        return known;

    shield_catalog_visit(view->catalog, &scan);
    SHIELD_AUTO_LOCK(&view->lock);
    view->changed = scan.latest;
    view->changed_mark = settled ? now + 1 : 0;
    return scan.latest;
}

/* The root belongs to who mounted. It is open to all who get in: what each of them is to see in it is found
 * out when he lists it, and what he may do there, in each container. */
static int root_attributes(SfsView *view, struct stat *st)
{
    guint count;
    int errnum = sfs_view_count_containers(view, &count);

    if (errnum)
        return errnum;

    struct timespec changed = last_change(view);
    st->st_uid = getuid();
    st->st_gid = getgid();
    st->st_mode = sfs_sight_let_announcer(view, SFS_DIRECTORY_MODE, st->st_uid);
    st->st_nlink = 3 + count; /* ".", ".." of .shieldfs, and of each container */
    set_times(st, changed.tv_sec == 0 ? view->started : changed);
    return 0;
}

static int meta_attributes(SfsView *view, SfsNode *node, gboolean at_once, struct stat *st)
{
    gboolean directory = node->kind == SFS_META;

    st->st_uid = getuid();
    st->st_gid = getgid();
    st->st_mode =
        (directory ? SFS_DIRECTORY_MODE : SFS_FILE_MODE) & (view->allow_other ? META_LEFT : (mode_t)~0);
    st->st_nlink = directory ? 2 : 1;
    st->st_mode = sfs_sight_let_announcer(view, st->st_mode, st->st_uid);
    set_times(st, view->started);
    if (directory)
        return 0;

    /* The metrics have no size, for what an open gives is made by it; and a time of their own would make tar
     * take them for changed while it reads them. */
    if (node->kind == SFS_STATUS) {
        gsize size;
        guint64 serial;

        set_times(st, at_once ? sfs_status_last(view->status, &size, &serial)
                              : sfs_status_time(view->status, &size));
        set_size(st, (off_t)size);
    } else if (node->kind == SFS_VERSION) {
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

static int container_attributes(SfsView *view, SfsNode *node, SfsSight *sight)
{
    struct stat backing = {0}, *st = &sight->st;
    int errnum = stat_container(view, node->container, &backing);

    if (errnum)
        return errnum;
    st->st_uid = backing.st_uid;
    st->st_gid = backing.st_gid;
    st->st_nlink = backing.st_nlink;
    set_times(st, backing.st_mtim);
    st->st_mode = deny_with_owner(SFS_DIRECTORY_MODE, backing.st_mode);
    if (view->allow_other)
        sfs_sight_judge_container(view, node, sight);
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
static int backing_attributes(SfsView *view, SfsNode *node, SfsState *state, SfsSight *sight)
{
    struct stat *st = &sight->st;
    gboolean directory = node->kind == SFS_HOOKS;
    mode_t base = directory ? SFS_DIRECTORY_MODE : SFS_FILE_MODE;
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
    if (view->allow_other)
        sfs_sight_judge_backing(view, node, parent, base, sight);
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

/* Without allow_other: nobody is shown as having what the owner of a list is denied. */
static mode_t computed_mode(const SfsNode *node, int dirfd, const ShieldSnapshot *snapshot)
{
    mode_t mode = SFS_FILE_MODE;

    for (guint i = 0; i < node->computed->n_sources; i++) {
        mode_t source = source_mode(node, i, dirfd, snapshot);

        if (source)
            mode = deny_with_owner(mode, source);
    }
    return mode;
}

/* snapshot: what the size and the times are of, or NULL. current: and it was made of the lists as they are.
 */
static int fill_computed(SfsView *view, SfsNode *node, int dirfd, const ShieldSnapshot *snapshot,
                         gboolean current, SfsSight *sight)
{
    struct stat backing = {0}, *st = &sight->st;
    int errnum = stat_container(view, node->container, &backing);

    if (errnum)
        return errnum;
    st->st_uid = backing.st_uid;
    st->st_gid = backing.st_gid;
    st->st_nlink = 1;
    if (view->allow_other)
        sfs_sight_judge_computed(view, node, dirfd, snapshot, current, sight);
    else
        st->st_mode = computed_mode(node, dirfd, current ? snapshot : NULL);
    set_size(st, snapshot ? (off_t)snapshot->size : 0);
    if (!snapshot || snapshot->error)
        st->st_mode = deny_others(st->st_mode);
    sight->bare = snapshot && snapshot->n_readings
                      ? shield_latest_time(dirfd, snapshot->readings, snapshot->n_readings)
                      : backing.st_mtim;
    set_times(st, snapshot ? snapshot->mtime : backing.st_mtim);
    return 0;
}

static void start(const SfsNode *node, SfsSight *sight)
{
    *sight = (SfsSight){.st = {.st_ino = node->ino, .st_blksize = 4096}};
}

gboolean sfs_attributes_warm(SfsView *view, SfsNode *node, SfsSight *sight, int *errnum)
{
    g_autoptr(SfsDirectory) directory = NULL;
    g_autoptr(ShieldSnapshot) snapshot = NULL;

    if (node->kind != SFS_COMPUTED) {
        *errnum = sfs_attributes_get(view, node, sight);
        return TRUE;
    }
    start(node, sight);
    directory = sfs_view_open_container(view, node->container);
    *errnum = directory ? 0 : errno;
    if (!directory)
        return TRUE;
    snapshot = shield_bundle_known(node->container->bundle, directory->fd, node->computed);
    if (snapshot)
        *errnum = fill_computed(view, node, directory->fd, snapshot, TRUE, sight);
    return snapshot != NULL;
}

static int computed_attributes(SfsView *view, SfsNode *node, gboolean at_once, SfsSight *sight)
{
    g_autoptr(SfsDirectory) directory = sfs_view_open_container(view, node->container);
    ShieldBundle *bundle = node->container->bundle;

    if (!directory)
        return errno;

    g_autoptr(ShieldSnapshot) snapshot = at_once ? shield_bundle_last(bundle, node->computed)
                                                 : shield_bundle_peek(bundle, directory->fd, node->computed);
    return fill_computed(view, node, directory->fd, snapshot, FALSE, sight);
}

static int attributes(SfsView *view, SfsNode *node, gboolean at_once, SfsState *state, SfsSight *sight)
{
    start(node, sight);
    switch (node->kind) {
    case SFS_ROOT:
        return root_attributes(view, &sight->st);
    case SFS_META:
    case SFS_VERSION:
    case SFS_STATUS:
    case SFS_METRICS:
        return meta_attributes(view, node, at_once, &sight->st);
    case SFS_CONTAINER:
        return container_attributes(view, node, sight);
    case SFS_COMPUTED:
        return computed_attributes(view, node, at_once, sight);
    case SFS_HOOKS:
    case SFS_RAW:
    default:
        return backing_attributes(view, node, state, sight);
    }
}

int sfs_attributes_get(SfsView *view, SfsNode *node, SfsSight *sight)
{
    SfsState state = {0};

    return attributes(view, node, FALSE, &state, sight);
}

int sfs_attributes_at_once(SfsView *view, SfsNode *node, SfsSight *sight)
{
    SfsState state = {0};

    return attributes(view, node, TRUE, &state, sight);
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
    g_auto(SfsSight) sight = {0};

    start(node, &sight);
    SfsFinding finding =
        finding_of(directory ? fill_computed(view, node, directory->fd, last, current, &sight) : errno);

    now->st = sight.st;
    now->serial = last ? last->serial : 0;
    return finding == SFS_CLEAR && !last ? SFS_COLD : finding;
}

/* As it was put together last. */
static SfsFinding status_state(SfsView *view, SfsNode *node, SfsState *now)
{
    g_auto(SfsSight) sight = {0};
    SfsFinding finding;
    gsize size;

    start(node, &sight);
    finding = finding_of(meta_attributes(view, node, TRUE, &sight.st));
    now->st = sight.st;

    set_times(&now->st, sfs_status_last(view->status, &size, &now->serial));
    set_size(&now->st, (off_t)size);
    return finding == SFS_CLEAR && now->serial == 0 ? SFS_COLD : finding;
}

SfsFinding sfs_attributes_current_state(SfsView *view, SfsNode *node, SfsState *now)
{
    g_auto(SfsSight) sight = {0};

    if (node->kind == SFS_COMPUTED)
        return computed_state(view, node, FALSE, now);

    if (node->kind == SFS_STATUS)
        return status_state(view, node, now);

    SfsFinding finding = finding_of(attributes(view, node, FALSE, now, &sight));
    now->st = sight.st;
    return finding;
}

SfsFinding sfs_attributes_just_computed(SfsView *view, SfsNode *node, SfsState *now)
{
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
