/* SPDX-License-Identifier: Apache-2.0 */
/*
 * system_log: a line to the log of the system: to the journal, with fields, by its own protocol
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL); where there is none, to syslog. One datagram a line, and never a
 * wait. It must not know which lines there are, nor what else could take them.
 *
 * The journal has a field's name, a newline, its length, its bytes: so whatever is in them, they make no
 * other field.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* What makes a field one of ours: only these are handed on. */
#define SFS_LOG_FIELD "SHIELDFS_"

typedef struct {
    int priority;     /* as syslog(3) has it */
    const char *sign; /* before the text, for who sees no priorities; may be empty */
    const char *text;
    const GLogField *fields; /* of which ours go along; strings */
    gsize n_fields;
    const char *place; /* the mount point, as the log shows it; NULL: not known yet */
} SfsLogLine;

typedef enum {
    SFS_LOG_TAKEN,
    SFS_LOG_LOST,   /* it can't be taken at once */
    SFS_LOG_NOBODY, /* there is nobody to take it */
} SfsLogResult;

/* What the others send by; -1 with errno. */
int sfs_system_log_open(void);

/* Is there a journal or a syslog at present? */
gboolean sfs_system_log_is_there(int fd);

/* pid: whose lines these are. */
SfsLogResult sfs_system_log_journal(int fd, pid_t pid, const SfsLogLine *line);
SfsLogResult sfs_system_log_syslog(int fd, pid_t pid, const SfsLogLine *line);

/* How much of text fits into max bytes, without cutting a character. */
gsize sfs_system_log_fit(const char *text, gsize max);
