/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of core/open: links are not followed, what is no file is not opened, nothing blocks, access times
 * stay, and a directory is told from another that took its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "open.h"
#include "unit.h"

/* What shield_open_regular gives for name: the descriptor is closed, 0 or the errno returned. */
static int try_open(int dirfd, const char *name, struct stat *st)
{
    errno = 0;
    g_auto(ShieldFd) fd = shield_open_regular(dirfd, name, st);

    return fd >= 0 ? 0 : errno;
}

static gboolean same_stamp(const struct stat *a, const struct stat *b)
{
    ShieldStamp stamp_a = shield_stamp(a), stamp_b = shield_stamp(b);

    return shield_stamp_equal(&stamp_a, &stamp_b);
}

static void test_regular(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct stat st, expected;
    char bytes[8];

    unit_write(dir, "file", "hello");
    g_auto(ShieldFd) fd = shield_open_regular(dir->fd, "file", &st);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(read(fd, bytes, sizeof bytes), ==, 5);
    g_assert_cmpmem(bytes, 5, "hello", 5);

    expected = unit_stat(dir, "file");
    g_assert_true(same_stamp(&st, &expected));
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
    g_assert_cmpint(write(fd, "x", 1), ==, -1);
}

static void test_missing(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct stat st;

    memset(&st, 0xff, sizeof st);
    g_assert_cmpint(try_open(dir->fd, "nothing", &st), ==, ENOENT);
    g_assert_cmpint((int)st.st_mode, ==, 0);
    unit_write(dir, "file", "");
    g_assert_cmpint(try_open(dir->fd, "file/below", &st), ==, ENOTDIR);
    g_assert_cmpint((int)st.st_mode, ==, 0);
}

static void test_links(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct stat st;

    unit_write(dir, "file", "x");
    unit_link(dir, "file", "good");
    unit_link(dir, "nothing", "dangling");
    unit_link(dir, "self", "self");
    unit_link(dir, "/etc/passwd", "outside");
    static const char *const links[] = {"good", "dangling", "self", "outside"};
    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        g_assert_cmpint(try_open(dir->fd, links[i], &st), ==, ELOOP);
        g_assert_true(S_ISLNK(st.st_mode));
    }
}

static void test_directory_and_socket(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct stat st;

    unit_mkdir(dir, "directory");
    unit_socket(dir, "socket");
    g_assert_cmpint(try_open(dir->fd, "directory", &st), ==, EISDIR);
    g_assert_true(S_ISDIR(st.st_mode));
    g_assert_cmpint(try_open(dir->fd, "socket", &st), ==, EIO);
    g_assert_true(S_ISSOCK(st.st_mode));
}

/* An open that blocked would end in the alarm, one that had an effect would let the writer in. */
static void test_fifo(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct stat st;

    unit_fifo(dir, "fifo");
    alarm(60);
    g_assert_cmpint(try_open(dir->fd, "fifo", &st), ==, EIO);
    alarm(0);
    g_assert_true(S_ISFIFO(st.st_mode));

    g_autofree char *path = unit_path(dir, "fifo");
    g_auto(ShieldFd) reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    g_auto(ShieldFd) writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    g_assert_cmpint(write(writer, "abc", 3), ==, 3);
    g_assert_cmpint(try_open(dir->fd, "fifo", &st), ==, EIO);
    char bytes[4];
    g_assert_cmpint(read(reader, bytes, sizeof bytes), ==, 3); /* it has eaten nothing */
}

static void test_device(void)
{
    g_auto(ShieldFd) dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    g_assert_cmpint(dev, >=, 0);
    g_assert_cmpint(try_open(dev, "null", &st), ==, EIO);
    g_assert_true(S_ISCHR(st.st_mode));
    g_assert_cmpint(try_open(dev, "zero", &st), ==, EIO);
}

/* A file whose owner isn't us can be opened too, only without O_NOATIME. Root may do everything. */
static void test_not_permitted(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct stat st;

    unit_write(dir, "file", "x");
    g_assert_no_errno(fchmodat(dir->fd, "file", 0, 0));
    if (geteuid() != 0) {
        g_assert_cmpint(try_open(dir->fd, "file", &st), ==, EACCES);
        return;
    }
    g_assert_no_errno(fchmodat(AT_FDCWD, dir->path, 0755, 0));
    g_assert_no_errno(fchmodat(dir->fd, "file", 0644, 0));
    g_assert_no_errno(seteuid(65534));
    int other_owner = try_open(dir->fd, "file", &st);
    g_assert_no_errno(seteuid(0));
    g_assert_no_errno(fchmodat(dir->fd, "file", 0600, 0));
    g_assert_no_errno(seteuid(65534));
    int denied = try_open(dir->fd, "file", &st);
    g_assert_no_errno(seteuid(0));
    g_assert_cmpint(other_owner, ==, 0);
    g_assert_cmpint(denied, ==, EACCES);
    g_assert_true(S_ISREG(st.st_mode));
}

