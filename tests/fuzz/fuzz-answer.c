/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for events/announcer_client: what the server may get from its announcer, if that is in
 * somebody's hands. One answer belongs to one request; what is none ends the announcer. The input is a
 * sequence of packets: whether something is asked before, how many bytes, and these.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "events/announcer_client.h"
#include "fuzz.h"

#define MAX_PACKETS 8

/* What the announcer was asked for is whole. */
static void take_request(int announcer)
{
    SfsAnnouncerRequest request;

    g_assert_cmpint(recv(announcer, &request, sizeof request, MSG_DONTWAIT), ==, sizeof request);
    g_assert_nonnull(memchr(request.path, '\0', sizeof request.path));
}

/* Gives it a packet; FALSE: the client has given up its announcer. */
static gboolean check_packet(SfsAnnouncerClient *client, int announcer, SfsNode *node, GBytes *bytes,
                             gboolean asked)
{
    SfsState now = {0};
    gsize size;
    gconstpointer data = g_bytes_get_data(bytes, &size);
    int errnum = 0, sent = 0;

    if (asked) {
        g_assert_true(sfs_announcer_client_ask(client, node, SFS_ANNOUNCER_MODIFY, &now));
        take_request(announcer);
    }
    g_assert_cmpint(send(announcer, data, size, MSG_NOSIGNAL), ==, (gssize)size);
    gboolean answered = sfs_announcer_client_answer(client, &errnum);
    gboolean whole = size >= sizeof(SfsAnnouncerAnswer);

    if (whole)
        memcpy(&sent, data, sizeof sent);
    g_assert_cmpint(answered, ==, asked);
    g_assert_false(sfs_announcer_client_is_out(client));
    g_assert_cmpint(errnum, ==, whole ? sent : ECONNRESET);
    g_assert_cmpint(sfs_announcer_client_socket(client) >= 0, ==, whole);
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    SfsAnnouncerClient *client = sfs_announcer_client_new();
    SfsTree *tree = sfs_tree_new(1);
    SfsNode *node = sfs_tree_root(tree);
    const SfsAnnouncerAnswer first = {.confined = 1};
    guint before = fuzz_count_descriptors();
    int ends[2];
    gboolean connected = TRUE;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), ==, 0);
    sfs_announcer_client_connect(client, ends[0], getpid());
    g_assert_cmpint(send(ends[1], &first, sizeof first, 0), ==, sizeof first);
    for (guint i = 0; i < MAX_PACKETS && connected && input.size > 0; i++) {
        gboolean asked = fuzz_byte(&input) & 1;
        g_autoptr(GBytes) bytes = fuzz_bytes(&input, fuzz_byte(&input));

        connected = check_packet(client, ends[1], node, bytes, asked);
    }
    sfs_announcer_client_free(client);
    close(ends[1]);
    g_assert_cmpuint(fuzz_count_descriptors(), ==, before);
    sfs_node_unref(node);
    sfs_tree_free(tree);
    return 0;
}
