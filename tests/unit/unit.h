/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit: what the unit tests share: temporary directories, files in them written as terok-shield writes them
 * (in place), waits for conditions, and comparisons that say what differs. It knows of core only the lists.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "lists.h"

/* A temporary directory; it goes away with all that is in it. */
typedef struct {
    char *path; /* absolute, without links */
    int fd;     /* O_PATH */
} UnitDir;

UnitDir *unit_dir_new(void);
void unit_dir_free(UnitDir *dir);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(UnitDir, unit_dir_free)

/* Everything below takes paths relative to dir, and fails the test if it can't do what it says. */
char *unit_path(const UnitDir *dir, const char *name); /* the caller frees it */
void unit_write(const UnitDir *dir, const char *name, const char *text);
void unit_write_bytes(const UnitDir *dir, const char *name, const void *bytes, gsize len);
void unit_mkdir(const UnitDir *dir, const char *name); /* with the directories above it */
void unit_link(const UnitDir *dir, const char *target, const char *name);
void unit_fifo(const UnitDir *dir, const char *name);
void unit_socket(const UnitDir *dir, const char *name);
void unit_remove(const UnitDir *dir, const char *name); /* recursively; no matter if it isn't there */
void unit_set_mtime(const UnitDir *dir, const char *name, gint64 sec, long nsec);
struct stat unit_stat(const UnitDir *dir, const char *name);
int unit_open_dir(const UnitDir *dir, const char *name); /* O_PATH; the caller closes it */
int unit_open_for_writing(const UnitDir *dir, const char *name);

/* Waits until name was changed so long ago that its stamp can be trusted. */
void unit_age(const UnitDir *dir, const char *name);

/* Waits, for a minute at most, until condition(data) is true. */
void unit_wait(gboolean (*condition)(void *data), void *data);

/* Waits until the thread (gettid) has gone to sleep n times since it had `before`. */
guint64 unit_naps(pid_t tid);
void unit_wait_for_naps(pid_t tid, guint64 more_than);

/* Name number n, below 4096, of those that all have one hash in g_str_hash; the caller frees it. */
char *unit_meeting_name(guint n);

/* How often a random test is repeated: by_default, or in proportion to SHIELD_ROUNDS, which is usually 2000.
 */
guint unit_rounds(guint by_default);

/* Fails unless list holds these lines. */
void unit_assert_list(const ShieldList *list, const char *lines);

/* Fails unless bytes are this text. */
void unit_assert_text(GBytes *bytes, const char *text);

/* Fails unless error is a SHIELD_ERROR with this code and this message; NULL for any. */
void unit_assert_error(const GError *error, int code, const char *message);

/* The list that parsing text gives. */
ShieldList *unit_list(const char *text);
