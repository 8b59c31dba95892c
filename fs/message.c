/* SPDX-License-Identifier: Apache-2.0 */
/* message: sending and receiving; see message.h. */
#include "message.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

gboolean sfs_message_pair(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;
}

gboolean sfs_message_send(int socket, SfsMessage message)
{
    int word = message;
    ssize_t sent;

    do {
        sent = send(socket, &word, sizeof word, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == sizeof word;
}

gboolean sfs_message_receive(int socket, SfsMessage *message)
{
    int word;
    ssize_t got;

    do {
        got = recv(socket, &word, sizeof word, 0);
    } while (got < 0 && errno == EINTR);
    *message = (SfsMessage)word;
    return got == sizeof word;
}
