/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines: lines for the status file, of which whoever makes them happen may make any number: the first by
 * bytes stay, and one tells how many there are besides. It must not know what they are about.
 */
#pragma once

#include "first.h"

/* Of one bundle, or of one source, there are so many lines of one sort at most, and one that counts the rest.
 */
#define SHIELD_MAX_LINES 100

/* Starts a collection of lines (char *): the first by bytes of any number. */
void shield_lines_init(ShieldFirst *lines);

/* Moves them to the end of to, room of them at most; and appends the line that tells of how many there was no
 * room, if there are any: "LABEL: more than 100 WHAT: N not listed". */
void shield_lines_move(GPtrArray *to, ShieldFirst *lines, guint room, const char *label, const char *what);
