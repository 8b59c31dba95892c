/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for events/announcer: what it may get from its server, if that is in somebody's hands. Here the
 * view is a directory, with links out of it: whatever is asked, nothing beside it changes, each request has
 * one answer, and what has not the size of a request is the end. The input is a sequence of requests:
 * operation, size, mode, path; or, where there is no such operation, raw bytes, their number first.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "events/announcer.h"
#include "events/announcer_protocol.h"
#include "fuzz.h"
#include "unit.h"

#define MAX_REQUESTS 4

static UnitDir *dir;

static void leave(void)
{
    unit_dir_free(dir);
}

static void lay_out_view(void)
{
    unit_mkdir(dir, "mnt/c/hooks");
    unit_write(dir, "mnt/c/effective", "192.0.2.1\n");
    unit_link(dir, "../beside", "mnt/link");
    unit_link(dir, "../../beside/secret", "mnt/c/link");
    unit_link(dir, "/", "mnt/root");
}

static void lay_out(void)
{
    dir = unit_dir_new();
    unit_mkdir(dir, "beside/empty");
    unit_write(dir, "beside/secret", "secret\n");
    lay_out_view();
    atexit(leave);
}

/* What is beside the view, in one number for each thing that may not change. */
static void look(struct stat stats[4])
{
    stats[0] = unit_stat(dir, "beside");
    stats[1] = unit_stat(dir, "beside/secret");
    stats[2] = unit_stat(dir, "beside/empty");
    stats[3] = unit_stat(dir, ".");
}

static void assert_same(const struct stat before[4], const struct stat now[4])
{
    for (int i = 0; i < 4; i++) {
        g_assert_cmpuint(before[i].st_ino, ==, now[i].st_ino);
        g_assert_cmpuint(before[i].st_mode, ==, now[i].st_mode);
        g_assert_cmpint(before[i].st_size, ==, now[i].st_size);
        g_assert_cmpuint(before[i].st_nlink, ==, now[i].st_nlink);
        g_assert_cmpint(before[i].st_ctim.tv_sec, ==, now[i].st_ctim.tv_sec);
        g_assert_cmpint(before[i].st_ctim.tv_nsec, ==, now[i].st_ctim.tv_nsec);
    }
}

#define CONFINED 1 /* the announcer's first word */

/* TRUE: it is one that is answered. */
static gboolean send_request(FuzzInput *input, int socket)
{
    static const off_t sizes[] = {0, 1, 4096, -1, G_MAXINT64, G_MININT64, 1 << 20};
    SfsAnnouncerRequest request = {.op = fuzz_byte(input)};

    if (request.op == 0 || request.op > SFS_ANNOUNCER_RMDIR + 2) {
        g_autoptr(GBytes) raw = fuzz_bytes(input, fuzz_byte(input));

        (void)send(socket, g_bytes_get_data(raw, NULL), g_bytes_get_size(raw), MSG_NOSIGNAL);
        return FALSE;
    }
    request.size = sizes[fuzz_byte(input) % G_N_ELEMENTS(sizes)];
    request.mode = (mode_t)fuzz_byte(input) << 8 | fuzz_byte(input);
    memset(request.path, 'x', sizeof request.path); /* without an end, if it is long enough */
    g_autofree char *path = fuzz_word(input);
    memcpy(request.path, path, MIN(strlen(path) + 1, sizeof request.path));
    g_assert_cmpint(send(socket, &request, sizeof request, MSG_NOSIGNAL), ==, sizeof request);
    return TRUE;
}

static void check_answers(int socket, guint expected)
{
    SfsAnnouncerAnswer answer;

    g_assert_cmpint(recv(socket, &answer, sizeof answer, MSG_DONTWAIT), ==, sizeof answer);
    g_assert_cmpuint(answer.confined, ==, CONFINED);
    for (guint i = 0; i < expected; i++) {
        g_assert_cmpint(recv(socket, &answer, sizeof answer, MSG_DONTWAIT), ==, sizeof answer);
        g_assert_true(answer.errnum >= 0 && answer.errnum < 4096);
    }
    g_assert_cmpint(recv(socket, &answer, sizeof answer, MSG_DONTWAIT), <=, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    struct stat before[4], now[4];
    guint answered = 0, sent = 0, descriptors;
    gboolean request = TRUE;
    int ends[2];

    if (!dir)
        lay_out();
    look(before);
    descriptors = fuzz_count_descriptors();
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), ==, 0);
    for (; sent < MAX_REQUESTS && input.size > 0 && request; sent++) {
        request = send_request(&input, ends[0]);
        answered += request;
    }
    shutdown(ends[0], SHUT_WR);
    g_autofree char *mountpoint = unit_path(dir, "mnt");
    sfs_announcer_run(mountpoint, before[3].st_dev, ends[1], CONFINED);
    check_answers(ends[0], answered);
    close(ends[0]);
    close(ends[1]);
    g_assert_cmpuint(fuzz_count_descriptors(), ==, descriptors);
    look(now);
    assert_same(before, now);
    if (answered > 0) {
        unit_remove(dir, "mnt");
        lay_out_view();
    }
    return 0;
}
