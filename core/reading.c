/* SPDX-License-Identifier: Apache-2.0 */
/* reading: one list file under a read lease; see reading.h. */
#include "reading.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fault.h"
#include "large.h"
#include "open.h"
#include "remote.h"
#include "text.h"

/* The clock that stamps files moves in ticks of at most 10 ms. Within two of them a file can change again and
 * look the same. */
#define TICK_USEC 10000
#define RACY_USEC (2 * TICK_USEC)

#define READ_MIN 16384 /* bytes by which a list that is longer than it looked is read on, at least */

#define RETRY_MIN_USEC 100
#define RETRY_MAX_USEC 2000

ShieldReading *shield_reading_ref(ShieldReading *reading)
{
    g_atomic_ref_count_inc(&reading->refs);
    return reading;
}

void shield_reading_unref(ShieldReading *reading)
{
    if (!g_atomic_ref_count_dec(&reading->refs))
        return;
    g_clear_pointer(&reading->text, g_bytes_unref);
    g_clear_pointer(&reading->list, shield_list_unref);
    g_clear_error(&reading->error);
    shield_rights_clear(&reading->rights);
    g_free(reading);
}

/* Two names: stores through a mapping made by the other one give no event here, and on tmpfs no new time
 * either if the page was read first. */
static gboolean stamp_is_racy(const ShieldStamp *stamp, gint64 now)
{
    return stamp->nlink > 1 || stamp->ctime * G_USEC_PER_SEC + stamp->ctime_nsec / 1000 > now - RACY_USEC;
}

typedef enum { LEASE_HELD, LEASE_BUSY, LEASE_UNAVAILABLE } Lease;

static Lease try_lease(int fd)
{
    if (shield_fault(SHIELD_FAULT_LEASE))
        return LEASE_HELD;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        return LEASE_HELD;
    return errno == EAGAIN ? LEASE_BUSY : LEASE_UNAVAILABLE;
}

static Lease take_lease(int fd)
{
    if (shield_is_remote(fd))
        return LEASE_UNAVAILABLE;
    /* A writer that waits for us is announced by a signal; this one is ignored by default, SIGIO would kill.
     */
    if (fcntl(fd, F_SETSIG, SIGURG) < 0)
        return LEASE_UNAVAILABLE;
    return try_lease(fd);
}

/* FALSE with errno. */
static gboolean grow(char **block, gsize *size, gsize wanted)
{
    char *grown = shield_large_resize(*block, wanted);

    errno = ENOMEM;
    if (grown) {
        *block = grown;
        *size = wanted;
    }
    return grown != NULL;
}

/* Reads from the start to the end of the file, at most max bytes and one. NULL with errno on failure. The
 * size is a hint: if it is right, this is one system call that copies and one that finds the end. */
static GBytes *read_all(int fd, gsize size_hint, gsize max)
{
    gsize filled = 0, size = MIN(size_hint, max) + 1;
    g_autofree char *out = shield_large_alloc(size);

    errno = ENOMEM;
    while (out) {
        ssize_t got = pread(fd, out + filled, size - filled, (off_t)filled);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return NULL;
        filled += (gsize)got;
        if (got == 0 || filled > max) {
            out = g_realloc(out, MAX(filled, 1)); /* never more than it has */
            return g_bytes_new_take(g_steal_pointer(&out), filled);
        }
        if (filled == size && !grow(&out, &size, MIN(max + 1, filled + MAX(filled, READ_MIN))))
            break;
    }
    return NULL;
}

