/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for process/control: what either of server and supervisor may get from the other, if that is in
 * somebody's hands. What has not the size of a message is none; a message is what was sent; at most one
 * descriptor comes with it, and no other stays open. The input is a sequence of packets: how many
 * descriptors, how many bytes, and these.
 */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "process/control.h"

#define MAX_DESCRIPTORS 4
#define MAX_PACKETS 8

static void send_packet(int socket, GBytes *bytes, guint descriptors)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
    } control = {0};
    const int fds[MAX_DESCRIPTORS] = {socket, socket, socket, socket};
    gsize size;
    gconstpointer data = g_bytes_get_data(bytes, &size);
    struct iovec iov = {(void *)(uintptr_t)data, size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (descriptors > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
        memcpy(CMSG_DATA(header), fds, descriptors * sizeof(int));
    }
    g_assert_cmpint(sendmsg(socket, &msg, MSG_NOSIGNAL), ==, (gssize)size);
}

static void check_packet(const int ends[2], GBytes *bytes, guint descriptors)
{
    SfsControlMessage message;
    int fd = 0;

    send_packet(ends[0], bytes, descriptors);
    gboolean received = sfs_control_receive(ends[1], &message, &fd);
    g_assert_cmpint(received, ==, g_bytes_get_size(bytes) == sizeof message);
    g_assert_cmpint(fd >= 0, ==, received && descriptors > 0);
    if (received)
        g_assert_cmpmem(&message, sizeof message, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (fd >= 0) {
        g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(fd);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    guint before = fuzz_count_descriptors();
    int ends[2];

    g_assert_true(sfs_control_pair(ends));
    for (guint i = 0; i < MAX_PACKETS && input.size > 0; i++) {
        guint descriptors = fuzz_byte(&input) % (MAX_DESCRIPTORS + 1);
        g_autoptr(GBytes) bytes = fuzz_bytes(&input, fuzz_byte(&input));

        check_packet(ends, bytes, descriptors);
    }
    close(ends[0]);
    close(ends[1]);
    g_assert_cmpuint(fuzz_count_descriptors(), ==, before);
    return 0;
}
