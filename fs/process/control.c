/* SPDX-License-Identifier: Apache-2.0 */
/* control: sending and receiving; see control.h. */
#include "process/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "open.h"

/* Room for one descriptor beside the message. */
typedef union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
} Control;

gboolean sfs_control_pair(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;
}

gboolean sfs_control_send(int socket, SfsControlMessage message, int fd)
{
    Control control = {0};
    struct iovec iov = {&message, sizeof message};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    if (fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof control;

        struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    do {
        sent = sendmsg(socket, &msg, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == sizeof message;
}

gboolean sfs_control_receive(int socket, SfsControlMessage *message, int *fd)
{
    Control control = {0};
    struct iovec iov = {message, sizeof *message};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         /* The space that is taken for alignment would hold a second descriptor. */
                         .msg_controllen = CMSG_LEN(sizeof *fd)};
    ssize_t got;

    *fd = -1;
    do {
        got = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    const struct cmsghdr *header = got >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(header), sizeof *fd);
    if (got == sizeof *message && !(msg.msg_flags & MSG_TRUNC))
        return TRUE;
    shield_fd_close(*fd); /* what is too short or too long is no message */
    *fd = -1;
    return FALSE;
}
