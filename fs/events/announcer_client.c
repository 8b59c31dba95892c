/* SPDX-License-Identifier: Apache-2.0 */
/* announcer_client: the server's end; see announcer_client.h. */
#include "events/announcer_client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lock.h"
#include "open.h"

#define STUCK_USEC (1000 * 1000)
#define OVERDUE_USEC (5 * 1000 * 1000)
#define COVERED_USEC (1000 * 1000) /* between two looks whether the mount is there to be acted on again */

struct SfsAnnouncerClient {
    GMutex lock;      /* protects the rest */
    int socket;       /* -1: no announcer */
    pid_t pid;        /* 0: none */
    guint32 confined; /* its first word; 0: it has yet to come */
    gboolean ever;
    guint connected;      /* so many have come */
    gint64 covered_until; /* 0: the announcer finds the mount; else when to look again whether it does */
    SfsNode *out;         /* a reference to what the request that is out is about; NULL: none is */
    SfsAnnouncerOp op;    /* what it asks for */
    gint64 since;         /* when it went out */
    gboolean overdue;     /* somebody was told that it is taking too long */
    gboolean lost;        /* the announcer that has it is gone: no answer comes, nor a hang-up to poll for */
};

SfsAnnouncerClient *sfs_announcer_client_new(void)
{
    SfsAnnouncerClient *client = g_new0(SfsAnnouncerClient, 1);

    client->socket = -1;
    g_mutex_init(&client->lock);
    return client;
}

void sfs_announcer_client_free(SfsAnnouncerClient *client)
{
    shield_fd_close(client->socket);
    g_clear_pointer(&client->out, sfs_node_unref);
    g_mutex_clear(&client->lock);
    g_free(client);
}

void sfs_announcer_client_connect(SfsAnnouncerClient *client, int socket, pid_t pid)
{
    SHIELD_AUTO_LOCK(&client->lock);

    shield_fd_close(client->socket);
    client->socket = socket;
    client->pid = pid;
    client->confined = 0;
    client->connected += socket >= 0;
    client->lost |= client->out != NULL;
}

int sfs_announcer_client_socket(SfsAnnouncerClient *client)
{
    SHIELD_AUTO_LOCK(&client->lock);

    return client->socket;
}

const char *sfs_announcer_client_state(SfsAnnouncerClient *client)
{
    SHIELD_AUTO_LOCK(&client->lock);

    if (client->covered_until || !client->ever)
        return "stopped";
    if (client->socket < 0 || !client->confined)
        return "restarting";
    return client->out && g_get_monotonic_time() - client->since > STUCK_USEC ? "stuck" : "ok";
}

guint sfs_announcer_client_restarts(SfsAnnouncerClient *client)
{
    SHIELD_AUTO_LOCK(&client->lock);

    return client->connected - MIN(client->connected, 1);
}

guint32 sfs_announcer_client_confined(SfsAnnouncerClient *client)
{
    SHIELD_AUTO_LOCK(&client->lock);

    return client->confined;
}

pid_t sfs_announcer_client_overdue(SfsAnnouncerClient *client)
{
    SHIELD_AUTO_LOCK(&client->lock);

    if (!client->out || client->lost || client->overdue ||
        g_get_monotonic_time() - client->since < OVERDUE_USEC)
        return 0;
    client->overdue = TRUE;
    return client->pid;
}

gint64 sfs_announcer_client_patience(SfsAnnouncerClient *client)
{
    SHIELD_AUTO_LOCK(&client->lock);

    if (!client->out || client->overdue)
        return -1;
    return client->since +
           (g_get_monotonic_time() - client->since > STUCK_USEC ? OVERDUE_USEC : STUCK_USEC + 1000);
}

gint64 sfs_announcer_client_covered_until(SfsAnnouncerClient *client)
{
    SHIELD_AUTO_LOCK(&client->lock);

    return client->covered_until;
}

gboolean sfs_announcer_client_is_announcer(SfsAnnouncerClient *client, pid_t pid)
{
    SHIELD_AUTO_LOCK(&client->lock);

    /* FUSE gives pid 0 for callers outside our pid namespace. */
    return pid > 0 && pid == client->pid;
}

SfsNode *sfs_announcer_client_creating(SfsAnnouncerClient *client, guint64 parent, const char *name)
{
    SHIELD_AUTO_LOCK(&client->lock);

    if (!client->out || (client->op != SFS_ANNOUNCER_CREATE && client->op != SFS_ANNOUNCER_MKDIR) ||
        client->out->parent->ino != parent || strcmp(client->out->name, name) != 0)
        return NULL;
    return sfs_node_ref(client->out);
}

gboolean sfs_announcer_client_is_out(SfsAnnouncerClient *client)
{
    SHIELD_AUTO_LOCK(&client->lock);

    return client->out != NULL;
}

static void append_path(GString *path, const SfsNode *node)
{
    if (node->parent && node->parent->parent) {
        append_path(path, node->parent);
        g_string_append_c(path, '/');
    }
    g_string_append(path, node->name);
}

char *sfs_announcer_client_path(const SfsNode *node)
{
    GString *path = g_string_new(NULL);

    append_path(path, node);
    return g_string_free(path, FALSE);
}

gboolean sfs_announcer_client_ask(SfsAnnouncerClient *client, SfsNode *node, SfsAnnouncerOp op,
                                  const SfsState *now)
{
    SHIELD_AUTO_LOCK(&client->lock);
    g_autofree char *path = sfs_announcer_client_path(node);
    SfsAnnouncerRequest request;

    memset(&request, 0, sizeof request); /* the padding too: it goes to another process */
    request.op = op;
    request.mode = now->st.st_mode;
    request.size = now->st.st_size;
    request.mtime = now->st.st_mtim;
    g_strlcpy(request.path, path, sizeof request.path);
    if (send(client->socket, &request, sizeof request, MSG_NOSIGNAL) != sizeof request)
        return FALSE;
    client->since = g_get_monotonic_time();
    client->overdue = FALSE;
    client->op = op;
    client->out = sfs_node_ref(node);
    return TRUE;
}

/* Reads from the socket that there is now: it may have come since the caller polled. FALSE: nothing yet. Lock
 * held. */
static gboolean receive(SfsAnnouncerClient *client, int *errnum)
{
    SfsAnnouncerAnswer answer;
    ssize_t got = recv(client->socket, &answer, sizeof answer, MSG_DONTWAIT);

    if (got == sizeof answer && !client->confined) {
        client->confined = answer.confined;
        client->ever = TRUE;
        got = recv(client->socket, &answer, sizeof answer, MSG_DONTWAIT);
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return FALSE;
    *errnum = got == sizeof answer ? answer.errnum : ECONNRESET;
    if (got == sizeof answer)
        return TRUE;
    shield_fd_close(client->socket); /* it died; the supervisor will say so, and send another */
    client->socket = -1;
    return TRUE;
}

gboolean sfs_announcer_client_answer(SfsAnnouncerClient *client, int *errnum)
{
    SHIELD_AUTO_LOCK(&client->lock);

    if (client->lost)
        *errnum = ECONNRESET;
    else if (client->socket < 0 || !receive(client, errnum))
        return FALSE;
    if (*errnum != ECONNRESET)
        client->covered_until = *errnum == ESTALE ? g_get_monotonic_time() + COVERED_USEC : 0;
    client->lost = FALSE;
    if (!client->out)
        return FALSE;
    g_clear_pointer(&client->out, sfs_node_unref);
    return TRUE;
}
