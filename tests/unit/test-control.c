/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of process/control: messages stay whole and in order, a descriptor goes along and is close-on-exec,
 * and the end of the other side is told.
 */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process/control.h"
#include "unit.h"

static void test_messages(void)
{
    int ends[2], fd;
    SfsControlMessage message;

    g_assert_true(sfs_control_pair(ends));
    g_assert_true(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    g_assert_true(sfs_control_send(ends[0], (SfsControlMessage){SFS_CONTROL_OVERDUE, 4711, 0}, -1));
    g_assert_true(sfs_control_send(ends[0], (SfsControlMessage){SFS_CONTROL_END, 0, 0}, -1));
    g_assert_true(sfs_control_receive(ends[1], &message, &fd));
    g_assert_cmpint(message.word, ==, SFS_CONTROL_OVERDUE);
    g_assert_cmpint(message.pid, ==, 4711);
    g_assert_cmpint(fd, ==, -1);
    g_assert_true(sfs_control_receive(ends[1], &message, &fd));
    g_assert_cmpint(message.word, ==, SFS_CONTROL_END);
    close(ends[0]);
    close(ends[1]);
}

static void test_descriptor(void)
{
    int ends[2], pipe_ends[2], fd;
    SfsControlMessage message;
    char byte = 0;

    g_assert_true(sfs_control_pair(ends));
    g_assert_cmpint(pipe2(pipe_ends, O_CLOEXEC), ==, 0);
    g_assert_true(sfs_control_send(ends[0], (SfsControlMessage){SFS_CONTROL_ANNOUNCER, 1, 0}, pipe_ends[1]));
    close(pipe_ends[1]);
    g_assert_true(sfs_control_receive(ends[1], &message, &fd));
    g_assert_cmpint(fd, >=, 0);
    g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    g_assert_cmpint(write(fd, "x", 1), ==, 1);
    g_assert_cmpint(read(pipe_ends[0], &byte, 1), ==, 1);
    g_assert_true(byte == 'x');
    close(fd);
    close(pipe_ends[0]);
    close(ends[0]);
    close(ends[1]);
}

static void test_end(void)
{
    int ends[2], fd;
    SfsControlMessage message;

    g_assert_true(sfs_control_pair(ends));
    close(ends[0]);
    g_assert_false(sfs_control_receive(ends[1], &message, &fd));
    g_assert_cmpint(fd, ==, -1);
    g_assert_false(
        sfs_control_send(ends[1], (SfsControlMessage){SFS_CONTROL_END, 0, 0}, -1)); /* and no SIGPIPE */
    close(ends[1]);
}

/* Sends so many bytes and the writing end of a pipe, and closes that. The pipe's other end. */
static int send_raw(int socket, gsize size)
{
    char bytes[2 * sizeof(SfsControlMessage)] = {0};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {bytes, size};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
    int ends[2];

    g_assert_cmpint(pipe2(ends, O_CLOEXEC | O_NONBLOCK), ==, 0);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof ends[1]);
    memcpy(CMSG_DATA(header), &ends[1], sizeof ends[1]);
    g_assert_cmpint(sendmsg(socket, &msg, 0), ==, (int)size);
    close(ends[1]);
    return ends[0];
}

/* What is too short or too long is no message, and the descriptor that comes with it does not stay open. */
static void test_no_message(void)
{
    static const gsize sizes[] = {1, sizeof(SfsControlMessage) - 1, sizeof(SfsControlMessage) + 1};

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        int ends[2], fd = 0, reader;
        SfsControlMessage message;
        char byte;

        g_assert_true(sfs_control_pair(ends));
        reader = send_raw(ends[0], sizes[i]);
        g_assert_false(sfs_control_receive(ends[1], &message, &fd));
        g_assert_cmpint(fd, ==, -1);
        g_assert_cmpint(read(reader, &byte, 1), ==, 0); /* nobody has the other end */
        close(reader);
        close(ends[0]);
        close(ends[1]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/control/messages", test_messages);
    g_test_add_func("/control/descriptor", test_descriptor);
    g_test_add_func("/control/end", test_end);
    g_test_add_func("/control/no-message", test_no_message);
    return g_test_run();
}
