/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error: the one currency of failure inside shieldfs. A GError of the domain SHIELD_ERROR carries the errno
 * that a reader of the view gets as its code, and "FILE: what is wrong" as its message, with every untrusted
 * byte escaped already. It must not know who will print the message or who will get the errno.
 */
#pragma once

#include "shieldstate.h"

/* What a SHIELD_ERROR is about: LABEL/NAME, escaped; either may be NULL. The caller frees it. */
char *shield_error_subject(const char *label, const char *name);

/* Sets *error (if error is not NULL) to code errnum and the message "LABEL/NAME: TEXT". */
void shield_error_set(GError **error, int errnum, const char *label, const char *name, const char *format,
                      ...) G_GNUC_PRINTF(5, 6);

/* The same with the text that explains errnum to a person. */
void shield_error_set_errno(GError **error, int errnum, const char *label, const char *name);

/* The errno that stands for error: its code if it is a SHIELD_ERROR, EIO else. */
int shield_error_errno(const GError *error);

/* "LABEL/NAME: TEXT", escaped. The caller frees it. */
char *shield_error_line(const char *label, const char *name, const char *text);

/* Appends that to lines. */
void shield_error_add_line(GPtrArray *lines, const char *label, const char *name, const char *text);

/* Is it a want of ours, of descriptors or memory, that says nothing about what is there? */
gboolean shield_error_is_shortage(int errnum);