static void set_old_atime(const UnitDir *dir, const char *name)
{
    /* Older than mtime, so that relatime would renew it. */
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000001}};

    g_assert_no_errno(utimensat(dir->fd, name, times, 0));
}

static void test_atime(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct stat st;
    struct statvfs vfs;
    char byte;

    unit_write(dir, "file", "x");
    unit_mkdir(dir, "sub");
    set_old_atime(dir, "file");
    set_old_atime(dir, "sub");
    g_auto(ShieldFd) fd = shield_open_regular(dir->fd, "file", &st);
    g_assert_cmpint(read(fd, &byte, 1), ==, 1);
    g_assert_cmpint(unit_stat(dir, "file").st_atim.tv_sec, ==, 1000000000);

    g_auto(ShieldFd) sub = unit_open_dir(dir, "sub");
    g_auto(ShieldFd) listing = shield_open_listing(sub);
    char entries[1024];
    g_assert_cmpint(listing, >=, 0);
    g_assert_cmpint(getdents64(listing, entries, sizeof entries), >, 0);
    g_assert_cmpint(unit_stat(dir, "sub").st_atim.tv_sec, ==, 1000000000);

    /* Only where an ordinary reading would have renewed it does this show anything. */
    g_assert_no_errno(statvfs(dir->path, &vfs));
    if (vfs.f_flag & ST_NOATIME) {
        g_test_skip("the temporary directory is mounted noatime");
        return;
    }
    g_auto(ShieldFd) ordinary = openat(dir->fd, "file", O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(read(ordinary, &byte, 1), ==, 1);
    g_assert_cmpint(unit_stat(dir, "file").st_atim.tv_sec, >, 1000000000);
}

static int try_beneath(const UnitDir *dir, const char *path)
{
    errno = 0;
    g_auto(ShieldFd) fd = shield_open_beneath(dir->fd, path);

    return fd >= 0 ? 0 : errno;
}

static void test_beneath(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_mkdir(dir, "a/b/c");
    unit_write(dir, "a/file", "");
    unit_link(dir, "b", "a/link");
    unit_link(dir, "file", "a/file-link");
    unit_link(dir, "/", "root");
    g_assert_cmpint(try_beneath(dir, "."), ==, 0);
    g_assert_cmpint(try_beneath(dir, ""), ==, 0);
    g_assert_cmpint(try_beneath(dir, "a/b/c"), ==, 0);
    g_assert_cmpint(try_beneath(dir, "a//./b/"), ==, 0);
    g_assert_cmpint(try_beneath(dir, "a/nothing"), ==, ENOENT);
    g_assert_cmpint(try_beneath(dir, "nothing/b"), ==, ENOENT);
    g_assert_cmpint(try_beneath(dir, "a/file"), ==, ENOTDIR);
    g_assert_cmpint(try_beneath(dir, "a/file/c"), ==, ENOTDIR);
    g_assert_cmpint(try_beneath(dir, "a/link"), ==, ELOOP);
    g_assert_cmpint(try_beneath(dir, "a/link/c"), ==, ELOOP);
    g_assert_cmpint(try_beneath(dir, "a/file-link"), ==, ELOOP);
    g_assert_cmpint(try_beneath(dir, "root/etc"), ==, ELOOP);

    g_auto(ShieldFd) within = shield_open_within(dir->fd, "a/b/c");
    g_assert_cmpint(within, >=, 0);
    g_auto(ShieldFd) root = shield_open_beneath(dir->fd, "/");
    g_assert_cmpint(root, >=, 0);
    g_assert_cmpint(shield_open_within(root, "proc/self"), ==, -1);
    g_assert_cmpint(errno == EXDEV || errno == ELOOP, ==, TRUE);

    g_auto(ShieldFd) fd = shield_open_beneath(dir->fd, "a/b");
    struct stat got, expected = unit_stat(dir, "a/b");
    g_assert_no_errno(fstat(fd, &got));
    g_assert_cmpint((int)(got.st_ino == expected.st_ino), ==, TRUE);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
}

/* No descriptor is left open, whatever came of it. */
static void test_no_leaks(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct stat st;
    int before, after;

    unit_mkdir(dir, "a/b");
    unit_write(dir, "file", "");
    unit_link(dir, "file", "link");
    g_assert_cmpint(before = dup(dir->fd), >=, 0);
    close(before);
    for (int i = 0; i < 20; i++) {
        (void)try_beneath(dir, "a/b");
        (void)try_beneath(dir, "a/nothing");
        (void)try_beneath(dir, "file/x");
        (void)try_open(dir->fd, "file", &st);
        (void)try_open(dir->fd, "link", &st);
        (void)try_open(dir->fd, "nothing", &st);
    }
    g_assert_cmpint(after = dup(dir->fd), >=, 0);
    close(after);
    g_assert_cmpint(after, ==, before);
}

/* Without descriptors it fails, and never as if there were no file. */
static void test_no_descriptors(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct rlimit limit, none;
    struct stat st;

    unit_write(dir, "file", "x");
    int next = dup(dir->fd);
    close(next);
    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &limit));
    none = limit;
    for (int spare = 0; spare < 2; spare++) { /* the first open fails, then the second one */
        none.rlim_cur = (rlim_t)next + (rlim_t)spare;
        g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &none));
        int failed = try_open(dir->fd, "file", &st);
        g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &limit));
        g_assert_cmpint(failed, ==, EMFILE);
    }
}

