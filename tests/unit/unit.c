/* SPDX-License-Identifier: Apache-2.0 */
/* unit: what the unit tests share; see unit.h. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"

#define AGE_USEC 50000    /* more than the two ticks for which a stamp is not trusted */
#define USUAL_ROUNDS 2000 /* what SHIELD_ROUNDS is when it isn't set */
#define WAIT_USEC (60 * G_USEC_PER_SEC)

UnitDir *unit_dir_new(void)
{
    UnitDir *dir = g_new0(UnitDir, 1);
    g_autofree char *made = g_dir_make_tmp("shield-unit-XXXXXX", NULL);

    g_assert_nonnull(made);
    char *resolved = realpath(made, NULL);
    g_assert_nonnull(resolved);
    dir->path = g_strdup(resolved);
    free(resolved);
    dir->fd = open(dir->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(dir->fd, >=, 0);
    return dir;
}

static int make_accessible(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    if (type == FTW_D || type == FTW_DNR)
        (void)chmod(path, 0700);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void remove_tree(const char *path)
{
    if (geteuid() != 0) /* nftw tells of a directory before it enters it */
        (void)nftw(path, make_accessible, 16, FTW_PHYS);
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void unit_dir_free(UnitDir *dir)
{
    close(dir->fd);
    remove_tree(dir->path);
    g_free(dir->path);
    g_free(dir);
}

char *unit_path(const UnitDir *dir, const char *name)
{
    return g_build_filename(dir->path, name, NULL);
}

int unit_open_for_writing(const UnitDir *dir, const char *name)
{
    int fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

void unit_write_bytes(const UnitDir *dir, const char *name, const void *bytes, gsize len)
{
    int fd = unit_open_for_writing(dir, name);

    for (gsize done = 0; done < len;) {
        ssize_t wrote = write(fd, (const char *)bytes + done, len - done);

        g_assert_cmpint(wrote, >, 0);
        done += (gsize)wrote;
    }
    g_assert_no_errno(close(fd));
}

void unit_write(const UnitDir *dir, const char *name, const char *text)
{
    unit_write_bytes(dir, name, text, strlen(text));
}

void unit_mkdir(const UnitDir *dir, const char *name)
{
    g_autofree char *path = unit_path(dir, name);

    g_assert_no_errno(g_mkdir_with_parents(path, 0755));
}

void unit_link(const UnitDir *dir, const char *target, const char *name)
{
    g_assert_no_errno(symlinkat(target, dir->fd, name));
}

void unit_fifo(const UnitDir *dir, const char *name)
{
    g_assert_no_errno(mknodat(dir->fd, name, S_IFIFO | 0644, 0));
}

void unit_socket(const UnitDir *dir, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", dir->path, name), <,
                    (int)sizeof address.sun_path);
    g_assert_no_errno(bind(fd, (const struct sockaddr *)&address, sizeof address));
    close(fd);
}

void unit_remove(const UnitDir *dir, const char *name)
{
    g_autofree char *path = unit_path(dir, name);

    remove_tree(path);
}

void unit_set_mtime(const UnitDir *dir, const char *name, gint64 sec, long nsec)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = sec, .tv_nsec = nsec}};

    g_assert_no_errno(utimensat(dir->fd, name, times, AT_SYMLINK_NOFOLLOW));
}

struct stat unit_stat(const UnitDir *dir, const char *name)
{
    struct stat st;

    g_assert_no_errno(fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW));
    return st;
}

int unit_open_dir(const UnitDir *dir, const char *name)
{
    int fd = openat(dir->fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

void unit_wait(gboolean (*condition)(void *data), void *data)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_USEC;

    while (!condition(data)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(500);
    }
}

static gboolean is_past(void *data)
{
    return g_get_real_time() > *(const gint64 *)data;
}

void unit_age(const UnitDir *dir, const char *name)
{
    struct stat st = unit_stat(dir, name);
    gint64 old = (gint64)st.st_ctim.tv_sec * G_USEC_PER_SEC + st.st_ctim.tv_nsec / 1000 + AGE_USEC;

    unit_wait(is_past, &old);
}

guint64 unit_naps(pid_t tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/status", (int)tid);
    g_autofree char *status = NULL;

    g_assert_true(g_file_get_contents(path, &status, NULL, NULL));
    const char *line = strstr(status, "\nvoluntary_ctxt_switches:");
    g_assert_nonnull(line);
    return g_ascii_strtoull(strchr(line, ':') + 1, NULL, 10);
}

typedef struct {
    pid_t tid;
    guint64 more_than;
} Naps;

static gboolean has_napped(void *data)
{
    const Naps *naps = data;

    return unit_naps(naps->tid) > naps->more_than;
}

void unit_wait_for_naps(pid_t tid, guint64 more_than)
{
    Naps naps = {tid, more_than};

    unit_wait(has_napped, &naps);
}

guint unit_rounds(guint by_default)
{
    const char *rounds = g_getenv("SHIELD_ROUNDS");
    guint64 asked = rounds && *rounds ? g_ascii_strtoull(rounds, NULL, 10) : USUAL_ROUNDS;

    return (guint)CLAMP(by_default * asked / USUAL_ROUNDS, 1, G_MAXINT);
}

void unit_assert_list(const ShieldList *list, const char *lines)
{
    g_assert_nonnull(list);
    g_autoptr(GBytes) text = shield_list_render(list);

    unit_assert_text(text, lines);
}

void unit_assert_text(GBytes *bytes, const char *text)
{
    g_assert_nonnull(bytes);
    gsize len;
    const char *got = g_bytes_get_data(bytes, &len);

    g_assert_cmpmem(got, len, text, strlen(text));
}

void unit_assert_error(const GError *error, int code, const char *message)
{
    g_assert_error(error, SHIELD_ERROR, code);
    if (message)
        g_assert_cmpstr(error->message, ==, message);
}

ShieldList *unit_list(const char *text)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));

    return shield_list_parse(bytes);
}

char *unit_meeting_name(guint n)
{
    GString *name = g_string_new(NULL);

    for (int pair = 0; pair < 12; pair++, n /= 2)
        g_string_append(name, n % 2 ? "bA" : "ab");
    return g_string_free(name, FALSE);
}
