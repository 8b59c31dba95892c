/* SPDX-License-Identifier: Apache-2.0 */
/* wire: the server's end; see wire.h. */
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "open.h"

#define STUCK_USEC (1000 * 1000)
#define OVERDUE_USEC (5 * 1000 * 1000)
#define COVERED_USEC (1000 * 1000) /* between two looks whether the mount is there to be acted on again */

struct SfsWire {
    GMutex lock; /* protects the rest */
    int socket;  /* -1: no announcer */
    pid_t pid;   /* 0: none; that is never a caller's, for callers from elsewhere are told apart below */
    gboolean ever;
    gint64 covered_until; /* 0: the announcer finds the mount; else when to look again whether it does */
    SfsNode *out;         /* a reference to what the request that is out is about; NULL: none is */
    SfsAnnouncerOp op;    /* what it asks for */
    gint64 since;         /* when it went out */
    gboolean overdue;     /* somebody was told that it is taking too long */
    gboolean lost;        /* the announcer that has it is gone: no answer comes, nor a hang-up to poll for */
};

SfsWire *sfs_wire_new(void)
{
    SfsWire *wire = g_new0(SfsWire, 1);

    wire->socket = -1;
    g_mutex_init(&wire->lock);
    return wire;
}

void sfs_wire_free(SfsWire *wire)
{
    shield_fd_close(wire->socket);
    g_clear_pointer(&wire->out, sfs_node_unref);
    g_mutex_clear(&wire->lock);
    g_free(wire);
}

void sfs_wire_connect(SfsWire *wire, int socket, pid_t pid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    shield_fd_close(wire->socket);
    wire->socket = socket;
    wire->pid = pid;
    wire->ever |= pid != 0;
    wire->lost |= wire->out != NULL;
}

int sfs_wire_socket(SfsWire *wire)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    return wire->socket;
}

const char *sfs_wire_state(SfsWire *wire)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    if (wire->covered_until || !wire->ever)
        return "stopped";
    if (wire->socket < 0)
        return "restarting";
    return wire->out && g_get_monotonic_time() - wire->since > STUCK_USEC ? "stuck" : "ok";
}

pid_t sfs_wire_overdue(SfsWire *wire)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    if (!wire->out || wire->lost || wire->overdue || g_get_monotonic_time() - wire->since < OVERDUE_USEC)
        return 0;
    wire->overdue = TRUE;
    return wire->pid;
}

gint64 sfs_wire_patience(SfsWire *wire)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    if (!wire->out || wire->overdue)
        return -1;
    return wire->since +
           (g_get_monotonic_time() - wire->since > STUCK_USEC ? OVERDUE_USEC : STUCK_USEC + 1000);
}

gint64 sfs_wire_covered_until(SfsWire *wire)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    return wire->covered_until;
}

gboolean sfs_wire_is_announcer(SfsWire *wire, pid_t pid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    return pid > 0 && pid == wire->pid;
}

SfsNode *sfs_wire_creating(SfsWire *wire, guint64 parent, const char *name)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    if (!wire->out || (wire->op != SFS_ANNOUNCER_CREATE && wire->op != SFS_ANNOUNCER_MKDIR) ||
        wire->out->parent->ino != parent || strcmp(wire->out->name, name) != 0)
        return NULL;
    return sfs_node_ref(wire->out);
}

gboolean sfs_wire_is_out(SfsWire *wire)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    return wire->out != NULL;
}

static void append_path(GString *path, const SfsNode *node)
{
    if (node->parent && node->parent->parent) {
        append_path(path, node->parent);
        g_string_append_c(path, '/');
    }
    g_string_append(path, node->name);
}

char *sfs_wire_path(const SfsNode *node)
{
    GString *path = g_string_new(NULL);

    append_path(path, node);
    return g_string_free(path, FALSE);
}

gboolean sfs_wire_ask(SfsWire *wire, SfsNode *node, SfsAnnouncerOp op, const SfsTold *now)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);
    g_autofree char *path = sfs_wire_path(node);
    SfsAnnouncerRequest request;

    memset(&request, 0, sizeof request); /* the padding too: it goes to another process */
    request.op = op;
    request.mode = now->st.st_mode;
    request.size = now->st.st_size;
    request.mtime = now->st.st_mtim;
    g_strlcpy(request.path, path, sizeof request.path);
    if (send(wire->socket, &request, sizeof request, MSG_NOSIGNAL) != sizeof request)
        return FALSE;
    wire->since = g_get_monotonic_time();
    wire->overdue = FALSE;
    wire->op = op;
    wire->out = sfs_node_ref(node);
    return TRUE;
}

/* Reads from the socket that there is now: it may have come since the caller polled. FALSE: nothing yet. Lock
 * held. */
static gboolean receive(SfsWire *wire, int *errnum)
{
    SfsAnnouncerAnswer answer;
    ssize_t got = recv(wire->socket, &answer, sizeof answer, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return FALSE;
    *errnum = got == sizeof answer ? answer.errnum : ECONNRESET;
    if (got == sizeof answer)
        return TRUE;
    shield_fd_close(wire->socket); /* it died; the supervisor will say so, and send another */
    wire->socket = -1;
    return TRUE;
}

gboolean sfs_wire_answer(SfsWire *wire, int *errnum)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&wire->lock);

    if (wire->lost)
        *errnum = ECONNRESET;
    else if (wire->socket < 0 || !receive(wire, errnum))
        return FALSE;
    if (*errnum != ECONNRESET)
        wire->covered_until = *errnum == ESTALE ? g_get_monotonic_time() + COVERED_USEC : 0;
    wire->lost = FALSE;
    if (!wire->out)
        return FALSE;
    g_clear_pointer(&wire->out, sfs_node_unref);
    return TRUE;
}