typedef struct {
    struct timespec start;
} Tick;

static gboolean has_ticked(void *data)
{
    const Tick *tick = data;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return shield_time_before(tick->start, now);
}

static void test_identity(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    ShieldIdentity first, same, other;

    unit_mkdir(dir, "bundle");
    int fd = unit_open_dir(dir, "bundle");
    g_assert_true(shield_identity_of(fd, &first));
    unit_write(dir, "bundle/file", ""); /* changes times, but not who it is */
    g_assert_true(shield_identity_of(fd, &same));
    g_assert_true(shield_identity_equal(&first, &same));
    close(fd);

    Tick tick;
    clock_gettime(CLOCK_REALTIME, &tick.start);
    unit_wait(has_ticked, &tick);
    unit_remove(dir, "bundle");
    unit_mkdir(dir, "bundle"); /* ext4 likes to give it the same inode */
    fd = unit_open_dir(dir, "bundle");
    g_assert_true(shield_identity_of(fd, &other));
    close(fd);
    g_assert_false(shield_identity_equal(&first, &other));
    g_assert_false(shield_identity_of(-1, &other));
}

static void test_stamps(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    struct stat first, now;

    unit_write(dir, "file", "1");
    first = now = unit_stat(dir, "file");
    g_assert_true(same_stamp(&first, &now));
    now.st_atim.tv_sec++; /* access is no change */
    g_assert_true(same_stamp(&first, &now));
    now.st_size++;
    g_assert_false(same_stamp(&first, &now));

    now = first;
    now.st_ino++;
    g_assert_false(same_stamp(&first, &now));
    now = first;
    now.st_dev++;
    g_assert_false(same_stamp(&first, &now));
    now = first;
    now.st_mtim.tv_nsec ^= 1;
    g_assert_false(same_stamp(&first, &now));
    now = first;
    now.st_ctim.tv_sec++;
    g_assert_false(same_stamp(&first, &now));
}

static void test_times(void)
{
    const struct timespec a = {5, 999999999}, b = {6, 0}, c = {6, 1};
    struct timespec next = shield_time_next(a);

    g_assert_true(shield_time_equal(next, b));
    next = shield_time_next(b);
    g_assert_true(shield_time_equal(next, c));
    g_assert_true(shield_time_before(a, b));
    g_assert_true(shield_time_before(b, c));
    g_assert_false(shield_time_before(b, b));
    g_assert_false(shield_time_before(c, a));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/open/regular", test_regular);
    g_test_add_func("/open/missing", test_missing);
    g_test_add_func("/open/links", test_links);
    g_test_add_func("/open/directory-and-socket", test_directory_and_socket);
    g_test_add_func("/open/fifo", test_fifo);
    g_test_add_func("/open/device", test_device);
    g_test_add_func("/open/not-permitted", test_not_permitted);
    g_test_add_func("/open/atime", test_atime);
    g_test_add_func("/open/beneath", test_beneath);
    g_test_add_func("/open/no-leaks", test_no_leaks);
    g_test_add_func("/open/no-descriptors", test_no_descriptors);
    g_test_add_func("/open/identity", test_identity);
    g_test_add_func("/open/stamps", test_stamps);
    g_test_add_func("/open/times", test_times);
    return g_test_run();
}