/* Does the file hold the len bytes there and no more? */
static gboolean holds(int fd, const char *bytes, gsize len)
{
    char buffer[READ_MIN];
    gsize at = 0;

    for (;;) {
        ssize_t got = pread(fd, buffer, sizeof buffer, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 && at == len;
        if ((gsize)got > len - at || memcmp(buffer, bytes + at, (gsize)got) != 0)
            return FALSE;
        at += (gsize)got;
    }
}

/* Is its stamp that one? */
static gboolean is_as_it_was(int fd, const ShieldStamp *before)
{
    struct stat st;

    if (shield_fstat(fd, &st) < 0)
        return FALSE;

    ShieldStamp after = shield_stamp(&st);
    return shield_stamp_equal(before, &after) && before->nlink == after.nlink;
}

/* Where there is no lease to be had: the same bytes and the same stamp twice, a tick apart. */
static gboolean reads_the_same(int fd, const ShieldStamp *before, GBytes *text, gsize max)
{
    gsize len;
    const char *bytes = g_bytes_get_data(text, &len);

    g_usleep(TICK_USEC);
    return (len > max || holds(fd, bytes, len)) && is_as_it_was(fd, before);
}

static void release_lease(int fd)
{
    (void)fcntl(fd, F_SETLEASE, F_UNLCK); /* fails only if a break has taken it from us */
}

/* Does nobody have it open for writing, and is it as it was? There was a lease to be had before. */
static gboolean stands_still(int fd, const ShieldStamp *before)
{
    Lease lease = try_lease(fd);

    if (lease == LEASE_HELD)
        release_lease(fd);
    return lease == LEASE_HELD && is_as_it_was(fd, before);
}

/* Is the text no middle of a rewrite? probe: of one that was made without a lease held; else NULL. */
static gboolean is_whole(int fd, const ShieldReading *reading, GBytes *text, const ShieldPolicy *policy,
                         const ShieldProbe *probe)
{
    if (probe)
        return stands_still(fd, &reading->stamp) && probe->left_alone(probe->data);
    return !reading->without_lease || policy->settle_ms == 0 ||
           reads_the_same(fd, &reading->stamp, text, policy->max_size);
}

/* NULL with errno: EFBIG if it is longer than the policy lets it be. */
static GBytes *read_at_most(int fd, gsize size, const ShieldPolicy *policy)
{
    g_autoptr(GBytes) text = NULL;

    if (size <= policy->max_size) {
        shield_budget_make_room(policy->budget, size);
        text = read_all(fd, size, policy->max_size);
        if (!text || g_bytes_get_size(text) <= policy->max_size)
            return g_steal_pointer(&text);
    }
    errno = EFBIG;
    return NULL;
}

/* Who may read what has just been read: taken while that still stands there, as is_whole is to find. Where
 * nothing is found out about that (settle=0), the file must be as it was. Else nobody may. */
static void take_rights(int fd, ShieldReading *reading, const ShieldPolicy *policy)
{
    if (policy->rights && (!shield_rights_of(fd, &reading->rights) ||
                           (policy->settle_ms == 0 && !is_as_it_was(fd, &reading->stamp)))) {
        shield_rights_clear(&reading->rights);
        reading->rights = (ShieldRights){.mode = S_IFREG, .uid = G_MAXUINT32, .gid = G_MAXUINT32};
    }
}

/* NULL with errno: EBUSY if somebody is writing it. */
static GBytes *read_text(int fd, ShieldReading *reading, const ShieldPolicy *policy, const ShieldProbe *probe)
{
    Lease lease = policy->settle_ms > 0 ? take_lease(fd) : LEASE_UNAVAILABLE;
    g_autoptr(GBytes) text = NULL;
    struct stat st;

    if (lease == LEASE_BUSY) {
        errno = EBUSY;
        return NULL;
    }
    reading->without_lease = lease == LEASE_UNAVAILABLE;
    if (shield_fstat(fd, &st) == 0) {
        reading->stamp = shield_stamp(&st);
        if (lease != LEASE_HELD || st.st_nlink != 1)
            probe = NULL; /* what is done by another name makes no event */
        if (probe)
            release_lease(fd);
        shield_fault_stop(SHIELD_FAULT_STOP_TEXT);
        text = read_at_most(fd, (gsize)MAX(st.st_size, 0), policy);
        if (text)
            take_rights(fd, reading, policy);
    }
    int failed = errno;

    if (lease == LEASE_HELD && !probe)
        release_lease(fd);
    if (text && !is_whole(fd, reading, text, policy, probe)) {
        g_clear_pointer(&text, g_bytes_unref);
        failed = EBUSY;
    }
    errno = failed;
    return g_steal_pointer(&text);
}

static GBytes *read_whole(int fd, ShieldReading *reading, const char *label, const char *name,
                          const ShieldPolicy *policy, const ShieldProbe *probe)
{
    g_autoptr(GBytes) text = read_text(fd, reading, policy, probe);

    if (text)
        return g_steal_pointer(&text);
    if (errno == EFBIG)
        shield_error_set(&reading->error, EFBIG, label, name,
                         "longer than the limit of %" G_GSIZE_FORMAT " bytes", policy->max_size);
    else if (errno == EBUSY)
        shield_error_set(&reading->error, EBUSY, label, name, "is being written");
    else
        shield_error_set_errno(&reading->error, errno, label, name);
    return NULL;
}

static gsize count_newlines(const char *bytes, gsize len)
{
    gsize lines = 0;

    for (const char *end = bytes + len; (bytes = memchr(bytes, '\n', (gsize)(end - bytes))); bytes++)
        lines++;
    return lines;
}

static void parse(ShieldReading *reading, ShieldTextKind kind, const char *label, const char *name)
{
    gsize len, bad;
    const char *bytes = g_bytes_get_data(reading->text, &len);

    reading->digest = shield_digest(reading->text);
    if (shield_text_validate(bytes, len, &bad)) {
        reading->list = kind == SHIELD_TEXT_DOMAINS ? shield_list_parse_domains(reading->text)
                                                    : shield_list_parse(reading->text);
        if (reading->list)
            return;
        shield_error_set_errno(&reading->error, ENOMEM, label, name);
        g_clear_pointer(&reading->text, g_bytes_unref);
        return;
    }
    shield_error_set(&reading->error, EILSEQ, label, name,
                     "line %" G_GSIZE_FORMAT ": not UTF-8 at byte %" G_GSIZE_FORMAT,
                     count_newlines(bytes, bad) + 1, bad + 1);
    g_clear_pointer(&reading->text, g_bytes_unref);
}

/* Is this one of the failures that the contract's is_file takes for "no such file"? Something else than a
 * regular file is one, but for the link, which the contract would follow. */
static gboolean counts_as_missing(int errnum, mode_t mode)
{
    return errnum == ENOENT || errnum == ENOTDIR || (mode != 0 && !S_ISREG(mode) && !S_ISLNK(mode));
}

/* Is this a failure that may end without a change of the file's stamp? Only the content's own faults are not.
 */
static gboolean fails_for_another_reason(const GError *error)
{
    return error && error->code != EILSEQ && error->code != EFBIG;
}

ShieldReading *shield_reading_take(int dirfd, const char *label, const char *name, ShieldTextKind kind,
                                   const ShieldPolicy *policy, const ShieldProbe *probe)
{
    ShieldReading *reading = g_new0(ShieldReading, 1);
    gint64 now = g_get_real_time();
    struct stat st = {0};

    shield_fault_stop(SHIELD_FAULT_STOP_READING);
    g_atomic_ref_count_init(&reading->refs);
    errno = ENOENT;
    g_auto(ShieldFd) fd = dirfd < 0 ? -1 : shield_open_regular(dirfd, name, &st);

    reading->stamp = shield_stamp(&st);
    if (fd >= 0) {
        reading->text = read_whole(fd, reading, label, name, policy, probe);
    } else if (counts_as_missing(errno, st.st_mode)) {
        reading->text = g_bytes_new_static("", 0);
    } else if (errno == EAGAIN) { /* somebody's write lease, which the try has begun to break */
        shield_error_set(&reading->error, EBUSY, label, name, "is leased by somebody who may write it");
    } else {
        shield_error_set_errno(&reading->error, errno, label, name);
    }
    if (reading->text)
        parse(reading, kind, label, name);
    reading->racy = (S_ISREG(reading->stamp.mode) && stamp_is_racy(&reading->stamp, now)) ||
                    fails_for_another_reason(reading->error);
    return reading;
}

ShieldRetry shield_retry_start(const ShieldPolicy *policy)
{
    return (ShieldRetry){g_get_monotonic_time() + (gint64)policy->settle_ms * 1000, RETRY_MIN_USEC};
}

gint64 shield_retry_next(ShieldRetry *retry)
{
    gint64 now = g_get_monotonic_time(), next = now + (gint64)retry->pause;

    if (now >= retry->deadline)
        return -1;
    retry->pause = MIN(retry->pause * 2, RETRY_MAX_USEC);
    return MIN(next, retry->deadline);
}

gboolean shield_retry_again(ShieldRetry *retry)
{
    gint64 next = shield_retry_next(retry), now = g_get_monotonic_time();

    if (next < 0)
        return FALSE;
    if (next > now)
        g_usleep((gulong)(next - now));
    return TRUE;
}

ShieldReading *shield_reading_settle(int dirfd, const char *label, const char *name, ShieldTextKind kind,
                                     const ShieldPolicy *policy)
{
    ShieldRetry retry = shield_retry_start(policy);
    ShieldReading *reading = shield_reading_take(dirfd, label, name, kind, policy, NULL);

    while (reading->error && reading->error->code == EBUSY && shield_retry_again(&retry)) {
        shield_reading_unref(reading);
        reading = shield_reading_take(dirfd, label, name, kind, policy, NULL);
    }
    return reading;
}

gboolean shield_reading_stamp_holds(const ShieldReading *reading, int dirfd, const char *name)
{
    struct stat st;

    if (dirfd < 0)
        return reading->stamp.mode == 0;
    if (shield_stat(dirfd, name, &st) < 0)
        return reading->stamp.mode == 0 && (errno == ENOENT || reading->error);

    ShieldStamp now = shield_stamp(&st);
    return reading->stamp.mode != 0 && shield_stamp_equal(&reading->stamp, &now);
}

gboolean shield_reading_is_current(const ShieldReading *reading, int dirfd, const char *name)
{
    return !reading->racy && shield_reading_stamp_holds(reading, dirfd, name);
}
